// Looking against doing, the largest effects, cumulative curves, layers.
function noChart(id, path, stage) {
  const place = document.getElementById(id);
  place.style.minHeight = "0";
  place.replaceChildren(nothing(path, stage));
}

function drawScatter() {
  const rows = rowsOf(data.pairs);
  if (!rows.length) return noChart("scatter", "charts.no_scatter", "sweep");
  const order = Object.keys(VERDICT_STYLES);
  const names = [...new Set(rows.map((row) => row.verdict || "no verdict"))].sort(
    (a, b) => order.indexOf(b.split(" (")[0]) - order.indexOf(a.split(" (")[0]),
  );
  const box = document.getElementById("scatter");
  onTheme(() =>
    Plotly.react(
      box,
      names.map((name) => {
        const of = rows.filter((row) => (row.verdict || "no verdict") === name);
        const [tone, symbol] = verdictStyle(name);
        return {
          type: "scatter",
          mode: "markers",
          name: `${t(`verdicts.${name}`)} (${of.length})`,
          x: of.map((row) => row.screen_delta),
          y: of.map((row) => row.effect_estimate),
          marker: {color: tone, symbol, size: name.startsWith("no ") ? 5 : 9},
          customdata: of.map((row) => [row.layer, row.head, row.concept]),
          hoverinfo: "text",
          hovertext: of.map((row) =>
            [
              `${headName(row.layer, row.head)}, ${row.concept}`,
              `${t("columns.delta_attention")} ${number(row.screen_delta)}`,
              `${t("charts.effect")} ${number(row.effect_estimate)}`,
              t(`verdicts.${name}`),
            ]
              .map((line) => forPlotly(line))
              .join("<br>"),
          ),
        };
      }),
      layout({
        height: 480,
        legend: {orientation: "h", y: -0.16, traceorder: "reversed", font: {size: 11}},
        xaxis: {title: {text: t("charts.delta")}, fixedrange: true},
        yaxis: {title: {text: t("charts.removal")}, fixedrange: true},
      }),
      PLOT_CONFIG,
    ),
  );
  box.on("plotly_click", (event) => openCard(...event.points[0].customdata));
  return undefined;
}

function drawForest() {
  const one = measure("effect", data.primary_outcome, data.deciding_edit);
  if (!one) return noChart("forest", "charts.no_forest", "sweep");
  const rows = Object.entries(one.by_concept)
    .flatMap(([concept, columns]) => rowsOf(columns).map((row) => ({...row, concept})))
    .filter((row) => row.estimate !== null)
    .sort((a, b) => Math.abs(b.estimate) - Math.abs(a.estimate))
    .slice(0, 18)
    .reverse();
  const box = document.getElementById("forest");
  const labels = rows.map((row) => `${headName(row.layer, row.head)} ${forPlotly(row.concept, 18)}`);
  const bars = (low, high) => ({
    type: "data",
    symmetric: false,
    array: rows.map((row) => (row[high] ?? row.estimate) - row.estimate),
    arrayminus: rows.map((row) => row.estimate - (row[low] ?? row.estimate)),
    width: 0,
  });
  const tones = rows.map((row) => conceptColor(row.concept));
  onTheme(() => {
    const y = rows.map((_, at) => at);
    const points = {
      type: "scatter",
      mode: "markers",
      x: rows.map((row) => row.estimate),
      y,
      customdata: rows.map((row) => [row.layer, row.head, row.concept]),
      showlegend: false,
    };
    const thin = {
      ...points,
      error_x: {...bars("sim_low", "sim_high"), thickness: 1, color: color("soft")},
      marker: {size: 1, color: color("soft")},
      hoverinfo: "skip",
    };
    const thick = {
      ...points,
      error_x: {...bars("ci_low", "ci_high"), thickness: 3, color: color("soft")},
      hoverinfo: "text",
      marker: {
        size: 10,
        color: rows.map((row, i) => (isBeyond(row, row.concept) ? tones[i] : color("surface"))),
        line: {width: 2, color: tones},
      },
      hovertext: rows.map((row) =>
        [
          `${headName(row.layer, row.head)}, ${row.concept}`,
          `${number(row.estimate)} nats`,
          `${t("columns.ci")} ${interval(row.ci_low, row.ci_high)}`,
          `${t("columns.sim_ci")} ${interval(row.sim_low, row.sim_high)}`,
          `${t("columns.p_max_t")} ${probability(row.p_max_t)}`,
        ]
          .map((line) => forPlotly(line))
          .join("<br>"),
      ),
    };
    Plotly.react(
      box,
      [thin, thick],
      layout({
        height: 480,
        margin: {l: 120, r: 16, t: 16, b: 48},
        xaxis: {title: {text: t("charts.effect")}, fixedrange: true},
        yaxis: {tickvals: y, ticktext: labels, showgrid: false, zeroline: false, fixedrange: true},
      }),
      PLOT_CONFIG,
    );
  });
  box.on("plotly_click", (event) => openCard(...event.points[0].customdata));
  return undefined;
}

function drawPredicted() {
  const box = document.getElementById("predicted");
  if (!box) return undefined;
  const rows = rowsOf(data.predicted);
  if (!rows.length) return noChart("predicted", "charts.no_predicted", "sweep");
  const reach = (key) => rows.map((row) => row[key]);
  const ends = [
    Math.min(...reach("estimate"), ...reach("exact_estimate")),
    Math.max(...reach("estimate"), ...reach("exact_estimate")),
  ];
  onTheme(() =>
    Plotly.react(
      box,
      [
        {
          type: "scatter",
          mode: "lines",
          x: ends,
          y: ends,
          line: {color: color("soft"), dash: "dash", width: 1},
          name: t("charts.as_predicted"),
          hoverinfo: "skip",
        },
        ...data.concepts.map((concept, at) => {
          const of = rows.filter((row) => row.concept === concept);
          return {
            type: "scatter",
            mode: "markers",
            name: forPlotly(concept, 24),
            x: of.map((row) => row.estimate),
            y: of.map((row) => row.exact_estimate),
            marker: {
              color: conceptColor(concept),
              symbol: ["circle", "square", "triangle-up", "diamond", "cross", "x"][at % 6],
              size: 9,
            },
            customdata: of.map((row) => [row.layer, row.head, row.concept]),
            hoverinfo: "text",
            hovertext: of.map((row) =>
              [
                `${headName(row.layer, row.head)}, ${row.concept}`,
                `${t("columns.predicted")} ${number(row.estimate)}`,
                `${t("columns.exact")} ${number(row.exact_estimate)}`,
                `${t("columns.sim_ci")} ${interval(row.exact_sim_low, row.exact_sim_high)}`,
              ]
                .map((line) => forPlotly(line))
                .join("<br>"),
            ),
          };
        }),
      ],
      layout({
        height: 480,
        legend: {orientation: "h", y: -0.16, font: {size: 11}},
        xaxis: {title: {text: t("charts.by_gradient")}, fixedrange: true},
        yaxis: {title: {text: t("charts.exact")}, fixedrange: true},
      }),
      PLOT_CONFIG,
    ),
  );
  box.on("plotly_click", (event) => event.points[0].customdata && openCard(...event.points[0].customdata));
  return undefined;
}

const CURVES = {top_k: ["#d55e00", "circle"], bottom_k: ["#0072b2", "square"]};

function drawCurves() {
  const concepts = Object.keys(data.curves);
  if (!concepts.length) {
    document.getElementById("curves-figure").replaceChildren(nothing("charts.no_curves", "curves"));
    return;
  }
  const place = document.getElementById("curves");
  // All tiles first: a chart takes the width its tile has when it is drawn.
  const boxes = concepts.map((concept) => {
    const box = make("div", {role: "img", "aria-label": t("charts.curves_of", {concept})});
    place.append(make("div", {class: "map"}, make("h3", {}, concept), box));
    return box;
  });
  concepts.forEach((concept, at) => {
    const box = boxes[at];
    onTheme(() => {
      const lines = data.curves[concept];
      const traces = [];
      if (lines.random_band) {
        const {k, min, max} = lines.random_band;
        traces.push({
          type: "scatter",
          mode: "lines",
          x: [...k, ...[...k].reverse()],
          y: [...max, ...[...min].reverse()],
          fill: "toself",
          fillcolor: color("veil"),
          line: {width: 0},
          name: t("charts.random"),
          hoverinfo: "skip",
        });
      }
      for (const [role, [tone, symbol]] of Object.entries(CURVES)) {
        const name = t(`charts.${role}`);
        const line = lines[role];
        if (!line) continue;
        traces.push({
          type: "scatter",
          mode: "lines+markers",
          name,
          x: line.k,
          y: line.estimate,
          line: {color: tone},
          marker: {symbol, size: 6},
          hoverinfo: "text",
          error_y: {
            type: "data",
            symmetric: false,
            array: line.ci_high.map((high, i) => (high ?? line.estimate[i]) - line.estimate[i]),
            arrayminus: line.ci_low.map((low, i) => line.estimate[i] - (low ?? line.estimate[i])),
            width: 0,
            thickness: 1.5,
          },
          hovertext: line.k.map((k, i) =>
            [
              `${name}, k = ${k}`,
              `${number(line.estimate[i])} nats`,
              `${t("columns.ci")} ${interval(line.ci_low[i], line.ci_high[i])}`,
              headNames(String(line.heads[i])),
            ]
              .map((text) => forPlotly(text))
              .join("<br>"),
          ),
        });
      }
      Plotly.react(
        box,
        traces,
        layout({
          height: 280,
          legend: {orientation: "h", y: -0.3},
          xaxis: {title: {text: t("charts.k")}, fixedrange: true},
          yaxis: {title: {text: t("charts.effect")}, fixedrange: true},
        }),
        PLOT_CONFIG,
      );
    });
  });
}
