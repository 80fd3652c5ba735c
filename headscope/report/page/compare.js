// Two runs: the same measure of both on one scale, a scatter of one against the other, and the tables.
const [one, two] = data.runs;
const sameShape = String(one.shape) === String(two.shape);

function runMeasure(run, name) {
  return run.measures.find((found) => found.name === name);
}

// A map measure (see map.js) of one run.
function mapOf(found) {
  return {
    label: said(found.label),
    unit: said(found.unit),
    tested: found.kind !== "score",
    diverging: true,
    cell: (concept, layer, head) => {
      const row = rowOf(found, concept, layer, head);
      const p = row && (found.kind === "screen" ? (row.q_value ?? null) : strictestP(row));
      return (
        row && {
          value: row.estimate,
          shown: found.kind === "score" ? null : p !== null && p < 0.05,
          row,
          p,
          pName: found.kind === "screen" ? "q" : strictestName(row),
        }
      );
    },
  };
}

function scatterBox(first, second, concept) {
  const box = make("div", {role: "img", "aria-label": `${concept}: ${said(first.label)} of one run against the other`});
  const pairs = rowsOf(first.by_concept[concept])
    .map((row) => [row, rowOf(second, concept, row.layer, row.head)])
    .filter(([, other]) => other);
  const ends = pairs.flatMap(([a, b]) => [a.estimate, b.estimate]);
  const line = [Math.min(...ends), Math.max(...ends)];
  const draw = () =>
    Plotly.react(
      box,
      [
        {
          type: "scatter",
          mode: "lines",
          x: line,
          y: line,
          line: {color: color("soft"), dash: "dot", width: 1},
          hoverinfo: "skip",
          showlegend: false,
        },
        {
          type: "scatter",
          mode: "markers",
          x: pairs.map(([a]) => a.estimate),
          y: pairs.map(([, b]) => b.estimate),
          marker: {color: conceptColor(concept), size: 8, opacity: 0.8},
          hoverinfo: "text",
          showlegend: false,
          hovertext: pairs.map(([a, b]) =>
            [headName(a.layer, a.head), `${one.name}: ${number(a.estimate)}`, `${two.name}: ${number(b.estimate)}`]
              .map((text) => forPlotly(text))
              .join("<br>"),
          ),
        },
      ],
      layout({
        height: 300,
        xaxis: {title: {text: "first run"}, fixedrange: true},
        yaxis: {title: {text: "second run"}, fixedrange: true},
      }),
      PLOT_CONFIG,
    );
  return [box, draw];
}

function showPairs(name) {
  const place = document.getElementById("pairs");
  place.replaceChildren();
  const found = [runMeasure(one, name), runMeasure(two, name)];
  const maps = found.map((each) => each && mapOf(each));
  const draws = [];
  const sizes = [];
  for (const concept of data.concepts) {
    const row = make("div", {class: "maps"});
    place.append(make("h3", {}, concept), row);
    maps.forEach((map, at) => {
      const shown = map && found[at].by_concept[concept];
      const tile = make("div", {class: "map"}, make("h3", {}, data.runs[at].name));
      row.append(tile);
      if (!shown) return tile.append(empty("not measured in this run"));
      const grid = gridOf(map, concept);
      sizes.push(
        ...grid.cells
          .flat()
          .filter(Boolean)
          .map((cell) => Math.abs(cell.value ?? 0)),
      );
      const box = mapBox(map, grid);
      tile.append(box);
      draws.push((limit) => drawMap(box, map, grid, limit));
      return undefined;
    });
    if (sameShape && found.every((each) => each?.by_concept[concept])) {
      const [box, draw] = scatterBox(found[0], found[1], concept);
      row.append(make("div", {class: "map"}, make("h3", {}, "one against the other"), box));
      draws.push(draw);
    }
  }
  const limit = sizes.reduce((a, b) => Math.max(a, b), 0) || 1;
  showPairs.redraw = () => {
    drawLegend(maps.find(Boolean), limit);
    draws.forEach((draw) => draw(limit));
  };
  showPairs.redraw();
}

function startPairs() {
  const names = [...new Set(data.runs.flatMap((run) => run.measures.map((found) => found.name)))];
  const place = document.getElementById("measures");
  if (!names.length)
    return document
      .getElementById("pairs")
      .append(empty("Neither run screened, scored, edited or patched single heads."));
  const preferred = names.includes("effect_mean") ? "effect_mean" : names[0];
  names.forEach((name) => {
    const label = (runMeasure(one, name) ?? runMeasure(two, name)).label;
    place.append(
      make(
        "button",
        {
          type: "button",
          "data-measure": name,
          onclick: (event) => {
            [...place.children].forEach((button) =>
              button.setAttribute("aria-pressed", String(button === event.currentTarget)),
            );
            showPairs(name);
          },
        },
        said(label),
      ),
    );
  });
  place.querySelector(`[data-measure=${preferred}]`).click();
  redraws.push(() => showPairs.redraw());
  window.addEventListener(
    "resize",
    debounced(() => showPairs.redraw()),
  );
  return undefined;
}

function tableOr(id, title, tableColumns, rows, otherwise) {
  const table = rows.length ? dataTable(title, title, tableColumns, rows) : empty(otherwise);
  table.open = true;
  document.getElementById(id).append(table);
}

document
  .getElementById("theme")
  .addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
tableOr(
  "agreement-table",
  "agreement",
  [
    plainColumn("concept"),
    plainColumn("label", "measure", {left: true}),
    numberColumn("n_heads", "heads", String),
    numberColumn("rho", "rank correlation"),
    rangeColumn("ci_low", "ci_high", "95 % CI"),
    numberColumn("largest_difference", "largest difference"),
    plainColumn("at_head", "at head", {left: true}),
    plainColumn("unit", "unit", {left: true}),
  ],
  rowsOf(data.agreement),
  "No measure was taken of the same heads in both runs.",
);
tableOr(
  "changed-table",
  "changed verdicts",
  [
    {key: "heads", title: "heads", show: (row) => headNames(row.heads), value: (row) => row.heads},
    plainColumn("concept", "concept", {left: true}),
    plainColumn("verdict_first", "first run", {left: true}),
    plainColumn("verdict_second", "second run", {left: true}),
    numberColumn("estimate_first", "effect, first (nats)"),
    rangeColumn("sim_low_first", "sim_high_first", "simultaneous CI"),
    numberColumn("estimate_second", "effect, second (nats)"),
    rangeColumn("sim_low_second", "sim_high_second", "simultaneous CI"),
  ],
  rowsOf(data.changed),
  "No verdict differs where both runs gave one to the same head.",
);
tableOr(
  "counts-table",
  "verdict counts",
  [
    plainColumn("concept"),
    plainColumn("verdict", "verdict", {left: true}),
    numberColumn("n_first", "first run", String),
    numberColumn("n_second", "second run", String),
  ],
  rowsOf(data.counts),
  "Neither run gave verdicts.",
);
startPairs();
document.body.dataset.ready = "true";
