// What the page knows, the words it says, the theme, and the view: everything a reader chose. The view lives in the
// address's fragment, so that a reload keeps it.
const facts = JSON.parse(document.getElementById("facts").textContent);
const root = document.documentElement;
const at = (id) => document.getElementById(id);
const nLayers = facts.model.heads_per_layer.length;
const nHeads = Math.max(0, ...facts.model.heads_per_layer);
const concepts = facts.profile?.concepts ?? [];
const examples = facts.profile?.examples ?? [];
const OFF_KINDS = facts.profile ? ["zero", "mean", "bos"] : ["zero", "bos"];
const KINDS = [...OFF_KINDS, "scale", ...(facts.profile?.steerable ? ["add"] : [])];
const ROLES = ["user", "assistant", "system"];
// What the server takes of each number that text is written with.
const SETTINGS = {
  seed: {min: 0, max: Number.MAX_SAFE_INTEGER, step: 1},
  temperature: {min: 0.05, max: 5, step: "any"},
  max_tokens: {min: 1, max: 200, step: 1},
  top_p: {min: 0.01, max: 1, step: "any"},
};

const measures = facts.run?.measures ?? [];
// A run may have measured some of the profile's concepts: the page begins with one of these.
const firstConcept = concepts.find((one) => measures[0]?.by_concept[one]) ?? concepts[0];
const first = examples.find((one) => one.concept === firstConcept) ?? examples[0];
const view = {
  mode: "text",
  text: first?.text ?? "",
  example: first?.id ?? "",
  messages: [{role: "user", content: ""}],
  concept: first && concepts.includes(first.concept) ? first.concept : (firstConcept ?? ""),
  groups: [],
  head: [],
  queries: [],
  keys: [],
  coloring: measures[0]?.key ?? "attention",
  word: -1,
  wordText: "",
  off: "zero",
  along: true,
  seed: 0,
  temperature: 1,
  max_tokens: 30,
  top_p: 0.9,
  greedy: false,
  lines: "command",
  language: facts.language,
  theme: "",
};
// What the server said of the view.
const known = {
  tokens: [],
  context: facts.model.context_length,
  words: [],
  odds: [],
  noOdds: null,
  take: null,
  edited: false,
};

// The words at a path of the language's file, e.g. `t("tokens.count", {n, of})`.
function t(path, values = {}) {
  const entry = path.split(".").reduce((words, step) => words?.[step], facts.words[view.language]);
  return String(entry ?? path.split(".").at(-1)).replace(/\{(\w+)\}/g, (hole, name) => values[name] ?? hole);
}

// What the facts give in every language.
function said(texts) {
  return typeof texts === "string" ? texts : (texts?.[view.language] ?? Object.values(texts ?? {})[0] ?? "");
}

function speak() {
  root.lang = view.language;
  for (const place of document.querySelectorAll("[data-say]")) place.textContent = t(place.dataset.say);
  for (const place of document.querySelectorAll("[data-label]"))
    place.setAttribute("aria-label", t(place.dataset.label));
  for (const place of document.querySelectorAll("[data-hint]")) place.placeholder = t(place.dataset.hint);
  document.title = t("page.title", {model: facts.model.name});
  at("sentence").textContent = said(facts.sentence);
}

const speech = at("speech");
function announce(text) {
  speech.textContent = text;
}

const redraws = [];
// Runs `draw` now and whenever the theme or the language changes.
function drawn(draw) {
  redraws.push(draw);
  draw();
}

const darkWanted = window.matchMedia("(prefers-color-scheme: dark)");
function showTheme() {
  root.dataset.theme = view.theme || (darkWanted.matches ? "dark" : "light");
}

let keeping = 0;
function keepView(now = false) {
  clearTimeout(keeping);
  const write = () => history.replaceState(null, "", `#view=${encodeURIComponent(JSON.stringify(view))}`);
  if (now) write();
  else keeping = setTimeout(write, 250);
}

// The fragment is foreign text: only what has the kind it should have is taken from it.
function restoreView() {
  let saved;
  try {
    saved = JSON.parse(decodeURIComponent(location.hash.replace(/^#view=/, "") || "{}"));
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof URIError)) throw error;
    return;
  }
  for (const [name, value] of Object.entries(view)) {
    const given = saved?.[name];
    if (SETTINGS[name] && !isSetting(name, given)) continue;
    if (typeof given === typeof value && Array.isArray(given) === Array.isArray(value) && given !== null)
      view[name] = given;
  }
  view.groups = view.groups.filter(isGroup);
  view.messages = view.messages.filter((one) => ROLES.includes(one?.role) && typeof one.content === "string");
  if (!view.messages.length) view.messages = [{role: "user", content: ""}];
  if (!isHead(view.head)) view.head = [];
  for (const name of ["queries", "keys"]) view[name] = view[name].filter((one) => Number.isInteger(one) && one >= 0);
  if (!Object.hasOwn(facts.words, view.language)) view.language = facts.language;
  if (!facts.model.chat || view.mode !== "chat") view.mode = "text";
  if (!concepts.includes(view.concept)) view.concept = concepts[0] ?? "";
  if (!OFF_KINDS.includes(view.off)) view.off = "zero";
  if (exampleOf(view.example)?.text !== view.text) view.example = "";
}

function isSetting(name, value) {
  const {min, max, step} = SETTINGS[name];
  return value >= min && value <= max && (step === "any" || Number.isInteger(value));
}

function exampleOf(id) {
  return examples.find((one) => one.id === id);
}

function isGroup(one) {
  return (
    KINDS.includes(one?.kind) &&
    Number.isFinite(one.factor) &&
    Number.isFinite(one.dose) &&
    Array.isArray(one.heads) &&
    one.heads.length > 0 &&
    one.heads.every(isHead)
  );
}

function isHead(one) {
  return (
    Array.isArray(one) &&
    one.length === 2 &&
    one.every(Number.isInteger) &&
    one[1] >= 0 &&
    one[1] < (facts.model.heads_per_layer[one[0]] ?? 0)
  );
}

function debounced(work, wait) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, wait);
  };
}

// A row of buttons of which one is chosen, with the keys of radio buttons.
function radios(place, options, chosen, choose) {
  const show = (value) =>
    [...place.children].forEach((button) => {
      button.setAttribute("aria-checked", String(button.value === value));
      button.tabIndex = button.value === value ? 0 : -1;
    });
  const pick = (value) => {
    show(value);
    choose(value);
  };
  place.replaceChildren(
    ...options.map(([value, label]) =>
      make("button", {type: "button", role: "radio", value, onclick: () => pick(value)}, label),
    ),
  );
  place.onkeydown = (event) => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const next = ([...place.children].indexOf(document.activeElement) + step + options.length) % options.length;
    place.children[next].focus();
    place.children[next].click();
  };
  show(chosen);
}

function option(value, label) {
  return make("option", {value}, label);
}
