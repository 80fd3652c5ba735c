// The tables of a run: heads, sets, layers, verdicts, and its texts.
// Measures that many runs lack: key, title, kind and name; a column each where the run has them.
const MORE_OF_HEADS = [["brings", "brings (nats)", "patch", "sufficiency"], ["takes", "takes (nats)", "patch", "necessity"], ["predicted", "predicted (nats)", "score", "attribution_patching"]];

// Everything about each head and concept, a row each, the largest effects first.
function headRows() {
  const effect = measure("effect", "lexicon_logodds_nats", "mean");
  const zero = measure("effect", "lexicon_logodds_nats", "zero");
  const attention = measure("screen", "attention");
  const value = measure("screen", "value_weighted");
  const more = MORE_OF_HEADS.map(([key, , kind, name]) => [key, data.measures.find((one) => one.kind === kind && one.name === name)]);
  return data.concepts.flatMap((concept) => data.heads_per_layer.flatMap((n, layer) => Array.from({length: n}, (_, head) => {
    const [done, nought, looked, written] = [effect, zero, attention, value].map((one) => rowOf(one, concept, layer, head));
    const verdict = verdictOf.get(`${concept}\n${layer}:${head}`);
    const others = more.map(([key, one]) => [key, rowOf(one, concept, layer, head)?.estimate]);
    return done || looked || others.some(([, estimate]) => estimate !== undefined) ? {
      name: headName(layer, head), layer, head, concept, delta: looked?.estimate, delta_low: looked?.ci_low, delta_high: looked?.ci_high, q: looked?.q_value, value_weighted: written?.estimate,
      effect: done?.estimate, low: done?.ci_low, high: done?.ci_high, sim_low: done?.sim_low, sim_high: done?.sim_high, p: done?.p_max_t, zero: nought?.estimate, specificity: verdict?.specificity, attends: verdict?.attends ?? "", verdict: verdict?.verdict ?? "", ...Object.fromEntries(others),
    } : null;
  })).filter(Boolean)).sort((a, b) => Math.abs(b.effect ?? 0) - Math.abs(a.effect ?? 0));
}

const HEAD_COLUMNS = [
  plainColumn("name", "head"), plainColumn("concept", "concept", {left: true}), numberColumn("delta", "Δ attention"), rangeColumn("delta_low", "delta_high", "95 % CI"), numberColumn("q", "q", probability), numberColumn("value_weighted", "Δ value-weighted"),
  numberColumn("effect", "effect (nats)"), rangeColumn("low", "high", "95 % CI"), rangeColumn("sim_low", "sim_high", "simultaneous CI"), numberColumn("p", "family-wise p", probability), numberColumn("zero", "effect, zero"), numberColumn("specificity", "specificity"), plainColumn("attends", "attends", {left: true}), plainColumn("verdict", "verdict", {left: true}),
];

const SET_COLUMNS = [
  plainColumn("outcome", "metric"), plainColumn("edit", "edit", {left: true}), numberColumn("before", "baseline"), numberColumn("after", "ablation"), numberColumn("estimate", "Δ"), rangeColumn("low", "high", "95 % CI"),
  {...numberColumn("p", "p", probability), why: (row) => (row.p === null ? row.missing : "")}, numberColumn("q", "q", probability), numberColumn("mde", "smallest detectable"), plainColumn("unit", "unit", {left: true}),
];

const LAYER_COLUMNS = [
  plainColumn("concept", "concept"), numberColumn("layer", "layer", String), numberColumn("n_heads", "heads", String), numberColumn("mean_delta", "mean Δ attention"), numberColumn("mean_abs_delta", "mean |Δ|"), numberColumn("max_delta", "largest Δ"), numberColumn("n_attending", "attending"), numberColumn("effect_sum", "sum of effects (nats)"), numberColumn("effect_min", "strongest effect (nats)"),
];

function startTables() {
  const place = document.getElementById("table-list");
  const rows = headRows();
  const added = MORE_OF_HEADS.filter(([key]) => rows.some((row) => row[key] !== undefined)).map(([key, title]) => numberColumn(key, title));
  const heads = rows.length ? dataTable("heads", [...HEAD_COLUMNS, ...added], rows, (row) => openCard(row.layer, row.head, row.concept)) : empty("No head was screened, scored, edited or patched alone in this run.");
  if (rows.length) heads.open = true;
  const layers = rowsOf(data.layers);
  place.append(heads, layers.length ? dataTable("layers", LAYER_COLUMNS, layers) : empty("There are no layer statistics in this run (table layers is missing)."));
  if (verdicts.length) place.append(dataTable("verdicts", [plainColumn("heads", "heads"), plainColumn("concept", "concept", {left: true}), plainColumn("verdict", "verdict", {left: true}), plainColumn("attends", "attends", {left: true}), numberColumn("attention_share", "Δ attention (share)"), rangeColumn("attention_share_low", "attention_share_high", "simultaneous CI"), plainColumn("reason", "reason", {wide: true}), numberColumn("templates_needed", "templates that would decide", (value) => String(value ?? MISSING))], verdicts));
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
  const keyOf = (text) => [text.concept, text.heads, text.edit, text.direction].join("\n");
  const sets = [...new Set(data.texts.map(keyOf))];
  const select = make("select", {"aria-label": "Which set of heads"}, sets.map((key, at) => {
    const [concept, heads, edit, direction] = key.split("\n");
    const changed = direction ? `${headNames(heads)} patched for ${direction}` : `without ${headNames(heads)}`;
    return make("option", {value: at}, `${concept}, ${changed} (${edit.replace("_", " ")})`);
  }));
  const list = make("div", {class: "texts"});
  let shown = 4;
  const more = make("button", {type: "button", onclick: () => { shown += 40; draw(); }}, "more texts");
  function draw() {
    const mine = data.texts.filter((text) => keyOf(text) === sets[select.value]);
    list.replaceChildren(...mine.slice(0, shown).map(textItem));
    more.hidden = mine.length <= shown;
  }
  select.addEventListener("change", () => { shown = 4; draw(); });
  draw();
  return place.append(make("div", {class: "tools"}, select), list, make("div", {class: "tools"}, more));
}
