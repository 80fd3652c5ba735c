// Puts the page together: reads the view on every change, and draws what the server says of it.
let busySoon = 0;
function showBusy(text) {
  at("busy").hidden = false;
  at("progress").textContent = text;
  at("progress").hidden = text === t("page.reading");
}

function showProgress({what, done, total}) {
  showBusy(t("page.progress", {what: t(`stages.${what}`), done, total}));
}

function idle() {
  clearTimeout(busySoon);
  at("busy").hidden = true;
  at("progress").hidden = true;
  at("next").classList.remove("late");
}

// What the view shows no longer holds: the page keeps it, dimmed, until the new numbers come.
function viewChanged() {
  keepView();
  staleWritten();
}

async function look() {
  cancel("write");
  if (written?.state === "going") stopWriting();
  const signal = begin("look");
  document.body.dataset.state = "looking";
  clearTimeout(busySoon);
  busySoon = setTimeout(() => showBusy(t("page.reading")), 150);
  at("next").classList.add("late");
  try {
    for await (const event of events("look", requestOf(writingOf()), signal)) heard[event.event]?.(event);
    untrouble("prompt");
  } catch (error) {
    if (error instanceof Trouble) forgetAnswers();
    trouble("prompt", error);
  }
  if (signal.aborted) return;
  idle();
  const looked = !at("trouble-prompt").hidden || !at("trouble-page").hidden ? null : announceLook();
  if (looked !== null) lookAround();
  document.body.dataset.state = "idle";
}

// What hangs on the view beside the next words; a map of the run's values does not.
function lookAround() {
  fetchAttention();
  if (PROMPT_COLORINGS.includes(view.coloring)) fetchMap();
  if (view.along) write();
}

// Numbers of another prompt must not stand beside one that could not be read.
function forgetAnswers() {
  Object.assign(known, {words: [], odds: [], noOdds: null, take: null});
  cancel("write");
  written = null;
  for (const redraw of [drawWords, drawOdds, drawTake, drawWritten]) redraw();
}

const heard = {
  tokens(event) {
    untrouble("prompt");
    const same = JSON.stringify(known.tokens) === JSON.stringify(event.tokens);
    known.tokens = event.tokens;
    known.context = event.context_length ?? known.context;
    if (!same) {
      weights = null;
      drawTokens();
    }
  },
  progress(event) {
    clearTimeout(busySoon);
    showProgress(event);
  },
  next_words(event) {
    known.words = event.rows;
    known.edited = event.edited;
    Object.assign(known, {odds: [], noOdds: null});
    at("next").classList.remove("late");
    drawWords();
  },
  log_odds(event) {
    known.odds = event.rows;
    drawOdds();
  },
  no_log_odds(event) {
    known.noOdds = event;
    drawOdds();
  },
  take(event) {
    known.take = event;
    drawTake();
  },
};

function announceLook() {
  if (!known.odds.length) drawOdds(); // no event says that there are none
  const best = known.words[0];
  if (!best) return "";
  const told = {
    n: known.tokens.length,
    words: announceEdits.due ? announceEdits() : "",
    token: quoted(best.token),
    baseline: number(best.baseline),
    edited: number(best.edited),
  };
  announce(t(told.words && known.edited ? "page.changed" : "page.read", told));
  return "";
}

function startTop() {
  at("skip").onclick = () => at(view.mode === "chat" ? "turns" : "text").focus();
  at("model-name").textContent = facts.model.name;
  drawn(() => {
    const shape = {layers: nLayers, heads: everyHead().length, context: facts.model.context_length ?? "∞"};
    at("model-shape").textContent = t("page.shape", shape);
  });
  at("theme").onclick = () => {
    view.theme = root.dataset.theme === "dark" ? "light" : "dark";
    keepView();
    showTheme();
    for (const redraw of redraws) redraw();
  };
  darkWanted.addEventListener("change", () => {
    showTheme();
    for (const redraw of redraws) redraw();
  });
  const languages = Object.keys(facts.words);
  at("language").replaceChildren(
    ...languages.map((code) => make("option", {value: code, lang: code}, facts.words[code].name ?? code)),
  );
  at("language").value = view.language;
  at("language").onchange = () => {
    view.language = at("language").value;
    keepView();
    speak();
    for (const redraw of redraws) redraw();
  };
  at("concept-place").hidden = concepts.length < 1;
  at("concept").replaceChildren(...concepts.map((one) => option(one, one)));
  at("concept").value = view.concept;
  at("concept").onchange = () => {
    view.concept = at("concept").value;
    viewChanged();
    fetchMap();
    look();
  };
}

// The head the run speaks of first, else the first head there is.
function firstHead() {
  const top = facts.run?.top_sets?.find((one) => one.concept === view.concept)?.heads;
  return (top && parseHeads(top)?.[0]) ?? everyHead()[0] ?? [];
}

function start() {
  view.head = firstHead();
  restoreView();
  showTheme();
  speak();
  startTop();
  startPrompt();
  startTokens();
  startMap();
  startEdits();
  startWriting();
  startTake();
  drawn(() => {
    drawWords();
    drawOdds();
  });
  window.addEventListener("pagehide", () => keepView(true));
  window.addEventListener("hashchange", () => location.reload());
  document.body.dataset.ready = "true";
  look();
}

start();
