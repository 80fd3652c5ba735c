// Steering: what each dose brings against what it costs.
const STEER_BOUND = 1.05;
const STEER_TICKS = [0.5, 0.95, 1, STEER_BOUND, 1.5, 6, 51, 501]; // of even distance

// As in the picture: ratios are linear from 1 as far as the bound, and logarithmic beyond it.
function damagePlace(ratio) {
  if (ratio === null) return null;
  const far = Math.abs(ratio - 1) / (STEER_BOUND - 1);
  return Math.sign(ratio - 1) * (far <= 1 ? far : 1 + Math.log10(far));
}

// A curve of doses through the unedited model, whose effect is 0 and whose ratio is 1.
function doseCurve(one, rows, byDamage, look) {
  const start = {dose: one.unedited, estimate: 0, ratio: 1};
  const points = [...rowsOf(rows), start].sort((a, b) => a.dose - b.dose);
  const x = points.map((row) => (byDamage ? damagePlace(row.ratio) : row.dose));
  const bars = (of, low, high, place) => ({
    type: "data",
    symmetric: false,
    array: points.map((row) => (row[high] == null || row[of] == null ? 0 : place(row[high]) - place(row[of]))),
    arrayminus: points.map((row) => (row[low] == null || row[of] == null ? 0 : place(row[of]) - place(row[low]))),
    width: 0,
    thickness: 1.2,
  });
  return {
    type: "scatter",
    mode: look.labelled ? "lines+markers+text" : "lines+markers",
    name: look.name,
    x,
    y: points.map((row) => row.estimate),
    text: points.map((row) => (row === start ? "" : String(row.dose).replace("-", "−"))),
    textposition: "top right",
    textfont: {size: 10},
    line: {color: look.tone, dash: look.dash},
    marker: {size: 6, symbol: points.map((row) => (row.dose > one.unedited ? "circle" : "circle-open"))},
    error_y: bars("estimate", "ci_low", "ci_high", (value) => value),
    ...(byDamage ? {error_x: bars("ratio", "ratio_low", "ratio_high", damagePlace)} : {}),
    hoverinfo: "text",
    hovertext: points.map((row) =>
      [
        look.name,
        `${t("columns.dose")} ${number(row.dose)}`,
        `${number(row.estimate)} nats`,
        `${t("columns.ci")} ${interval(row.ci_low ?? null, row.ci_high ?? null)}`,
        `${t("columns.ratio")} ${number(row.ratio)} ${interval(row.ratio_low ?? null, row.ratio_high ?? null)}`,
      ]
        .map((line) => forPlotly(line))
        .join("<br>"),
    ),
  };
}

// Single draws of random vectors and of random heads.
function doseDraws(one, byDamage) {
  const looks = [
    ["random_vector", "columns.random_vectors", "#8c8c8c", "circle"],
    ["random_heads", "columns.random_heads", "#56b4e9", "triangle-up"],
  ];
  return looks
    .filter(([key]) => one.nulls[key])
    .map(([key, title, tone, symbol]) => {
      const rows = rowsOf(one.nulls[key]);
      return {
        type: "scatter",
        mode: "markers",
        name: `${t(title)}: ${one.draws[key]}`,
        x: rows.map((row) => (byDamage ? damagePlace(row.perplexity_ratio) : row.dose)),
        y: rows.map((row) => row.estimate),
        marker: {size: 4, symbol, color: tone, opacity: 0.6},
        hoverinfo: "skip",
      };
    });
}

function drawSteering() {
  const place = document.getElementById("steering-charts");
  // All tiles first: a chart takes the width its tile has when it is drawn.
  const boxes = data.steering.map((one) => {
    const box = make("div", {role: "img", "aria-label": said(one.name)});
    place.append(make("div", {class: "map"}, make("h3", {}, said(one.name)), box));
    return box;
  });
  data.steering.forEach((one, at) => {
    const byDamage = one.damage;
    onTheme(() => {
      const traces = doseDraws(one, byDamage);
      if (one.stream.dose.length) {
        const look = {name: t("charts.stream"), tone: color("ink"), dash: "dash"};
        traces.push(doseCurve(one, one.stream, byDamage, look));
      }
      const look = {name: t("charts.steered"), tone: "#d55e00", dash: "solid", labelled: true};
      traces.push(doseCurve(one, one.doses, byDamage, look));
      const bound = {
        type: "line",
        yref: "paper",
        y0: 0,
        y1: 1,
        x0: 1,
        x1: 1,
        line: {color: color("soft"), dash: "dot"},
      };
      const damage = {
        title: {text: t("charts.damage")},
        tickvals: STEER_TICKS.map(damagePlace),
        ticktext: STEER_TICKS.map((tick) => String(tick)),
        tickangle: 0,
        fixedrange: true,
      };
      Plotly.react(
        boxes[at],
        traces,
        layout({
          height: 380,
          legend: {orientation: "h", y: -0.2, yanchor: "top", font: {size: 11}},
          shapes: byDamage ? [bound] : [],
          xaxis: byDamage ? damage : {title: {text: t("columns.dose")}, fixedrange: true},
          yaxis: {title: {text: t("charts.effect")}, fixedrange: true},
        }),
        PLOT_CONFIG,
      );
    });
  });
}
