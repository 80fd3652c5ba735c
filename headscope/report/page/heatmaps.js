// Layer x head maps: one a concept and the mean over concepts, on one scale.
// Each map measure gives for a concept's head its value, whether it is detectable (`shown`; its size is the color), and
// the lines a reader sees on hovering.
function mapMeasures() {
  const found = [];
  const of = (id, one, significance) =>
    one &&
    found.push({
      id,
      label: t(`maps.${id}`),
      unit: said(one.unit),
      note: [t(`maps.${id}_note`), ...(id === "zero" ? [said(data.measured)] : [])].join(" ").trim(),
      tested: Boolean(significance),
      diverging: true,
      mean: true,
      cell: (concept, layer, head) => {
        const row = rowOf(one, concept, layer, head);
        const p = row && significance ? significance(row) : null;
        return (
          row && {
            value: row.estimate,
            shown: significance ? p !== null && p < 0.05 : null,
            row,
            pName: one.kind === "screen" ? "q" : strictestName(row),
            p,
          }
        );
      },
    });
  const attention = measure("screen", "attention");
  const effect = measure("effect", data.primary_outcome, data.deciding_edit);
  of("effect", effect, strictestP);
  of("screen", attention, (row) => row.q_value);
  of("value", measure("screen", "value_weighted"), (row) => row.q_value);
  if (verdicts.some((row) => row.specificity !== null && !row.heads.includes(","))) {
    found.push({
      id: "specificity",
      label: t("maps.specificity"),
      unit: "nats",
      diverging: true,
      mean: false,
      note: t("maps.specificity_note"),
      cell: (concept, layer, head) => {
        const row = verdictOf.get(`${concept}\n${layer}:${head}`);
        if (!row || row.specificity === null) return undefined;
        return {
          value: row.specificity,
          shown: row.specificity_low > 0 || row.specificity_high < 0,
          row: {estimate: row.specificity, ci_low: row.specificity_low, ci_high: row.specificity_high},
          pName: "",
          p: null,
        };
      },
    });
  }
  of("zero", measure("effect", data.primary_outcome, data.agreeing_edit), strictestP);
  of("brings", measure("patch", "sufficiency"), strictestP);
  of("takes", measure("patch", "necessity"), strictestP);
  of(
    "predicted",
    data.measures.find((one) => one.kind === "score" && one.name === "attribution_patching"),
    null,
  );
  const evidence = (id, one, p, pName) =>
    one &&
    found.push({
      id,
      label: t(`maps.${id}`),
      unit: "−log₁₀",
      note: t(`maps.${id}_note`),
      diverging: false,
      mean: false,
      cell: (concept, layer, head) => {
        const row = rowOf(one, concept, layer, head);
        if (!row || p(row) === null) return undefined;
        return {
          value: -Math.log10(Math.max(p(row), 1e-12)),
          shown: p(row) < 0.05,
          row,
          pName: pName ?? strictestName(row),
          p: p(row),
        };
      },
    });
  evidence("q", attention, (row) => row.q_value, "q");
  evidence("p", effect, strictestP, null);
  return found;
}

function showMaps(one) {
  const place = document.getElementById("maps");
  place.classList.toggle("wide", nHeads > 24);
  document.getElementById("measure-note").textContent = one.note;
  const grids = data.concepts.map((concept) => gridOf(one, concept));
  if (one.mean && grids.length > 1) grids.push(meanGrid(one, grids));
  const sizes = grids
    .flatMap((grid) => grid.cells.flat())
    .filter(Boolean)
    .map((cell) => Math.abs(cell.value ?? 0));
  const limit = sizes.reduce((a, b) => Math.max(a, b), 0) || 1;
  place.querySelectorAll("[role=application]").forEach((box) => Plotly.purge(box));
  place.replaceChildren();
  const boxes = grids.map((grid) => {
    const box = mapBox(one, grid, (layer, head) => openCard(layer, head, grid.concept));
    place.append(make("div", {class: "map"}, make("h3", {}, grid.title), box));
    return box;
  });
  const draw = () => {
    drawLegend(one, limit, grids);
    boxes.forEach((box, i) => drawMap(box, one, grids[i], limit));
  };
  draw();
  boxes.forEach((box, i) =>
    box.on("plotly_click", (event) => openCard(event.points[0].y, event.points[0].x, grids[i].concept)),
  );
  showMaps.redraw = draw;
}

// `first`: the measure that is shown first, where the run has it.
function startMaps(first = null) {
  const options = mapMeasures();
  const place = document.getElementById("measures");
  if (!options.length || !nLayers) {
    document.getElementById("maps").append(nothing("maps.no_heads", "screen"));
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
  options.forEach((one, at) =>
    place.append(
      make("button", {type: "button", role: "radio", "data-measure": one.id, onclick: () => choose(at)}, one.label),
    ),
  );
  place.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const next = ([...place.children].indexOf(document.activeElement) + step + options.length) % options.length;
    choose(next);
    place.children[next].focus();
  });
  choose(
    Math.max(
      0,
      options.findIndex((one) => one.id === first),
    ),
  );
  redraws.push(() => showMaps.redraw());
  window.addEventListener(
    "resize",
    debounced(() => showMaps.redraw()),
  );
}
