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
    make("header", {}, title, make("button", {type: "button", onclick: stepHead(layer, head, -1), "aria-label": "Previous head"}, "‹"), make("button", {type: "button", onclick: stepHead(layer, head, 1), "aria-label": "Next head"}, "›"), make("button", {type: "button", id: "card-close", onclick: closeCard, "aria-label": "Close the card"}, "✕")),
    verdictList(layer, head), make("h3", {}, "Effect on each prompt"), stripPlace("effect"), make("h3", {}, "Where it reads"), regionTable(layer, head), make("h3", {}, "Where it looks"), exampleList(layer, head, concept),
    make("h3", {}, "Every measure"), measureTable(layer, head), make("h3", {}, "Text without it"), textsOf(layer, head),
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
  if (cardReturn && cardReturn.isConnected) cardReturn.focus({preventScroll: true});
}

function stepHead(layer, head, step) {
  const all = data.heads_per_layer.flatMap((n, at) => Array.from({length: n}, (_, h) => [at, h]));
  const here = all.findIndex(([l, h]) => l === layer && h === head);
  return () => openCard(...all[(here + step + all.length) % all.length]);
}

function verdictList(layer, head) {
  const rows = data.concepts.map((concept) => verdictOf.get(`${concept}\n${layer}:${head}`)).filter(Boolean);
  if (!rows.length) return empty("No verdict on this head in this run.");
  return make("div", {}, rows.map((row) => make("p", {class: "fine"}, make("span", {class: `badge${/carrier|suppressor/.test(row.verdict) ? " strong" : ""}`}, `${row.concept}: ${row.verdict}`), ` ${row.reason}`)));
}

// Shares of attention by region of the text, a column a concept, and the norm of what is written from each region.
function regionTable(layer, head) {
  const rows = rowsOf(data.reads).filter((row) => row.layer === layer && row.head === head);
  if (!rows.length) return empty("Where heads read by region was not measured in this run (table attention_by_region is missing).");
  const titles = ["region", ...rows.flatMap((row) => [`${row.concept}: share`, "95 % CI", "norm written"])];
  const cells = (region) => make("tr", {}, make("th", {scope: "row"}, data.regions[region]), rows.flatMap((row) => [make("td", {}, number(row[`${region}_share`])), make("td", {}, interval(row[`${region}_low`], row[`${region}_high`])), make("td", {}, number(row[`${region}_norm`]))]));
  return make("div", {}, make("p", {class: "fine"}, "From the places where the answer is read, on concept prompts. Shares sum to 1, less what a learned sink takes; norms need not sum."), make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Where this head reads"}, make("table", {}, make("thead", {}, make("tr", {}, titles.map((title) => make("th", {scope: "col"}, title)))), make("tbody", {}, Object.keys(data.regions).map(cells)))));
}

function measureTable(layer, head) {
  const rows = data.measures.flatMap((one) => Object.keys(one.by_concept).map((concept) => ({one, concept, row: rowOf(one, concept, layer, head)}))).filter(({row}) => row);
  if (!rows.length) return empty("Nothing was measured on this head alone.");
  const cells = ({one, concept, row}) => make("tr", {}, make("th", {scope: "row"}, `${one.label}${one.edit ? `, ${one.edit}` : ""}`), make("td", {class: "left"}, concept || "controls"), make("td", {}, number(row.estimate)), make("td", {}, interval(row.ci_low, row.ci_high)), make("td", {}, interval(row.sim_low, row.sim_high)), make("td", {}, probability(row.p_value)), make("td", {}, probability(row.q_value)), make("td", {}, probability(row.p_max_t)), make("td", {}, one.unit), make("td", {}, String(row.n_templates ?? MISSING)));
  const titles = ["measure", "prompts", "estimate", "95 % CI", "simultaneous CI", "p", "q", "family-wise p", "unit", "templates"];
  return make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Every measure of this head"}, make("table", {}, make("thead", {}, make("tr", {}, titles.map((title) => make("th", {scope: "col"}, title)))), make("tbody", {}, rows.map(cells))));
}

function stripPlace(id) {
  return make("div", {id: `strip-${id}`});
}

// A dot a prompt, a row a concept; its height within the row only keeps dots apart.
function drawStrip(layer, head) {
  const place = document.getElementById("strip-effect");
  const kind = Object.keys(data.strips.effect).length ? "effect" : "screen";
  const found = data.concepts.map((concept) => ({concept, strip: data.strips[kind][concept]})).filter(({strip}) => strip && strip.heads.includes(`${layer}:${head}`));
  if (!found.length) return place.replaceChildren(empty("The run keeps no values of single prompts for this head (arrays.safetensors)."));
  const unit = kind === "effect" ? "effect (nats)" : "Δ attention (share)";
  const one = kind === "effect" ? measure("effect", "lexicon_logodds_nats", "mean") : measure("screen", "attention");
  const traces = found.flatMap(({concept, strip}, at) => {
    strip.floats ??= decodeFloats(strip.values);
    const n = strip.prompts.length;
    const start = strip.heads.indexOf(`${layer}:${head}`) * n;
    const values = Array.from(strip.floats.subarray(start, start + n));
    const row = rowOf(one, concept, layer, head);
    const dots = {type: "scatter", mode: "markers", x: values, y: values.map((_, i) => at + ((i * 0.618) % 1 - 0.5) * 0.5), marker: {color: conceptColor(concept), size: 6, opacity: 0.6}, showlegend: false, hoverinfo: "text", hovertext: strip.prompts.map((id, i) => [`${id}: ${number(values[i])}`, data.prompts[id] ?? ""].map((line) => forPlotly(line)).join("<br>"))};
    const mean = row && {type: "scatter", mode: "markers", x: [row.estimate], y: [at + 0.38], error_x: {type: "data", symmetric: false, array: [(row.ci_high ?? row.estimate) - row.estimate], arrayminus: [row.estimate - (row.ci_low ?? row.estimate)], width: 0, thickness: 3}, marker: {color: color("ink"), size: 9, symbol: "diamond"}, showlegend: false, hoverinfo: "text", hovertext: [forPlotly(`mean ${number(row.estimate)}, 95 % CI ${interval(row.ci_low, row.ci_high)}`)]};
    return mean ? [dots, mean] : [dots];
  });
  cardCharts.push(place);
  Plotly.newPlot(place, traces, layout({height: 90 + 62 * found.length, margin: {l: 84, r: 12, t: 6, b: 40}, xaxis: {title: {text: unit}, fixedrange: true}, yaxis: {tickvals: found.map((_, at) => at), ticktext: found.map(({concept}) => forPlotly(concept, 14)), zeroline: false, showgrid: false, range: [found.length - 0.4, -0.5], fixedrange: true}}), PLOT_CONFIG);
  place.append(make("p", {class: "fine"}, "A dot a prompt; diamond: mean over templates with its 95 % interval."));
  return undefined;
}

function exampleList(layer, head, concept) {
  const mine = data.examples.filter((example) => !concept || example.concept === concept);
  if (!mine.length) return empty("This run keeps no attention rows of single prompts (they come with the screen of protocol matched).");
  const shown = concept ? mine : data.concepts.map((name) => mine.find((example) => example.concept === name)).filter(Boolean);
  return make("div", {}, make("p", {class: "fine"}, "Shade: share of the dashed token's attention. Underlined: the concept's words."), shown.map((example) => tokensOf(example, layer, head)));
}

function tokensOf(example, layer, head) {
  const shares = example.rows[layer]?.[head] ?? [];
  const onSpan = shares.reduce((sum, share, i) => sum + (example.in_span[i] ? share : 0), 0) / 1000;
  const words = example.tokens.map((token, i) => {
    const share = (shares[i] ?? 0) / 1000;
    const bos = i === 0 && token === "";
    const word = make("span", {class: [example.in_span[i] ? "span" : "", i === example.query ? "query" : "", bos ? "bos" : ""].join(" ").trim(), title: `${(share * 100).toFixed(1)} % of attention`}, bos ? "BOS" : token);
    word.style.backgroundColor = `rgba(${color("shade")}, ${(0.6 * share).toFixed(3)})`;
    return word;
  });
  return make("div", {class: "tokens", dir: "auto"}, words, make("span", {class: "who"}, `  ${example.concept}, ${(100 * onSpan).toFixed(1)} % on its words`));
}

function textsOf(layer, head) {
  const mine = data.texts.filter((text) => !text.direction && text.heads.split(",").includes(`${layer}:${head}`));
  if (!mine.length) return empty("No text was written without this head.");
  const edits = [...new Set(mine.map((text) => text.edit))];
  const kept = mine.filter((text) => text.edit === (edits.includes("mean") ? "mean" : edits[0]));
  return make("div", {class: "texts"}, make("p", {class: "fine"}, "Texts were written without sets of heads; these sets hold this head."), kept.slice(0, 6).map(textItem));
}

function textItem(text) {
  const pieces = text.pieces.map(([sign, piece]) => (sign === "=" ? piece : make(sign === "-" ? "del" : "ins", {}, piece)));
  return make("div", {class: "text"}, make("div", {class: "who"}, `${text.concept} · without ${headNames(text.heads)} · ${text.edit}${text.sample ? ` · sample ${text.sample + 1}` : ""}`), make("span", {class: "written", dir: "auto"}, make("b", {}, text.prompt), pieces));
}
