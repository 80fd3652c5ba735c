// Tables that can be searched, sorted and saved as CSV; rows beyond the first hundred come on demand.
const ROWS_SHOWN = 100;

// columns: {key, title, show(row) -> text, value(row) -> number or text to sort by and save; saved, where it is not
// [[key, value]], lists the cells of the CSV file}.
function dataTable(title, columns, rows, onRow = null) {
  let order = null;
  let limit = ROWS_SHOWN;
  const body = make("tbody");
  const countLine = make("span", {class: "fine", "aria-live": "polite"});
  const search = make("input", {type: "search", placeholder: "search", "aria-label": `Search in ${title}`});
  const more = make("button", {type: "button", onclick: () => { limit += 10 * ROWS_SHOWN; draw(); }}, "show more rows");
  const heads = columns.map((column, at) => make("th", {scope: "col", "aria-sort": "none"}, make("button", {type: "button", onclick: () => sortBy(at)}, column.title)));
  const haystacks = rows.map((row) => columns.map((column) => column.show(row)).join("\n").toLowerCase());
  const chosen = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((_, at) => words.every((word) => haystacks[at].includes(word)));
    if (!order) return found;
    const {value} = columns[order.at];
    return found.map((row) => [value(row), row]).sort(([a], [b]) => compare(a, b, order.down)).map(([, row]) => row);
  };
  function sortBy(at) {
    order = {at, down: order && order.at === at ? !order.down : false};
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== at ? "none" : order.down ? "descending" : "ascending"));
    draw();
  }
  function draw() {
    const found = chosen();
    body.replaceChildren(...found.slice(0, limit).map((row) => {
      const cells = columns.map((column, at) => make(at ? "td" : "th", at ? {class: column.wide ? "wrap" : column.left ? "left" : null} : {scope: "row"}, column.why?.(row) ? make("span", {title: column.why(row)}, column.show(row)) : column.show(row)));
      const line = make("tr", onRow ? {class: "open", tabindex: 0, onclick: () => onRow(row), onkeydown: (event) => { if (event.key === "Enter") onRow(row); }} : {}, cells);
      return line;
    }));
    countLine.textContent = `${found.length} of ${rows.length} rows`;
    more.hidden = found.length <= limit;
  }
  const save = make("button", {type: "button", onclick: () => saveCsv(`${title}.csv`, columns, chosen())}, "CSV");
  search.addEventListener("input", draw);
  draw();
  return make("details", {class: "box", "data-table": title}, make("summary", {}, `${title} (${rows.length} rows)`), make("div", {class: "tools"}, search, save, countLine), make("div", {class: "scroll"}, make("table", {}, make("thead", {}, make("tr", {}, heads)), body)), more);
}

// Missing values stand last in either direction.
function compare(a, b, down) {
  const missing = (value) => value === null || value === undefined || value === "";
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", {numeric: true});
  return down ? -order : order;
}

function csvText(columns, rows) {
  // A cell that a spreadsheet would take for a formula gets an apostrophe; numbers stay numbers.
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const saved = columns.flatMap((column) => column.saved ?? [[column.key, column.value]]);
  return [saved.map(([key]) => cell(key)), ...rows.map((row) => saved.map(([, value]) => cell(value(row))))].map((line) => `${line.join(",")}\n`).join("");
}

function saveCsv(name, columns, rows) {
  const url = URL.createObjectURL(new Blob([csvText(columns, rows)], {type: "text/csv;charset=utf-8"}));
  make("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

const plainColumn = (key, title = key, extra = {}) => ({key, title, show: (row) => String(row[key] ?? MISSING), value: (row) => row[key], ...extra});
const numberColumn = (key, title = key, show = number) => ({key, title, show: (row) => show(row[key]), value: (row) => row[key]});
// Both ends in one cell on the page, in two of the CSV file; sorted by the lower end.
const rangeColumn = (low, high, title) => ({key: low, title, show: (row) => interval(row[low], row[high]), value: (row) => row[low], saved: [[low, (row) => row[low]], [high, (row) => row[high]]]});

// Everything about each head and concept, a row each, the largest effects first.
function headRows() {
  const effect = measure("effect", "lexicon_logodds_nats", "mean");
  const zero = measure("effect", "lexicon_logodds_nats", "zero");
  const attention = measure("screen", "attention");
  const value = measure("screen", "value_weighted");
  return data.concepts.flatMap((concept) => data.heads_per_layer.flatMap((n, layer) => Array.from({length: n}, (_, head) => {
    const [done, nought, looked, written] = [effect, zero, attention, value].map((one) => rowOf(one, concept, layer, head));
    const verdict = verdictOf.get(`${concept}\n${layer}:${head}`);
    return done || looked ? {
      name: headName(layer, head), layer, head, concept, delta: looked?.estimate, delta_low: looked?.ci_low, delta_high: looked?.ci_high, q: looked?.q_value, value_weighted: written?.estimate,
      effect: done?.estimate, low: done?.ci_low, high: done?.ci_high, sim_low: done?.sim_low, sim_high: done?.sim_high, p: done?.p_max_t, zero: nought?.estimate, specificity: verdict?.specificity, verdict: verdict?.verdict ?? "",
    } : null;
  })).filter(Boolean)).sort((a, b) => Math.abs(b.effect ?? 0) - Math.abs(a.effect ?? 0));
}

const HEAD_COLUMNS = [
  plainColumn("name", "head"), plainColumn("concept", "concept", {left: true}), numberColumn("delta", "Δ attention"), rangeColumn("delta_low", "delta_high", "95 % CI"), numberColumn("q", "q", probability), numberColumn("value_weighted", "Δ value-weighted"),
  numberColumn("effect", "effect (nats)"), rangeColumn("low", "high", "95 % CI"), rangeColumn("sim_low", "sim_high", "simultaneous CI"), numberColumn("p", "family-wise p", probability), numberColumn("zero", "effect, zero"), numberColumn("specificity", "specificity"), plainColumn("verdict", "verdict", {left: true}),
];

const SET_COLUMNS = [
  plainColumn("outcome", "metric"), plainColumn("edit", "edit", {left: true}), numberColumn("before", "baseline"), numberColumn("after", "ablation"), numberColumn("estimate", "Δ"), rangeColumn("low", "high", "95 % CI"),
  {...numberColumn("p", "p", probability), why: (row) => (row.p === null ? row.missing : "")}, numberColumn("q", "q", probability), numberColumn("mde", "smallest detectable"), plainColumn("unit", "unit", {left: true}),
];

const LAYER_COLUMNS = [
  plainColumn("concept", "concept"), numberColumn("layer", "layer", String), numberColumn("n_heads", "heads", String), numberColumn("mean_delta", "mean Δ attention"), numberColumn("mean_abs_delta", "mean |Δ|"), numberColumn("max_delta", "largest Δ"), numberColumn("n_attending", "attending (q < .05)"), numberColumn("effect_sum", "sum of effects (nats)"), numberColumn("effect_min", "strongest effect (nats)"),
];

function startTables() {
  const place = document.getElementById("table-list");
  const rows = headRows();
  const heads = rows.length ? dataTable("heads", HEAD_COLUMNS, rows, (row) => openCard(row.layer, row.head, row.concept)) : empty("No head was screened or edited alone in this run.");
  if (rows.length) heads.open = true;
  const layers = rowsOf(data.layers);
  place.append(heads, layers.length ? dataTable("layers", LAYER_COLUMNS, layers) : empty("There are no layer statistics in this run (table layers is missing)."));
  if (verdicts.length) place.append(dataTable("verdicts", [plainColumn("heads", "heads"), plainColumn("concept", "concept", {left: true}), plainColumn("verdict", "verdict", {left: true}), plainColumn("reason", "reason", {wide: true}), numberColumn("templates_needed", "templates that would decide", (value) => String(value ?? MISSING))], verdicts));
  place.append(make("p", {class: "fine"}, "CSV files of this page keep six digits; the run's folder tables/ holds every row and digit."));
}

function startSets() {
  const place = document.getElementById("comparisons");
  if (!data.sets.length) return place.append(empty("No set of heads was ablated in this run."));
  place.append(...data.sets.map((one, at) => {
    const table = dataTable(one.title.replaceAll(/\\(.)/g, "$1"), SET_COLUMNS, one.rows);
    table.open = at === 0;
    return table;
  }));
  return undefined;
}

function startTexts() {
  const place = document.getElementById("text-list");
  if (!data.texts.length) return place.append(empty("No texts were written in this run (table texts is missing)."));
  const sets = [...new Set(data.texts.map((text) => `${text.concept}\n${text.heads}\n${text.edit}`))];
  const select = make("select", {"aria-label": "Which set of heads"}, sets.map((key, at) => {
    const [concept, heads, edit] = key.split("\n");
    return make("option", {value: at}, `${concept}, without ${headNames(heads)} (${edit})`);
  }));
  const list = make("div", {class: "texts"});
  let shown = 4;
  const more = make("button", {type: "button", onclick: () => { shown += 40; draw(); }}, "more texts");
  function draw() {
    const mine = data.texts.filter((text) => `${text.concept}\n${text.heads}\n${text.edit}` === sets[select.value]);
    list.replaceChildren(...mine.slice(0, shown).map(textItem));
    more.hidden = mine.length <= shown;
  }
  select.addEventListener("change", () => { shown = 4; draw(); });
  draw();
  return place.append(make("div", {class: "tools"}, select), list, make("div", {class: "tools"}, more));
}
