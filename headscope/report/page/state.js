// The run's data, the theme, and the look that all charts share.
const data = JSON.parse(document.getElementById("data").textContent);
const [nLayers, nHeads] = data.shape;
const root = document.documentElement;

// The language: the address says it (`?lang=ja`), else the run's first.
const wanted = new URLSearchParams(location.search).get("lang");
const language = Object.hasOwn(data.words, wanted ?? "") ? wanted : data.language;
root.lang = language;

// The words at a path of the language's file, e.g. `t("maps.about", {label, title})`.
function t(path, values = {}) {
  const entry = path.split(".").reduce((words, step) => words?.[step], data.words[language]);
  return String(entry ?? path.split(".").at(-1)).replace(/\{(\w+)\}/g, (hole, name) => values[name] ?? hole);
}

// What the run's data gives in every language.
function said(texts) {
  return texts[language] ?? Object.values(texts)[0];
}

function speak() {
  for (const box of document.querySelectorAll(".words")) {
    if (box.lang === language) box.hidden = false;
    else box.remove();
  }
  for (const place of document.querySelectorAll("[data-say]")) place.textContent = t(place.dataset.say);
  for (const place of document.querySelectorAll("[data-label]"))
    place.setAttribute("aria-label", t(place.dataset.label));
  const select = document.getElementById("language");
  if (!select) return;
  select.value = language;
  select.addEventListener("change", () => {
    const address = new URL(location.href);
    address.searchParams.set("lang", select.value);
    location.assign(address);
  });
}

const darkWanted = window.matchMedia("(prefers-color-scheme: dark)");
root.dataset.theme = darkWanted.matches ? "dark" : "light";

const redraws = [];
// Runs `draw` now and again whenever the theme changes.
function onTheme(draw) {
  redraws.push(draw);
  draw();
}

function setTheme(theme) {
  if (root.dataset.theme === theme) return;
  root.dataset.theme = theme;
  redraws.forEach((draw) => draw());
}

function color(name) {
  return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

function divergingScale() {
  return ["scale-low", "scale-low-mid", "scale-mid", "scale-high-mid", "scale-high"].map((name, i) => [
    i / 4,
    color(name),
  ]);
}

// From "no evidence" (small -log10) to the strongest.
function sequentialScale() {
  return [
    [0, color("scale-mid")],
    [0.5, color("scale-low-mid")],
    [1, color("scale-low")],
  ];
}

// Okabe and Ito's colors and a marker each, as in headscope.plots; gray where nothing is claimed.
const VERDICT_STYLES = {
  carrier: ["#d55e00", "circle"],
  "shared carrier": ["#e69f00", "diamond"],
  "carrier, reading elsewhere": ["#cc79a7", "square"],
  suppressor: ["#0072b2", "triangle-down"],
  "causal, not specific": ["#009e73", "cross"],
  "general damage": ["#888888", "x"],
  "attends only": ["#56b4e9", "triangle-right"],
  undecided: ["#8c8c8c", "diamond-open"],
  "no effect": ["#8c8c8c", "circle-open"],
};

function verdictStyle(verdict) {
  return VERDICT_STYLES[verdict.split(" (")[0]] || ["#8c8c8c", "circle-open"];
}

const CONCEPT_COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c"];
function conceptColor(concept) {
  return CONCEPT_COLORS[Math.max(0, data.concepts.indexOf(concept)) % CONCEPT_COLORS.length];
}

const PLOT_CONFIG = {
  responsive: true,
  displaylogo: false,
  displayModeBar: false,
  scrollZoom: false,
  doubleClick: false,
};

function layout(extra = {}) {
  const axis = {gridcolor: color("line"), zerolinecolor: color("soft"), linecolor: color("line"), automargin: true};
  const {xaxis, yaxis, ...rest} = extra;
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: {family: getComputedStyle(document.body).fontFamily, size: 12, color: color("ink")},
    margin: {l: 56, r: 16, t: 16, b: 48},
    hoverlabel: {
      bgcolor: color("surface"),
      bordercolor: color("soft"),
      font: {color: color("ink"), size: 12},
      align: "left",
    },
    dragmode: false,
    ...rest,
    xaxis: {...axis, ...xaxis},
    yaxis: {...axis, ...yaxis},
  };
}

function measure(kind, name, edit = "") {
  return data.measures.find((one) => one.kind === kind && one.name === name && one.edit === edit);
}

// The row of one head in a measure's columns for a concept; undefined where there is none.
function rowOf(one, concept, layer, head) {
  const columns = one?.by_concept[concept];
  if (!columns) return undefined;
  const at = placeOf(columns).get(layer * nHeads + head);
  return at === undefined
    ? undefined
    : Object.fromEntries(Object.entries(columns).map(([name, cells]) => [name, cells[at]]));
}

const places = new WeakMap();
function placeOf(columns) {
  if (!places.has(columns)) {
    places.set(columns, new Map(columns.layer.map((layer, at) => [layer * nHeads + columns.head[at], at])));
  }
  return places.get(columns);
}

function rowsOf(columns) {
  const names = Object.keys(columns);
  return names.length
    ? columns[names[0]].map((_, at) => Object.fromEntries(names.map((name) => [name, columns[name][at]])))
    : [];
}

const verdicts = rowsOf(data.verdicts);
const verdictOf = new Map(verdicts.map((row) => [`${row.concept}\n${row.heads}`, row]));

// Whether a head's effect on a concept has a simultaneous interval beyond the smallest that matters; without verdicts,
// whether it is detectable.
function isBeyond(row, concept) {
  const limit = verdictOf.get(`${concept}\n${row.layer}:${row.head}`)?.threshold_nats ?? null;
  if (limit === null) return strictestP(row) !== null && strictestP(row) < 0.05;
  return (row.sim_high ?? Infinity) < -limit || (row.sim_low ?? -Infinity) > limit;
}

// The strictest p a row has, as headscope.report.evidence orders them.
function strictestP(row) {
  return row.p_max_t ?? row.q_value ?? row.p_value ?? null;
}

function strictestName(row) {
  return (row.p_max_t ?? null) !== null ? t("columns.p_max_t") : (row.q_value ?? null) !== null ? "q" : "p";
}

function empty(text) {
  return make("p", {class: "empty"}, text);
}

// Why there is nothing: the stage of the run that measures it is still open, or it was not measured.
function nothing(path, stage) {
  return empty(t(data.awaited.includes(stage) ? "page.to_come" : path));
}
