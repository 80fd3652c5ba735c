// Layer x head maps: one a concept and the mean over concepts, on one scale.
// Each map measure gives for a concept's head its value, whether it is detectable (`shown`; its size is the color), and the lines a reader sees on hovering.
function mapMeasures() {
  const found = [];
  const of = (id, label, one, note, significance) => one && found.push({id, label, unit: one.unit, note, tested: Boolean(significance), diverging: true, mean: true, cell: (concept, layer, head) => {
    const row = rowOf(one, concept, layer, head);
    const p = row && significance ? significance(row) : null;
    return row && {value: row.estimate, shown: significance ? p !== null && p < 0.05 : null, row, pName: one.kind === "screen" ? "q" : strictestName(row), p};
  }});
  const attention = measure("screen", "attention");
  const effect = measure("effect", "lexicon_logodds_nats", "mean");
  of("effect", "Causal effect", effect, "Change of the concept's log-odds when the head is replaced by its mean over control prompts. Blue is a loss: the head carries the concept. Gray veil: not detectable (family-wise p ≥ .05).", strictestP);
  of("screen", "Attention", attention, "Attention to the concept's words minus attention to neutral words in their place. Where a head looks, not what it does. Gray veil: not detectable (q ≥ .05).", (row) => row.q_value);
  of("value", "Value-weighted", measure("screen", "value_weighted"), "Norm of what the head writes from the concept's words, minus the same for neutral words (Kobayashi et al. 2020). Gray veil: not detectable (q ≥ .05).", (row) => row.q_value);
  if (verdicts.some((row) => row.specificity !== null && !row.heads.includes(","))) {
    found.push({id: "specificity", label: "Specificity", unit: "nats", diverging: true, mean: false, note: "Loss of the own concept minus the largest loss of another concept, on the same prompts. Gray veil: not detectable (the interval includes 0).", cell: (concept, layer, head) => {
      const row = verdictOf.get(`${concept}\n${layer}:${head}`);
      if (!row || row.specificity === null) return undefined;
      return {value: row.specificity, shown: row.specificity_low > 0 || row.specificity_high < 0, row: {estimate: row.specificity, ci_low: row.specificity_low, ci_high: row.specificity_high}, pName: "", p: null};
    }});
  }
  of("zero", "Effect, zero", measure("effect", "lexicon_logodds_nats", "zero"), "The same with the head's output set to zero, which moves the model further off its data. Must agree in sign. Gray veil: not detectable (p ≥ .05 in its own family).", strictestP);
  of("brings", "Brings it (sufficiency)", measure("patch", "sufficiency"), "The head's output on a concept prompt put into its matched control, minus the control patch. Red: it brings the concept. Exploratory. Gray veil: not detectable (family-wise p ≥ .05).", strictestP);
  of("takes", "Takes it away (necessity)", measure("patch", "necessity"), "The head's output on a control put into its matched concept prompt, minus the control patch. Blue: it takes the concept away. Exploratory. Gray veil: not detectable (family-wise p ≥ .05).", strictestP);
  of("predicted", "Predicted effect", data.measures.find((one) => one.kind === "score" && one.name === "attribution_patching"), "What a gradient predicts of removing the head, to first order (attribution patching). No test belongs to a prediction, so nothing is veiled.", null);
  const evidence = (id, label, one, note, p, pName) => one && found.push({id, label, unit: "−log₁₀", note, diverging: false, mean: false, cell: (concept, layer, head) => {
    const row = rowOf(one, concept, layer, head);
    if (!row || p(row) === null) return undefined;
    return {value: -Math.log10(Math.max(p(row), 1e-12)), shown: p(row) < 0.05, row, pName: pName ?? strictestName(row), p: p(row)};
  }});
  evidence("q", "q of attention", attention, "How detectable it is that the head looks more, or less, at the concept's words, which says nothing about how much: −log₁₀ q (Benjamini–Hochberg over all heads and concepts). Gray veil: not detectable (q ≥ .05).", (row) => row.q_value, "q");
  evidence("p", "p of effect", effect, "How detectable the causal effect is, which says nothing about its size: −log₁₀ of the family-wise p (max-T over all heads and concepts). Gray veil: not detectable (p ≥ .05).", strictestP, null);
  return found;
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
    const box = mapBox(one, grid, (layer, head) => openCard(layer, head, grid.concept));
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
    document.getElementById("maps").append(empty("No head was screened, scored, edited or patched alone in this run."));
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
