// The tables of a run: heads, sets, layers, verdicts, and its texts.
// Measures that many runs lack: key (of the title, too), kind and name; a column each where the run has them.
const MORE_OF_HEADS = [
  ["brings", "patch", "sufficiency"],
  ["takes", "patch", "necessity"],
  ["predicted", "score", "attribution_patching"],
];

// Everything about each head and concept, a row each, the largest effects first.
function headRows() {
  const effect = measure("effect", data.primary_outcome, data.deciding_edit);
  const zero = measure("effect", data.primary_outcome, data.agreeing_edit);
  const attention = measure("screen", "attention");
  const value = measure("screen", "value_weighted");
  const more = MORE_OF_HEADS.map(([key, kind, name]) => [
    key,
    data.measures.find((one) => one.kind === kind && one.name === name),
  ]);
  return data.concepts
    .flatMap((concept) =>
      data.heads_per_layer
        .flatMap((n, layer) =>
          Array.from({length: n}, (_, head) => {
            const [done, nought, looked, written] = [effect, zero, attention, value].map((one) =>
              rowOf(one, concept, layer, head),
            );
            const verdict = verdictOf.get(`${concept}\n${layer}:${head}`);
            const others = more.map(([key, one]) => [key, rowOf(one, concept, layer, head)?.estimate]);
            return done || looked || others.some(([, estimate]) => estimate !== undefined)
              ? {
                  name: headName(layer, head),
                  layer,
                  head,
                  concept,
                  delta: looked?.estimate,
                  delta_low: looked?.ci_low,
                  delta_high: looked?.ci_high,
                  q: looked?.q_value,
                  value_weighted: written?.estimate,
                  effect: done?.estimate,
                  low: done?.ci_low,
                  high: done?.ci_high,
                  sim_low: done?.sim_low,
                  sim_high: done?.sim_high,
                  p: done?.p_max_t,
                  zero: nought?.estimate,
                  specificity: verdict?.specificity,
                  attends: verdict?.attends ?? "",
                  verdict: verdict?.verdict ?? "",
                  ...Object.fromEntries(others),
                }
              : null;
          }),
        )
        .filter(Boolean),
    )
    .sort((a, b) => Math.abs(b.effect ?? 0) - Math.abs(a.effect ?? 0));
}

const HEAD_COLUMNS = [
  plainColumn("name", t("columns.head")),
  plainColumn("concept", t("columns.concept"), {left: true}),
  numberColumn("delta", t("columns.delta_attention")),
  rangeColumn("delta_low", "delta_high", t("columns.ci")),
  numberColumn("q", "q", probability),
  numberColumn("value_weighted", t("columns.delta_value_weighted")),
  numberColumn("effect", t("columns.effect")),
  rangeColumn("low", "high", t("columns.ci")),
  rangeColumn("sim_low", "sim_high", t("columns.sim_ci")),
  numberColumn("p", t("columns.p_max_t"), probability),
  {
    ...numberColumn("zero", t("columns.effect_zero")),
    why: (row) => (data.not_measured && row.effect !== undefined && row.zero === undefined ? t("maps.too_small") : ""),
  },
  numberColumn("specificity", t("columns.specificity")),
  wordColumn("attends", "answers", t("columns.attends")),
  wordColumn("verdict", "verdicts", t("columns.verdict")),
];

const SET_COLUMNS = [
  saidColumn("outcome", t("columns.metric")),
  saidColumn("edit", t("columns.edit"), {left: true}),
  numberColumn("before", t("columns.baseline")),
  numberColumn("after", t("columns.ablation")),
  numberColumn("estimate", t("columns.delta")),
  rangeColumn("low", "high", t("columns.ci")),
  {...numberColumn("p_value", "p", probability), why: (row) => (row.p_value === null ? said(row.missing) : "")},
  numberColumn("q_value", "q", probability),
  numberColumn("mde", t("columns.mde")),
  saidColumn("unit", t("card.unit"), {left: true}),
];

const LAYER_COLUMNS = [
  plainColumn("concept", t("columns.concept")),
  numberColumn("layer", t("columns.layer"), String),
  numberColumn("n_heads", t("columns.n_heads"), String),
  numberColumn("mean_delta", t("columns.mean_delta")),
  numberColumn("mean_abs_delta", t("columns.mean_abs_delta")),
  numberColumn("max_delta", t("columns.max_delta")),
  numberColumn("n_attending", t("columns.attends")),
  numberColumn("effect_sum", t("columns.effect_sum")),
  numberColumn("effect_min", t("columns.effect_min")),
];

function startTables() {
  const place = document.getElementById("table-list");
  const rows = headRows();
  const added = MORE_OF_HEADS.filter(([key]) => rows.some((row) => row[key] !== undefined)).map(([key]) =>
    numberColumn(key, t(`columns.${key}`)),
  );
  const heads = rows.length
    ? dataTable("heads", t("grids.heads"), [...HEAD_COLUMNS, ...added], rows, (row) =>
        openCard(row.layer, row.head, row.concept),
      )
    : nothing("maps.no_heads", "screen");
  if (rows.length) heads.open = true;
  const layers = rowsOf(data.layers);
  place.append(
    heads,
    layers.length
      ? dataTable("layers", t("grids.layers"), LAYER_COLUMNS, layers)
      : nothing("grids.no_layers", "screen"),
  );
  if (verdicts.length)
    place.append(
      dataTable(
        "verdicts",
        t("grids.verdicts"),
        [
          plainColumn("heads", t("columns.heads")),
          plainColumn("concept", t("columns.concept"), {left: true}),
          wordColumn("verdict", "verdicts", t("columns.verdict")),
          wordColumn("attends", "answers", t("columns.attends")),
          numberColumn("attention_share", t("columns.attention_share")),
          rangeColumn("attention_share_low", "attention_share_high", t("columns.sim_ci")),
          plainColumn("reason", t("grids.reason"), {wide: true}),
          numberColumn("templates_needed", t("columns.would_decide"), (value) => String(value ?? MISSING)),
        ],
        verdicts,
      ),
    );
  place.append(make("p", {class: "fine"}, t("grids.digits")));
}

function startSets() {
  const place = document.getElementById("comparisons");
  if (!data.sets.length) return place.append(nothing("grids.no_sets", "texts"));
  place.append(
    ...data.sets.map((one, at) => {
      const table = dataTable(
        `${one.concept} ${one.heads}`,
        said(one.title).replaceAll(/\\(.)/g, "$1"),
        SET_COLUMNS,
        one.rows,
      );
      table.open = at === 0;
      return table;
    }),
  );
  return undefined;
}

function startTexts() {
  const place = document.getElementById("text-list");
  if (!data.texts.length) return place.append(nothing("grids.no_texts", "texts"));
  const keyOf = (text) => [text.concept, text.heads, text.edit, text.direction].join("\n");
  const sets = [...new Set(data.texts.map(keyOf))];
  const select = make(
    "select",
    {"aria-label": t("grids.which")},
    sets.map((key, at) => {
      const [concept, heads, edit, direction] = key.split("\n");
      const changed = direction
        ? t("card.patched", {heads: headNames(heads), direction})
        : t("card.without", {heads: headNames(heads)});
      return make("option", {value: at}, `${concept}, ${changed} (${edit.replace("_", " ")})`);
    }),
  );
  const list = make("div", {class: "texts"});
  let shown = 4;
  const more = make(
    "button",
    {
      type: "button",
      onclick: () => {
        shown += 40;
        draw();
      },
    },
    t("grids.more_texts"),
  );
  function draw() {
    const mine = data.texts.filter((text) => keyOf(text) === sets[select.value]);
    list.replaceChildren(...mine.slice(0, shown).map(textItem));
    more.hidden = mine.length <= shown;
  }
  select.addEventListener("change", () => {
    shown = 4;
    draw();
  });
  draw();
  return place.append(make("div", {class: "tools"}, select), list, make("div", {class: "tools"}, more));
}
