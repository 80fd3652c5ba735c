// One layer x head map: drawing, hover text, moving by keyboard, legend. `one` is a map measure (see heatmaps.js).
function gridOf(one, concept) {
  const cells = Array.from({length: nLayers}, (_, layer) =>
    Array.from({length: nHeads}, (_, head) => one.cell(concept, layer, head)),
  );
  return {title: concept, concept, cells};
}

// The mean over concepts has no test, so nothing in it is veiled.
function meanGrid(_one, grids) {
  const cells = Array.from({length: nLayers}, (_, layer) =>
    Array.from({length: nHeads}, (_, head) => {
      const values = grids
        .map((grid) => grid.cells[layer][head]?.value)
        .filter((value) => value !== undefined && value !== null);
      // Of a head that some concept lacks there is no mean over concepts.
      return values.length && values.length === grids.length
        ? {value: values.reduce((a, b) => a + b, 0) / values.length, shown: null, row: null}
        : undefined;
    }),
  );
  return {title: t("maps.mean"), concept: null, cells};
}

function cellText(one, grid, layer, head) {
  const cell = grid.cells[layer][head];
  const start = `${headName(layer, head)}, ${grid.title}`;
  if (!cell) return [start, t("maps.unmeasured")];
  const lines = [start];
  if (!cell.row) return [...lines, `${number(cell.value)} ${one.unit}`, t("maps.mean_untested")];
  lines.push(`${one.diverging ? `${number(cell.value)} ${one.unit}` : `${cell.pName} ${probability(cell.p)}`}`);
  if ((cell.row.ci_low ?? null) !== null)
    lines.push(`${t("columns.ci")} ${interval(cell.row.ci_low, cell.row.ci_high)}`);
  if (cell.p !== null) lines.push(`${cell.pName} ${probability(cell.p)}`);
  const verdict = verdictOf.get(`${grid.concept}\n${layer}:${head}`);
  if (verdict) lines.push(t(`verdicts.${verdict.verdict}`));
  return lines;
}

function drawMap(box, one, grid, limit) {
  const z = grid.cells.map((row) => row.map((cell) => cell?.value ?? null));
  const veil = grid.cells.map((row) => row.map((cell) => (cell && cell.shown === false ? 1 : null)));
  const hover = grid.cells.map((row, layer) =>
    row.map((_, head) =>
      cellText(one, grid, layer, head)
        .map((line) => forPlotly(line))
        .join("<br>"),
    ),
  );
  const size = Math.max(3, Math.min(64, (box.clientWidth - 54) / nHeads));
  const legible = size >= 34 && nHeads <= 16;
  const height = Math.min(620, Math.max(140, size * nLayers)) + 46;
  const traces = [
    {
      type: "heatmap",
      z,
      text: grid.cells.map((row) =>
        row.map((cell) => (!cell || !legible ? "" : cell.shown ? `<b>${number(cell.value)}</b>` : number(cell.value))),
      ),
      hovertext: hover,
      hoverinfo: "text",
      texttemplate: legible ? "%{text}" : undefined,
      textfont: {size: 11},
      zmin: one.diverging ? -limit : 0,
      zmax: limit,
      colorscale: one.diverging ? divergingScale() : sequentialScale(),
      showscale: false,
      xgap: size > 12 ? 1 : 0,
      ygap: size > 12 ? 1 : 0,
    },
    {
      type: "heatmap",
      z: veil,
      zmin: 0,
      zmax: 1,
      colorscale: [
        [0, color("veil")],
        [1, color("veil")],
      ],
      showscale: false,
      hoverinfo: "skip",
      xgap: size > 12 ? 1 : 0,
      ygap: size > 12 ? 1 : 0,
    },
  ];
  const tick = (n) => ({
    tickmode: "linear",
    tick0: 0,
    dtick: Math.max(1, Math.ceil(n / 12)),
    showgrid: false,
    zeroline: false,
    ticks: "",
    fixedrange: true,
  });
  box.style.height = `${height}px`;
  Plotly.react(
    box,
    traces,
    layout({
      margin: {l: 36, r: 4, t: 2, b: 34},
      height,
      shapes: [],
      xaxis: {...tick(nHeads), title: {text: t("columns.head"), standoff: 2, font: {size: 11}}},
      yaxis: {
        ...tick(nLayers),
        autorange: "reversed",
        title: {text: t("columns.layer"), standoff: 2, font: {size: 11}},
      },
    }),
    PLOT_CONFIG,
  );
}

function outline(box, layer, head) {
  const shape = {
    type: "rect",
    x0: head - 0.5,
    x1: head + 0.5,
    y0: layer - 0.5,
    y1: layer + 0.5,
    line: {color: color("ink"), width: 2},
  };
  Plotly.relayout(box, {shapes: layer === null ? [] : [shape]});
}

function mapBox(one, grid, open = null) {
  const box = make("div", {
    tabindex: 0,
    role: "application",
    "aria-roledescription": t("maps.role"),
    "aria-label": t("maps.about", {label: one.label, title: grid.title, layers: nLayers, heads: nHeads}),
  });
  let at = null;
  box.addEventListener("keydown", (event) => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (event.key === "Enter" && at && open) return open(at[0], at[1]);
    if (!step) return undefined;
    event.preventDefault();
    at = at
      ? [Math.min(nLayers - 1, Math.max(0, at[0] + step[0])), Math.min(nHeads - 1, Math.max(0, at[1] + step[1]))]
      : [0, 0];
    outline(box, at[0], at[1]);
    document.getElementById("map-speech").textContent = cellText(one, grid, at[0], at[1]).join(", ");
    return undefined;
  });
  box.addEventListener("blur", () => {
    at = null;
    outline(box, null, null);
  });
  return box;
}

// Whether a map has a cell without a value where the model has a head.
function hasBlank(grid) {
  return data.heads_per_layer?.some((n, layer) => grid.cells[layer]?.slice(0, n).some((cell) => !cell)) ?? false;
}

function drawLegend(one, limit, grids = []) {
  const scale = one.diverging ? divergingScale() : sequentialScale();
  const ramp = make("span", {
    class: "ramp",
    role: "img",
    "aria-label": t("maps.scale", {low: number(one.diverging ? -limit : 0), high: number(limit)}),
  });
  ramp.style.background = `linear-gradient(90deg, ${scale.map(([at, tone]) => `${tone} ${at * 100}%`).join(", ")})`;
  document
    .getElementById("map-legend")
    .replaceChildren(
      make("span", {}, number(one.diverging ? -limit : 0)),
      ramp,
      make("span", {}, `${number(limit)} ${one.unit}`),
      ...(one.tested === false
        ? []
        : [make("span", {class: "veil", "aria-hidden": "true"}), make("span", {}, t("maps.veiled"))]),
      ...(grids.some(hasBlank)
        ? [make("span", {class: "blank", "aria-hidden": "true"}), make("span", {}, t("maps.unmeasured"))]
        : []),
    );
}

function debounced(work) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, 150);
  };
}
