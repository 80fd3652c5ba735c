// The map of heads: a grid of buttons, one a head, of which one is in the tab order. Its colors are the run's, or what
// this prompt shows.
const shown = {values: null, diverging: false, unit: "", note: ""};
let cells = new Map(); // "layer:head" -> its button
let focused = [0, 0];
let sweep = null; // {from, to, moved}: the block that is being chosen

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
    const next = nearest(to, here);
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

// Layers may have fewer heads than the widest one, or none: those are passed over.
function nearest([layer, head], [from]) {
  let row = layer;
  while (row >= 0 && row < nLayers && !headsIn(row)) row += Math.sign(layer - from);
  if (row < 0 || row >= nLayers) row = from;
  return [row, Math.min(headsIn(row) - 1, Math.max(0, head))];
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

// The run's verdicts on single heads for a concept, by head.
const verdictsBy = new Map();
function verdictOf(concept, name) {
  if (!verdictsBy.has(concept)) {
    const rows = facts.run?.verdicts?.[concept] ?? [];
    verdictsBy.set(concept, new Map(rows.map((row) => [row.heads, row.verdict])));
  }
  return verdictsBy.get(concept).get(name);
}

function cellLine(layer, head, group = groupOf(layer, head)) {
  const verdict = verdictOf(view.concept, `${layer}:${head}`);
  return [
    headName(layer, head),
    valueText(layer, head),
    verdict ? t(`verdicts.${verdict}`) : "",
    group ? `${t(`kinds.${group.kind}`)}${STEPS_OF[group.kind] ? ` ${sizeOf(group)}` : ""}` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

function readOut(layer, head) {
  at("readout").textContent = layer === undefined ? "" : cellLine(layer, head);
}

// Marks the edited heads; of thousands of heads only those whose edit changed are touched, unless `all` are.
function markCells(all = false) {
  const edited = new Map(view.groups.flatMap((group) => group.heads.map((head) => [head.join(":"), group])));
  for (const [name, cell] of cells) {
    const group = edited.get(name);
    const mark = group ? sizeOf(group) : undefined;
    if (!all && cell.dataset.kind === group?.kind && cell.dataset.mark === mark) continue;
    if (group) Object.assign(cell.dataset, {kind: group.kind, mark});
    else for (const old of ["kind", "mark"]) delete cell.dataset[old];
    cell.setAttribute("aria-selected", String(Boolean(group)));
    const [layer, head] = name.split(":").map(Number);
    cell.setAttribute("aria-label", cellLine(layer, head, group ?? null).replaceAll(" · ", ", "));
  }
  at("board").querySelector(".chosen")?.classList.remove("chosen");
  if (!cells.size) return;
  if (view.head.length) cellOf(...view.head).classList.add("chosen");
  readOut(...(view.head.length ? view.head : focused));
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
