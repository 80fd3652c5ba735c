// The map of heads: a grid of buttons, one a head, of which one is in the tab order. Its colors are the run's, or what
// this prompt shows.
let shown = {values: null, diverging: false, unit: "", note: ""};
let cells = new Map(); // "layer:head" -> its button
let focused = [0, 0];
let sweep = null; // {from, to, moved}: the block that is being chosen
const PROMPT_COLORINGS = ["attention", "value_weighted", "direct"];

function buildBoard() {
  cells = new Map();
  const fine = nHeads > 20;
  const board = make("div", {
    class: fine ? "cells fine-grain" : "cells",
    role: "grid",
    "aria-label": t("map.board", {layers: nLayers, heads: nHeads}),
    "aria-multiselectable": "true",
  });
  const least = nHeads > 32 ? 7 : fine ? 9 : 17;
  board.style.gridTemplateColumns = `max-content repeat(${nHeads}, minmax(${least}px, 1fr))`;
  board.style.setProperty("--cell", `${Math.max(9, Math.min(46, Math.floor(400 / Math.max(1, nLayers))))}px`);
  const every = nHeads > 40 ? 8 : nHeads > 20 ? 4 : 1;
  const corner = make("span", {class: "axis", "aria-hidden": "true"});
  const numbers = Array.from({length: nHeads}, (_, head) =>
    make("span", {class: "axis top-axis", "aria-hidden": "true"}, head % every ? "" : String(head)),
  );
  board.append(corner, ...numbers);
  const down = nLayers > 24 ? 4 : 1;
  for (let layer = 0; layer < nLayers; layer++) {
    const row = make(
      "div",
      {role: "row"},
      make(
        "span",
        {class: "axis", role: "rowheader", "aria-label": `${t("map.layer")} ${layer}`},
        layer % down ? "" : String(layer),
      ),
    );
    for (let head = 0; head < nHeads; head++) {
      const is = head < headsIn(layer);
      const cell = is
        ? make("button", {type: "button", role: "gridcell", tabindex: -1, "data-head": `${layer}:${head}`})
        : make("span", {});
      if (is) cells.set(`${layer}:${head}`, cell);
      row.append(cell);
    }
    board.append(row);
  }
  at("board").replaceChildren(board);
  const start = view.head.length ? view.head : (everyHead()[0] ?? null);
  if (start) {
    focused = start;
    cellOf(...start).tabIndex = 0;
  }
  listenTo(board);
}

function cellOf(layer, head) {
  return cells.get(`${layer}:${head}`);
}

function headOf(element) {
  const cell = element?.closest?.("[data-head]");
  return cell ? cell.dataset.head.split(":").map(Number) : null;
}

function listenTo(board) {
  board.addEventListener("keydown", mapKey);
  board.addEventListener("pointerdown", (event) => {
    const from = headOf(event.target);
    if (!from || event.button !== 0) return;
    sweep = {from, to: from, moved: false};
    // A touch is captured by the cell it began on; released, the cells it passes over hear of it.
    if (event.target.hasPointerCapture(event.pointerId)) event.target.releasePointerCapture(event.pointerId);
  });
  board.addEventListener("pointerover", (event) => {
    const head = headOf(event.target);
    if (!head) return;
    readOut(...head);
    if (!sweep || (event.pointerType === "mouse" && !event.buttons)) return;
    sweep.to = head;
    sweep.moved ||= String(head) !== String(sweep.from);
    showSweep();
  });
  board.addEventListener("pointerleave", () => readOut(...(view.head.length ? view.head : focused)));
  board.addEventListener("click", (event) => {
    const head = headOf(event.target);
    if (!head) return;
    moveTo(head, false);
    chooseHead(head, true);
  });
  board.addEventListener("focusin", (event) => {
    const head = headOf(event.target);
    if (head) moveTo(head, false);
  });
}

document.addEventListener("pointerup", (event) => {
  const block = sweep?.moved ? blockOf(sweep) : null;
  sweep = null;
  showSweep();
  if (!block) return;
  // The click that ends a sweep is no click on a head.
  event.target.addEventListener("click", (click) => click.stopPropagation(), {capture: true, once: true});
  putSet(block);
});
document.addEventListener("pointercancel", () => {
  sweep = null;
  showSweep();
});

function blockOf({from, to}) {
  const [low, high] = [0, 1].map((i) => [Math.min(from[i], to[i]), Math.max(from[i], to[i])]);
  return everyHead().filter(
    ([layer, head]) => layer >= low[0] && layer <= low[1] && head >= high[0] && head <= high[1],
  );
}

function showSweep() {
  const block = sweep?.moved ? new Set(blockOf(sweep).map(([layer, head]) => `${layer}:${head}`)) : new Set();
  for (const [name, cell] of cells) cell.classList.toggle("swept", block.has(name));
}

function mapKey(event) {
  const here = headOf(event.target);
  if (!here || event.ctrlKey || event.metaKey || event.altKey) return;
  const [layer, head] = here;
  const to = {
    ArrowUp: [layer - 1, head],
    ArrowDown: [layer + 1, head],
    ArrowLeft: [layer, head - 1],
    ArrowRight: [layer, head + 1],
    Home: [layer, 0],
    End: [layer, headsIn(layer) - 1],
  }[event.key];
  const act = {
    Enter: () => (sweep?.moved ? putSet(endSweep()) : chooseHead(here, true)),
    " ": () => (sweep?.moved ? putSet(endSweep()) : chooseHead(here, true)),
    s: () => scaleHead(layer, head),
    "+": () => nudgeHead(layer, head, 1),
    "=": () => nudgeHead(layer, head, 1),
    "-": () => nudgeHead(layer, head, -1),
    Delete: () => putBack([here]),
    Backspace: () => putBack([here]),
    Escape: () => endSweep(),
  }[event.key];
  if (to) {
    event.preventDefault();
    const next = nearest(to);
    if (event.shiftKey) {
      sweep = {from: sweep?.from ?? here, to: next, moved: true};
    } else sweep = null;
    showSweep();
    moveTo(next, true);
  } else if (act) {
    event.preventDefault();
    act();
  }
}

function endSweep() {
  const block = sweep ? blockOf(sweep) : [];
  sweep = null;
  showSweep();
  return block;
}

// Layers may have fewer heads than the widest one, or none.
function nearest([layer, head]) {
  const row = Math.min(nLayers - 1, Math.max(0, layer));
  return headsIn(row) ? [row, Math.min(headsIn(row) - 1, Math.max(0, head))] : focused;
}

function moveTo(head, focus) {
  const before = cellOf(...focused);
  if (before) before.tabIndex = -1;
  focused = head;
  const cell = cellOf(...head);
  cell.tabIndex = 0;
  if (focus) cell.focus();
  readOut(...head);
  if (String(head) !== String(view.head)) chooseHead(head, false);
}

const attendSoon = debounced(() => fetchAttention(), 120);
function chooseHead(head, act) {
  const before = view.head.length ? cellOf(...view.head) : null;
  before?.classList.remove("chosen");
  const changed = String(before?.dataset.head) !== head.join(":");
  view.head = head;
  cellOf(...head).classList.add("chosen");
  keepView();
  if (act) cycleHead(...head);
  else if (changed) attendSoon();
}

// A run says its units in each language; those of a prompt are names.
function unitName() {
  return typeof shown.unit === "string" ? (shown.unit ? t(`units.${shown.unit}`) : "") : said(shown.unit);
}

function valueText(layer, head) {
  const value = shown.values?.[layer]?.[head];
  if (shown.values === null) return "";
  return value === null || value === undefined ? t("map.unmeasured") : `${number(value)} ${unitName()}`;
}

function cellLine(layer, head) {
  const group = groupOf(layer, head);
  const row = facts.run?.verdicts?.[view.concept]?.find((one) => one.heads === `${layer}:${head}`);
  return [
    headName(layer, head),
    valueText(layer, head),
    row ? t(`verdicts.${row.verdict}`) : "",
    group ? `${t(`kinds.${group.kind}`)}${STEPS_OF[group.kind] ? ` ${sizeOf(group)}` : ""}` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

function readOut(layer, head) {
  at("readout").textContent = layer === undefined ? "" : cellLine(layer, head);
}

function markCells() {
  for (const [name, cell] of cells) {
    const [layer, head] = name.split(":").map(Number);
    const group = groupOf(layer, head);
    if (group) {
      cell.dataset.kind = group.kind;
      cell.dataset.mark = sizeOf(group);
    } else {
      delete cell.dataset.kind;
      delete cell.dataset.mark;
    }
    cell.setAttribute("aria-selected", String(Boolean(group)));
    cell.setAttribute("aria-label", cellLine(layer, head).replaceAll(" · ", ", "));
    cell.classList.toggle("chosen", name === view.head.join(":"));
  }
  if (cells.size) readOut(...(view.head.length ? view.head : focused));
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
  );
  markCells();
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
  const extra = {measure: view.coloring, queries: from, keys: to};
  if (view.coloring === "direct") extra.token_id = view.word;
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
    trouble("map", error);
  } finally {
    if (!signal.aborted) at("board").removeAttribute("aria-busy");
  }
  return undefined;
}

function paint(one) {
  shown = {diverging: false, unit: "", ...one};
  paintCells();
}

function paintRun(measured) {
  const values = measured.by_concept[view.concept] ?? null;
  const told = {label: said(measured.label), concept: view.concept, path: facts.run.path};
  const note = t(values ? "map.run_note" : "map.run_none", told);
  paint({values, unit: measured.unit, diverging: measured.diverging, note});
}

function plainNote() {
  return t("map.plain_note", {steer: KINDS.includes("add") ? t("map.plain_steer") : ""});
}

function startMap() {
  document.querySelector(".desk").classList.toggle("wide-map", nHeads > 24);
  at("coloring").onchange = () => {
    view.coloring = at("coloring").value;
    keepView();
    fetchMap();
  };
  drawn(() => {
    const ofRun = make(
      "optgroup",
      {label: t("map.of_run")},
      measures.map((one) => option(one.key, said(one.label))),
    );
    const ofPrompt = make(
      "optgroup",
      {label: t("map.of_prompt")},
      PROMPT_COLORINGS.map((one) => option(one, t(`map.${one}`))),
    );
    at("coloring").replaceChildren(...(measures.length ? [ofRun] : []), ofPrompt, option("plain", t("map.plain")));
    at("coloring").value = view.coloring;
    if (!at("coloring").value) {
      view.coloring = measures[0]?.key ?? "attention";
      at("coloring").value = view.coloring;
    }
    buildBoard();
    fetchMap();
  });
}
