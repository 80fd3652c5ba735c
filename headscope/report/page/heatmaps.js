// Layer x head maps: one a concept and the mean over concepts, on one scale.
// Each map measure gives for a concept's head its value, whether it is shown, and the lines a reader sees on hovering.
function mapMeasures() {
  const found = [];
  const of = (id, label, one, note, significance) => one && found.push({id, label, unit: one.unit, note, diverging: true, mean: true, cell: (concept, layer, head) => {
    const row = rowOf(one, concept, layer, head);
    return row && {value: row.estimate, shown: significance(row) !== null && significance(row) < 0.05, row, pName: one.kind === "screen" ? "q" : "family-wise p", p: significance(row)};
  }});
  const attention = measure("screen", "attention");
  const effect = measure("effect", "lexicon_logodds_nats", "mean");
  of("effect", "Causal effect", effect, "Change of the concept's log-odds when the head is replaced by its mean over control prompts. Blue is a loss: the head carries the concept. Gray veil: family-wise p ≥ .05.", strictestP);
  of("screen", "Attention", attention, "Attention to the concept's words minus attention to neutral words in their place. Where a head looks, not what it does. Gray veil: q ≥ .05.", (row) => row.q_value);
  of("value", "Value-weighted", measure("screen", "value_weighted"), "Norm of what the head writes from the concept's words, minus the same for neutral words (Kobayashi et al. 2020). Gray veil: q ≥ .05.", (row) => row.q_value);
  if (verdicts.some((row) => row.specificity !== null && !row.heads.includes(","))) {
    found.push({id: "specificity", label: "Specificity", unit: "nats", diverging: true, mean: false, note: "Loss of the own concept minus the largest loss of another concept, on the same prompts. Gray veil: the interval includes 0.", cell: (concept, layer, head) => {
      const row = verdictOf.get(`${concept}\n${layer}:${head}`);
      if (!row || row.specificity === null) return undefined;
      return {value: row.specificity, shown: row.specificity_low > 0 || row.specificity_high < 0, row: {estimate: row.specificity, ci_low: row.specificity_low, ci_high: row.specificity_high}, pName: "", p: null};
    }});
  }
  of("zero", "Effect, zero", measure("effect", "lexicon_logodds_nats", "zero"), "The same with the head's output set to zero, which moves the model further off its data. Must agree in sign. Gray veil: p ≥ .05 in its own family.", strictestP);
  const evidence = (id, label, one, note, p, pName) => one && found.push({id, label, unit: "−log₁₀", note, diverging: false, mean: false, cell: (concept, layer, head) => {
    const row = rowOf(one, concept, layer, head);
    if (!row || p(row) === null) return undefined;
    return {value: -Math.log10(Math.max(p(row), 1e-12)), shown: p(row) < 0.05, row, pName, p: p(row)};
  }});
  evidence("q", "q of attention", attention, "Evidence that the head looks more, or less, at the concept's words: −log₁₀ q (Benjamini–Hochberg over all heads and concepts). Gray veil: q ≥ .05.", (row) => row.q_value, "q");
  evidence("p", "p of effect", effect, "Evidence for the causal effect: −log₁₀ of the family-wise p (max-T over all heads and concepts). Gray veil: p ≥ .05.", strictestP, "family-wise p");
  return found;
}

function gridOf(one, concept) {
  const cells = Array.from({length: nLayers}, (_, layer) => Array.from({length: nHeads}, (_, head) => one.cell(concept, layer, head)));
  return {title: concept, concept, cells};
}

// The mean over concepts has no test, so nothing in it is veiled.
function meanGrid(one, grids) {
  const cells = Array.from({length: nLayers}, (_, layer) => Array.from({length: nHeads}, (_, head) => {
    const values = grids.map((grid) => grid.cells[layer][head]?.value).filter((value) => value !== undefined && value !== null);
    return values.length ? {value: values.reduce((a, b) => a + b, 0) / values.length, shown: null, row: null} : undefined;
  }));
  return {title: "mean over concepts", concept: null, cells};
}

function cellText(one, grid, layer, head) {
  const cell = grid.cells[layer][head];
  const start = `${headName(layer, head)}, ${grid.title}`;
  if (!cell) return [start, "not measured"];
  const lines = [start];
  if (!cell.row) return [...lines, `${number(cell.value)} ${one.unit}`, "a mean over concepts: no test belongs to it"];
  lines.push(`${one.diverging ? `${number(cell.value)} ${one.unit}` : `${cell.pName} ${probability(cell.p)}`}`);
  if (cell.row.ci_low !== null) lines.push(`95 % CI ${interval(cell.row.ci_low, cell.row.ci_high)}`);
  if (cell.p !== null) lines.push(`${cell.pName} ${probability(cell.p)}`);
  const verdict = verdictOf.get(`${grid.concept}\n${layer}:${head}`);
  if (verdict) lines.push(verdict.verdict);
  return lines;
}

function drawMap(box, one, grid, limit) {
  const z = grid.cells.map((row) => row.map((cell) => cell?.value ?? null));
  const veil = grid.cells.map((row) => row.map((cell) => (cell && cell.shown === false ? 1 : null)));
  const hover = grid.cells.map((row, layer) => row.map((_, head) => cellText(one, grid, layer, head).map((line) => forPlotly(line)).join("<br>")));
  const size = Math.max(3, Math.min(64, (box.clientWidth - 54) / nHeads));
  const legible = size >= 34 && nHeads <= 16;
  const height = Math.min(620, Math.max(140, size * nLayers)) + 46;
  const traces = [{
    type: "heatmap", z, text: grid.cells.map((row) => row.map((cell) => (!cell || !legible ? "" : cell.shown ? `<b>${number(cell.value)}</b>` : number(cell.value)))), hovertext: hover, hoverinfo: "text",
    texttemplate: legible ? "%{text}" : undefined, textfont: {size: 11}, zmin: one.diverging ? -limit : 0, zmax: limit,
    colorscale: one.diverging ? divergingScale() : sequentialScale(), showscale: false, xgap: size > 12 ? 1 : 0, ygap: size > 12 ? 1 : 0,
  }, {type: "heatmap", z: veil, zmin: 0, zmax: 1, colorscale: [[0, color("veil")], [1, color("veil")]], showscale: false, hoverinfo: "skip", xgap: size > 12 ? 1 : 0, ygap: size > 12 ? 1 : 0}];
  const tick = (n) => ({tickmode: "linear", tick0: 0, dtick: Math.max(1, Math.ceil(n / 12)), showgrid: false, zeroline: false, ticks: "", fixedrange: true});
  box.style.height = `${height}px`;
  Plotly.react(box, traces, layout({
    margin: {l: 36, r: 4, t: 2, b: 34}, height, shapes: [],
    xaxis: {...tick(nHeads), title: {text: "head", standoff: 2, font: {size: 11}}},
    yaxis: {...tick(nLayers), autorange: "reversed", title: {text: "layer", standoff: 2, font: {size: 11}}},
  }), PLOT_CONFIG);
}

function outline(box, layer, head) {
  const shape = {type: "rect", x0: head - 0.5, x1: head + 0.5, y0: layer - 0.5, y1: layer + 0.5, line: {color: color("ink"), width: 2}};
  Plotly.relayout(box, {shapes: layer === null ? [] : [shape]});
}

function mapBox(one, grid) {
  const box = make("div", {tabindex: 0, role: "application", "aria-roledescription": "map of heads", "aria-label": `${one.label}, ${grid.title}: ${nLayers} layers by ${nHeads} heads. Arrow keys move, Enter opens a head's card.`});
  let at = null;
  box.addEventListener("keydown", (event) => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (event.key === "Enter" && at) return openCard(at[0], at[1], grid.concept);
    if (!step) return undefined;
    event.preventDefault();
    at = at ? [Math.min(nLayers - 1, Math.max(0, at[0] + step[0])), Math.min(nHeads - 1, Math.max(0, at[1] + step[1]))] : [0, 0];
    outline(box, at[0], at[1]);
    document.getElementById("map-speech").textContent = cellText(one, grid, at[0], at[1]).join(", ");
    return undefined;
  });
  box.addEventListener("blur", () => { at = null; outline(box, null, null); });
  return box;
}

function drawLegend(one, limit) {
  const scale = one.diverging ? divergingScale() : sequentialScale();
  const ramp = make("span", {class: "ramp", role: "img", "aria-label": `color scale from ${number(one.diverging ? -limit : 0)} to ${number(limit)}`});
  ramp.style.background = `linear-gradient(90deg, ${scale.map(([at, tone]) => `${tone} ${at * 100}%`).join(", ")})`;
  document.getElementById("map-legend").replaceChildren(
    make("span", {}, number(one.diverging ? -limit : 0)), ramp, make("span", {}, `${number(limit)} ${one.unit}`),
    make("span", {class: "veil", "aria-hidden": "true"}), make("span", {}, "veiled: not shown to differ"),
  );
}

function showMaps(one) {
  const place = document.getElementById("maps");
  place.classList.toggle("wide", nHeads > 24);
  document.getElementById("measure-note").textContent = one.note;
  const grids = data.concepts.map((concept) => gridOf(one, concept));
  if (one.mean && grids.length > 1) grids.push(meanGrid(one, grids));
  const sizes = grids.flatMap((grid) => grid.cells.flat()).filter(Boolean).map((cell) => Math.abs(cell.value ?? 0));
  const limit = sizes.reduce((a, b) => Math.max(a, b), 0) || 1;
  place.querySelectorAll("[role=application]").forEach((box) => Plotly.purge(box));
  place.replaceChildren();
  const boxes = grids.map((grid) => {
    const box = mapBox(one, grid);
    place.append(make("div", {class: "map"}, make("h3", {}, grid.title), box));
    return box;
  });
  const draw = () => {
    drawLegend(one, limit);
    boxes.forEach((box, i) => drawMap(box, one, grids[i], limit));
  };
  draw();
  boxes.forEach((box, i) => box.on("plotly_click", (event) => openCard(event.points[0].y, event.points[0].x, grids[i].concept)));
  showMaps.redraw = draw;
}

function startMaps() {
  const options = mapMeasures();
  const place = document.getElementById("measures");
  if (!options.length || !nLayers) {
    document.getElementById("maps").append(empty("No head was screened or edited alone in this run."));
    document.getElementById("find").hidden = true;
    return;
  }
  const choose = (at) => {
    [...place.children].forEach((button, i) => {
      button.setAttribute("aria-checked", String(i === at));
      button.tabIndex = i === at ? 0 : -1;
    });
    showMaps(options[at]);
  };
  options.forEach((one, at) => place.append(make("button", {type: "button", role: "radio", "data-measure": one.id, onclick: () => choose(at)}, one.label)));
  place.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const next = ([...place.children].indexOf(document.activeElement) + step + options.length) % options.length;
    choose(next);
    place.children[next].focus();
  });
  choose(0);
  redraws.push(() => showMaps.redraw());
  window.addEventListener("resize", debounced(() => showMaps.redraw()));
}

function debounced(work) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(work, 150); };
}
