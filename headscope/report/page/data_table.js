// Tables that can be searched, sorted and saved as CSV; rows beyond the first hundred come on demand.
const ROWS_SHOWN = 100;

// columns: {key, title, show(row) -> text, value(row) -> number or text to sort by and save; saved, where it is not
// [[key, value]], lists the cells of the CSV file}.
function dataTable(name, title, columns, rows, onRow = null) {
  let order = null;
  let limit = ROWS_SHOWN;
  const body = make("tbody");
  const countLine = make("span", {class: "fine", "aria-live": "polite"});
  const search = make("input", {
    type: "search",
    placeholder: t("grids.search"),
    "aria-label": t("grids.search_in", {title}),
  });
  const more = make(
    "button",
    {
      type: "button",
      onclick: () => {
        limit += 10 * ROWS_SHOWN;
        draw();
      },
    },
    t("grids.more"),
  );
  const heads = columns.map((column, at) =>
    make(
      "th",
      {scope: "col", "aria-sort": "none", class: column.left || column.wide ? "left" : null},
      make("button", {type: "button", onclick: () => sortBy(at)}, column.title),
    ),
  );
  const haystacks = rows.map((row) =>
    columns
      .map((column) => column.show(row))
      .join("\n")
      .toLowerCase(),
  );
  const chosen = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((_, at) => words.every((word) => haystacks[at].includes(word)));
    if (!order) return found;
    const {value} = columns[order.at];
    return found
      .map((row) => [value(row), row])
      .sort(([a], [b]) => compare(a, b, order.down))
      .map(([, row]) => row);
  };
  function sortBy(at) {
    order = {at, down: order && order.at === at ? !order.down : false};
    heads.forEach((head, i) =>
      head.setAttribute("aria-sort", i !== at ? "none" : order.down ? "descending" : "ascending"),
    );
    draw();
  }
  function draw() {
    const found = chosen();
    body.replaceChildren(
      ...found.slice(0, limit).map((row) => {
        const cells = columns.map((column, at) =>
          make(
            at ? "td" : "th",
            at ? {class: column.wide ? "wrap" : column.left ? "left" : null} : {scope: "row"},
            column.why?.(row) ? make("span", {title: column.why(row)}, column.show(row)) : column.show(row),
          ),
        );
        const line = make(
          "tr",
          onRow
            ? {
                class: "open",
                tabindex: 0,
                onclick: () => onRow(row),
                onkeydown: (event) => {
                  if (event.key === "Enter") onRow(row);
                },
              }
            : {},
          cells,
        );
        return line;
      }),
    );
    countLine.textContent = t("grids.shown", {n: found.length, of: rows.length});
    more.hidden = found.length <= limit;
  }
  const save = make("button", {type: "button", onclick: () => saveCsv(`${name}.csv`, columns, chosen())}, "CSV");
  search.addEventListener("input", draw);
  draw();
  return make(
    "details",
    {class: "box", "data-table": name},
    make("summary", {}, t("grids.titled", {title, n: rows.length})),
    make("div", {class: "tools"}, search, save, countLine),
    make("div", {class: "scroll"}, make("table", {}, make("thead", {}, make("tr", {}, heads)), body)),
    more,
  );
}

// Missing values stand last in either direction.
function compare(a, b, down) {
  const missing = (value) => value === null || value === undefined || value === "";
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  const order =
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", {numeric: true});
  return down ? -order : order;
}

function csvText(columns, rows) {
  // A cell that a spreadsheet would take for a formula gets an apostrophe; numbers stay numbers.
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const saved = columns.flatMap((column) => column.saved ?? [[column.key, column.value]]);
  return [saved.map(([key]) => cell(key)), ...rows.map((row) => saved.map(([, value]) => cell(value(row))))]
    .map((line) => `${line.join(",")}\n`)
    .join("");
}

function saveCsv(name, columns, rows) {
  const url = URL.createObjectURL(new Blob([csvText(columns, rows)], {type: "text/csv;charset=utf-8"}));
  make("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

const plainColumn = (key, title = key, extra = {}) => ({
  key,
  title,
  show: (row) => String(row[key] ?? MISSING),
  value: (row) => row[key],
  ...extra,
});
const numberColumn = (key, title = key, show = number) => ({
  key,
  title,
  show: (row) => show(row[key]),
  value: (row) => row[key],
});
// Both ends in one cell on the page, in two of the CSV file; sorted by the lower end.
const rangeColumn = (low, high, title) => ({
  key: low,
  title,
  show: (row) => interval(row[low], row[high]),
  value: (row) => row[low],
  saved: [
    [low, (row) => row[low]],
    [high, (row) => row[high]],
  ],
});
// Text that the data gives in every language, and a run's own word that the language's file knows.
const saidColumn = (key, title, extra = {}) => ({
  key,
  title,
  show: (row) => said(row[key]),
  value: (row) => said(row[key]),
  ...extra,
});
const wordColumn = (key, group, title) => ({
  key,
  title,
  left: true,
  show: (row) => (row[key] ? t(`${group}.${row[key]}`) : ""),
  value: (row) => row[key],
});
