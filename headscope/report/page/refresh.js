// The page of a run that goes on loads itself again, because from a file nothing else can be asked, and stands then as
// its reader left it. A finished run's page has no time to wait, and stays.
const QUIET_MS = 5000;

// What a reader has changed, for the page that follows.
function stateOfPage() {
  return {
    theme: root.dataset.theme,
    measure: document.querySelector("#measures [aria-checked=true]")?.dataset.measure ?? null,
    open: [...document.querySelectorAll("details")].map((box) => [nameOf(box), box.open]),
    focus: document.activeElement?.id || null,
    card: card.hidden ? null : card.scrollTop,
    scroll: scrollY,
  };
}

function nameOf(box) {
  return box.dataset.table ?? box.querySelector("summary").textContent;
}

// Theme and map are chosen before anything is drawn.
function restorePage(before) {
  const open = new Map(before.open);
  for (const box of document.querySelectorAll("details")) box.open = open.get(nameOf(box)) ?? box.open;
  if (before.card !== null) card.scrollTop = before.card;
  else if (before.focus) document.getElementById(before.focus)?.focus({preventScroll: true});
  scrollTo({top: before.scroll, behavior: "instant"});
}

function keepFresh() {
  if (!data.refresh_seconds) return;
  let touched = 0;
  const touch = () => {
    touched = Date.now();
  };
  for (const kind of ["pointerdown", "keydown", "wheel", "input"])
    window.addEventListener(kind, touch, {capture: true, passive: true});
  const loaded = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (document.hidden || now - loaded < 1000 * data.refresh_seconds || now - touched < QUIET_MS) return;
    if (document.activeElement?.matches("input") && document.activeElement.value) return;
    history.replaceState({page: stateOfPage()}, "");
    location.reload();
  }, 1000);
}
