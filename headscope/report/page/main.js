// Puts the page together: what is seen first comes first.
function openFromHash() {
  const found = /^#L(\d+)H(\d+)$/.exec(location.hash);
  if (found) openCard(Number(found[1]), Number(found[2]));
  else unfold(location.hash.slice(1));
}

// A folded section that a link leads to opens.
function unfold(id) {
  const target = document.getElementById(id);
  if (!target?.matches("details")) return;
  target.open = true;
  target.scrollIntoView();
}

document
  .getElementById("theme")
  .addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
darkWanted.addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));
let themeBeforePrint = null;
window.addEventListener("beforeprint", () => {
  themeBeforePrint = root.dataset.theme;
  setTheme("light");
});
window.addEventListener("afterprint", () => setTheme(themeBeforePrint));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeCard();
});
document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const found = /^\s*L?\s*(\d+)\s*[:H]\s*(\d+)\s*$/i.exec(event.target.elements.head.value);
  const known = found && Number(found[1]) < nLayers && Number(found[2]) < (data.heads_per_layer[Number(found[1])] ?? 0);
  event.target.elements.head.setCustomValidity(known ? "" : t("maps.a_head", {head: `L${Math.max(0, nLayers - 1)}H0`}));
  if (known) openCard(Number(found[1]), Number(found[2]));
  else event.target.elements.head.reportValidity();
});
document.getElementById("find-head").addEventListener("input", (event) => event.target.setCustomValidity(""));

const before = history.state?.page ?? null;
if (before) root.dataset.theme = before.theme;
speak();
startMaps(before?.measure);
requestAnimationFrame(() =>
  setTimeout(() => {
    drawScatter();
    drawPredicted();
    drawForest();
    drawCurves();
    drawSteering();
    startSets();
    startTexts();
    startTables();
    openFromHash();
    window.addEventListener("hashchange", openFromHash);
    if (before) restorePage(before);
    keepFresh();
    document.body.dataset.ready = "true";
  }),
);
