// Colors of the map: the scales, and what they show, the run's values or what this prompt shows.
const PROMPT_COLORINGS = ["attention", "value_weighted", "direct"];

function color(name) {
  return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

function channels(hex) {
  return [1, 3, 5].map((start) => Number.parseInt(hex.slice(start, start + 2), 16));
}

// A function from a value to [background, ink]; `limit` is the value of the strongest color.
function colorScale(diverging, limit) {
  const names = diverging
    ? ["scale-low", "scale-low-mid", "scale-mid", "scale-high-mid", "scale-high"]
    : ["scale-mid", "scale-low-mid", "scale-low"];
  const stops = names.map((name) => channels(color(name)));
  return (value) => {
    const share = diverging ? (value / limit + 1) / 2 : value / limit;
    const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
    const below = Math.min(stops.length - 2, Math.floor(place));
    const mixed = stops[below].map((one, i) => Math.round(one + (stops[below + 1][i] - one) * (place - below)));
    const light = (mixed[0] * 299 + mixed[1] * 587 + mixed[2] * 114) / 1000;
    return [`rgb(${mixed.join(", ")})`, light > 140 ? "#14181d" : "#ffffff"];
  };
}

function ramp(diverging) {
  const scale = colorScale(diverging, 1);
  const places = diverging ? [-1, -0.5, 0, 0.5, 1] : [0, 0.5, 1];
  return `linear-gradient(90deg, ${places.map((one) => scale(one)[0]).join(", ")})`;
}

function paintCells() {
  const flat = (shown.values ?? []).flat().filter((value) => value !== null && value !== undefined);
  const limit = flat.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  const scale = colorScale(shown.diverging, limit);
  const legible = nHeads <= 8;
  for (const [name, cell] of cells) {
    const [layer, head] = name.split(":").map(Number);
    const value = shown.values?.[layer]?.[head] ?? null;
    const [ground, ink] = value === null ? ["", ""] : scale(value);
    cell.style.background = ground;
    cell.style.color = ink;
    cell.classList.toggle("none", shown.values !== null && value === null);
    cell.textContent = value !== null && legible ? number(value) : "";
  }
  at("map-note").textContent = shown.note;
  at("map-legend").hidden = shown.values === null;
  const bar = make("span", {
    class: "ramp",
    role: "img",
    "aria-label": t("map.scale", {low: number(shown.diverging ? -limit : 0), high: number(limit)}),
  });
  bar.style.background = ramp(shown.diverging);
  at("map-legend").replaceChildren(
    make("span", {}, number(shown.diverging ? -limit : 0)),
    bar,
    make("span", {}, `${number(limit)} ${unitName()}`),
    make("span", {class: "axes"}, t("map.axes")),
  );
  markCells(true);
}

// Colors the map by what is chosen; only what this prompt shows is asked of the server.
async function fetchMap() {
  cancel("map");
  untrouble("map");
  const measured = measures.find((one) => one.key === view.coloring);
  if (measured) return paintRun(measured);
  if (!PROMPT_COLORINGS.includes(view.coloring)) return paint({values: null, note: plainNote()});
  if (!known.tokens.length) return paint({values: null, note: ""});
  if (view.coloring === "direct" && view.word < 0) return paint({values: null, note: t("map.direct_choose")});
  const [from, to] = [queries(), keys()];
  const aimed = view.coloring === "direct" ? {token_id: view.word} : {keys: to};
  const extra = {measure: view.coloring, queries: from, ...aimed};
  const signal = begin("map");
  at("board").setAttribute("aria-busy", "true");
  try {
    const answer = await (await post("map", requestOf(extra), signal)).json();
    const all = to.length === Math.max(1, known.tokens.length - 1) && !view.keys.length;
    const note = t(`map.${view.coloring}_note`, {
      from: namesOf(from),
      to: all ? t("map.the_rest") : namesOf(to),
      word: quoted(wordOf(view.word)),
    });
    if (!signal.aborted) paint({values: answer.values, unit: answer.unit, diverging: view.coloring === "direct", note});
  } catch (error) {
    if (error instanceof Trouble) paint({});
    trouble("map", error);
  } finally {
    if (!signal.aborted) at("board").removeAttribute("aria-busy");
  }
  return undefined;
}

function paint(one) {
  Object.assign(shown, {values: null, diverging: false, unit: "", note: ""}, one);
  paintCells();
}

function paintRun(measured) {
  const values = measured.by_concept[view.concept] ?? null;
  const told = {label: said(measured.label), concept: view.concept, path: facts.run.path};
  const other = facts.run.other_model;
  const note = `${t(values ? "map.run_note" : "map.run_none", told)} ${other ? t("map.run_other", {other}) : ""}`;
  paint({values, unit: measured.unit, diverging: measured.diverging, note});
}

function plainNote() {
  return t("map.plain_note", {steer: KINDS.includes("add") ? t("map.plain_steer") : ""});
}
