// One head's card: its verdicts, every measure, its effect on each prompt, where it looks, what was written without it.
const card = document.getElementById("card");
let cardReturn = null;
let cardCharts = [];

function openCard(layer, head, concept = null) {
  if (!(layer >= 0 && layer < nLayers && head >= 0 && head < (data.heads_per_layer[layer] ?? 0))) return;
  if (card.hidden) cardReturn = document.activeElement;
  const name = headName(layer, head);
  closeCharts();
  const title = make("h2", {id: "card-title", tabindex: -1}, name);
  card.replaceChildren(
    make(
      "header",
      {},
      title,
      make("button", {type: "button", onclick: stepHead(layer, head, -1), "aria-label": t("card.previous")}, "‹"),
      make("button", {type: "button", onclick: stepHead(layer, head, 1), "aria-label": t("card.next")}, "›"),
      make("button", {type: "button", id: "card-close", onclick: closeCard, "aria-label": t("card.close")}, "✕"),
    ),
    verdictList(layer, head),
    make("h3", {}, t("card.effects")),
    stripPlace("effect"),
    make("h3", {}, t("card.reads")),
    regionTable(layer, head),
    make("h3", {}, t("card.looks")),
    exampleList(layer, head, concept),
    make("h3", {}, t("card.measures")),
    measureTable(layer, head),
    make("h3", {}, t("card.texts")),
    textsOf(layer, head),
  );
  card.hidden = false;
  card.scrollTop = 0;
  drawStrip(layer, head);
  title.focus({preventScroll: true});
  if (location.hash !== `#${name}`) history.replaceState(null, "", `#${name}`);
}

function closeCharts() {
  cardCharts.forEach((box) => Plotly.purge(box));
  cardCharts = [];
}

function closeCard() {
  if (card.hidden) return;
  closeCharts();
  card.hidden = true;
  history.replaceState(null, "", location.pathname + location.search);
  if (cardReturn?.isConnected) cardReturn.focus({preventScroll: true});
}

function stepHead(layer, head, step) {
  const all = data.heads_per_layer.flatMap((n, at) => Array.from({length: n}, (_, h) => [at, h]));
  const here = all.findIndex(([l, h]) => l === layer && h === head);
  return () => openCard(...all[(here + step + all.length) % all.length]);
}

function verdictList(layer, head) {
  const rows = data.concepts.map((concept) => verdictOf.get(`${concept}\n${layer}:${head}`)).filter(Boolean);
  if (!rows.length) return nothing("card.no_verdict", "verdicts");
  return make(
    "div",
    {},
    rows.map((row) =>
      make(
        "p",
        {class: "fine"},
        make(
          "span",
          {class: `badge${/carrier|suppressor/.test(row.verdict) ? " strong" : ""}`},
          `${row.concept}: ${t(`verdicts.${row.verdict}`)}`,
        ),
        ` ${row.reason}`,
      ),
    ),
  );
}

// Shares of attention by region of the text, a column a concept, and the norm of what is written from each region.
function regionTable(layer, head) {
  const rows = rowsOf(data.reads).filter((row) => row.layer === layer && row.head === head);
  if (!rows.length) return nothing("card.no_regions", "screen");
  const titles = [
    t("card.region"),
    ...rows.flatMap((row) => [t("card.share_of", {concept: row.concept}), t("columns.ci"), t("card.norm")]),
  ];
  const cells = (region) =>
    make(
      "tr",
      {},
      make("th", {scope: "row"}, t(`places.${region}`)),
      rows.flatMap((row) => [
        make("td", {}, number(row[`${region}_share`])),
        make("td", {}, interval(row[`${region}_low`], row[`${region}_high`])),
        make("td", {}, number(row[`${region}_norm`])),
      ]),
    );
  return make(
    "div",
    {},
    make("p", {class: "fine"}, t("card.regions")),
    scrolling(t("card.reads"), titles, Object.keys(data.words[language].places).map(cells)),
  );
}

function scrolling(label, titles, rows) {
  const heads = titles.map((title) => make("th", {scope: "col"}, title));
  const table = make("table", {}, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows));
  return make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": label}, table);
}

function measureTable(layer, head) {
  const rows = data.measures
    .flatMap((one) =>
      Object.keys(one.by_concept).map((concept) => ({one, concept, row: rowOf(one, concept, layer, head)})),
    )
    .filter(({row}) => row);
  if (!rows.length) return empty(t("card.no_measure"));
  const cells = ({one, concept, row}) =>
    make(
      "tr",
      {},
      make("th", {scope: "row"}, `${said(one.label)}${one.edit ? `, ${t(`edits.${one.edit}`)}` : ""}`),
      make("td", {class: "left"}, concept || t("card.controls")),
      make("td", {}, number(row.estimate)),
      make("td", {}, interval(row.ci_low, row.ci_high)),
      make("td", {}, interval(row.sim_low, row.sim_high)),
      make("td", {}, probability(row.p_value)),
      make("td", {}, probability(row.q_value)),
      make("td", {}, probability(row.p_max_t)),
      make("td", {}, said(one.unit)),
      make("td", {}, String(row.n_templates ?? MISSING)),
    );
  const titles = [
    t("card.measure"),
    t("columns.prompts"),
    t("card.estimate"),
    t("columns.ci"),
    t("columns.sim_ci"),
    "p",
    "q",
    t("columns.p_max_t"),
    t("card.unit"),
    t("columns.templates"),
  ];
  const table = scrolling(t("card.measures"), titles, rows.map(cells));
  const has = (edit) => rows.some(({one}) => one.name === data.primary_outcome && one.edit === edit);
  const lacks = data.not_measured && has(data.deciding_edit) && !has(data.agreeing_edit);
  return lacks ? make("div", {}, table, make("p", {class: "fine"}, t("card.too_small"))) : table;
}

function stripPlace(id) {
  return make("div", {id: `strip-${id}`});
}

// A dot a prompt, a row a concept; its height within the row only keeps dots apart.
function drawStrip(layer, head) {
  const place = document.getElementById("strip-effect");
  const kind = Object.keys(data.strips.effect).length ? "effect" : "screen";
  const found = data.concepts
    .map((concept) => ({concept, strip: data.strips[kind][concept]}))
    .filter(({strip}) => strip?.heads.includes(`${layer}:${head}`));
  if (!found.length) return place.replaceChildren(nothing("card.no_prompts", "sweep"));
  const unit = kind === "effect" ? t("charts.effect") : t("charts.delta");
  const one =
    kind === "effect" ? measure("effect", data.primary_outcome, data.deciding_edit) : measure("screen", "attention");
  const traces = found.flatMap(({concept, strip}, at) => {
    strip.floats ??= decodeFloats(strip.values);
    const n = strip.prompts.length;
    const start = strip.heads.indexOf(`${layer}:${head}`) * n;
    const values = Array.from(strip.floats.subarray(start, start + n));
    const row = rowOf(one, concept, layer, head);
    const dots = {
      type: "scatter",
      mode: "markers",
      x: values,
      y: values.map((_, i) => at + (((i * 0.618) % 1) - 0.5) * 0.5),
      marker: {color: conceptColor(concept), size: 6, opacity: 0.6},
      showlegend: false,
      hoverinfo: "text",
      hovertext: strip.prompts.map((id, i) =>
        [`${id}: ${number(values[i])}`, data.prompts[id] ?? ""].map((line) => forPlotly(line)).join("<br>"),
      ),
    };
    const mean = row && {
      type: "scatter",
      mode: "markers",
      x: [row.estimate],
      y: [at + 0.38],
      error_x: {
        type: "data",
        symmetric: false,
        array: [(row.ci_high ?? row.estimate) - row.estimate],
        arrayminus: [row.estimate - (row.ci_low ?? row.estimate)],
        width: 0,
        thickness: 3,
      },
      marker: {color: color("ink"), size: 9, symbol: "diamond"},
      showlegend: false,
      hoverinfo: "text",
      hovertext: [forPlotly(t("card.mean", {size: number(row.estimate), ends: interval(row.ci_low, row.ci_high)}))],
    };
    return mean ? [dots, mean] : [dots];
  });
  cardCharts.push(place);
  Plotly.newPlot(
    place,
    traces,
    layout({
      height: 90 + 62 * found.length,
      margin: {l: 84, r: 12, t: 6, b: 40},
      xaxis: {title: {text: unit}, fixedrange: true},
      yaxis: {
        tickvals: found.map((_, at) => at),
        ticktext: found.map(({concept}) => forPlotly(concept, 14)),
        zeroline: false,
        showgrid: false,
        range: [found.length - 0.4, -0.5],
        fixedrange: true,
      },
    }),
    PLOT_CONFIG,
  );
  place.append(make("p", {class: "fine"}, t("card.dots")));
  return undefined;
}

function exampleList(layer, head, concept) {
  const mine = data.examples.filter((example) => !concept || example.concept === concept);
  if (!mine.length) return empty(t("card.no_examples"));
  const shown = concept
    ? mine
    : data.concepts.map((name) => mine.find((example) => example.concept === name)).filter(Boolean);
  return make(
    "div",
    {},
    make("p", {class: "fine"}, t("card.shade")),
    shown.map((example) => tokensOf(example, layer, head)),
  );
}

function tokensOf(example, layer, head) {
  const shares = example.rows[layer]?.[head] ?? [];
  const onSpan = shares.reduce((sum, share, i) => sum + (example.in_span[i] ? share : 0), 0) / 1000;
  const words = example.tokens.map((token, i) => {
    const share = (shares[i] ?? 0) / 1000;
    const bos = i === 0 && token === "";
    const word = make(
      "span",
      {
        class: [example.in_span[i] ? "span" : "", i === example.query ? "query" : "", bos ? "bos" : ""]
          .join(" ")
          .trim(),
        title: t("card.of_attention", {share: (share * 100).toFixed(1)}),
      },
      bos ? "BOS" : token,
    );
    word.style.backgroundColor = `rgba(${color("shade")}, ${(0.6 * share).toFixed(3)})`;
    return word;
  });
  return make(
    "div",
    {class: "tokens", dir: "auto"},
    words,
    make(
      "span",
      {class: "who"},
      `  ${t("card.on_words", {concept: example.concept, share: (100 * onSpan).toFixed(1)})}`,
    ),
  );
}

function textsOf(layer, head) {
  const mine = data.texts.filter((text) => !text.direction && text.heads.split(",").includes(`${layer}:${head}`));
  if (!mine.length) return nothing("card.no_texts", "texts");
  const edits = [...new Set(mine.map((text) => text.edit))];
  const kept = mine.filter(
    (text) => text.edit === (edits.includes(data.deciding_edit) ? data.deciding_edit : edits[0]),
  );
  return make("div", {class: "texts"}, make("p", {class: "fine"}, t("card.in_sets")), kept.slice(0, 6).map(textItem));
}

function textItem(text) {
  const pieces = text.pieces.map(([sign, piece]) =>
    sign === "=" ? piece : make(sign === "-" ? "del" : "ins", {}, piece),
  );
  return make(
    "div",
    {class: "text"},
    make(
      "div",
      {class: "who"},
      [
        text.concept,
        t("card.without", {heads: headNames(text.heads)}),
        t(`edits.${text.edit}`),
        ...(text.sample ? [t("card.sample", {n: text.sample + 1})] : []),
      ].join(" · "),
    ),
    make("span", {class: "written", dir: "auto"}, make("b", {}, text.prompt), pieces),
  );
}
