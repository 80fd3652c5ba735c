// What it would say: the likeliest next words and the concept's log-odds, as it is beside edited.
function wordOf(id) {
  return known.words.find((row) => row.token_id === id)?.token ?? view.wordText;
}

function changeText(value) {
  return value === null || value === undefined ? MISSING : `${value > 0 ? "+" : ""}${number(value)}`;
}

function toneOf(value) {
  return value > 0 ? "more" : value < 0 ? "less" : null;
}

function barOf(kind, share) {
  const bar = make("i", {class: kind});
  bar.style.width = `${Math.max(0, Math.min(100, 100 * share))}%`;
  return bar;
}

function drawWords() {
  const place = at("next-words");
  if (!known.words.length) return place.replaceChildren(make("p", {class: "empty"}, t("next.none")));
  const focus = place.contains(document.activeElement) ? document.activeElement.value : null;
  const most = Math.max(...known.words.flatMap((row) => [row.baseline, row.edited ?? 0])) || 1;
  const rows = known.words.map((row) => {
    const button = make(
      "button",
      {
        type: "button",
        value: row.token_id,
        title: `id ${row.token_id}`,
        "aria-pressed": String(view.coloring === "direct" && view.word === row.token_id),
        "aria-label": t("next.choose", {token: quoted(row.token)}),
        onclick: () => chooseWord(row),
      },
      visibleNodes(row.token),
    );
    const bars = [barOf("before", row.baseline / most)];
    if (known.edited) bars.push(barOf("after", row.edited / most));
    const cells = [make("td", {}, number(row.baseline))];
    if (known.edited)
      cells.push(make("td", {}, number(row.edited)), make("td", {class: toneOf(row.change)}, changeText(row.change)));
    return make(
      "tr",
      {"data-token": row.token_id},
      make("th", {scope: "row"}, button),
      make("td", {"aria-hidden": "true"}, make("div", {class: "bars"}, bars)),
      cells,
    );
  });
  const titles = [t("next.word"), "", t("next.baseline")];
  if (known.edited) titles.push(t("next.edited"), t("next.change"));
  place.replaceChildren(tableOf(titles, rows));
  if (focus) place.querySelector(`button[value="${focus}"]`)?.focus({preventScroll: true});
  return undefined;
}

function tableOf(titles, rows) {
  const heads = titles.map((title, i) =>
    make(title ? "th" : "td", title ? {scope: "col", class: i ? null : "left"} : {}, title),
  );
  return make("table", {}, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows));
}

// A word that is chosen colors the map by what each head adds to it; chosen again, the map goes back.
let coloringBefore = null;
function chooseWord(row) {
  const back = view.coloring === "direct" && view.word === row.token_id;
  if (back) view.coloring = coloringBefore ?? measures[0]?.key ?? "attention";
  else {
    if (view.coloring !== "direct") coloringBefore = view.coloring;
    view.coloring = "direct";
    view.word = row.token_id;
    view.wordText = row.token;
  }
  at("coloring").value = view.coloring;
  keepView();
  drawWords();
  fetchMap();
}

function drawOdds() {
  const place = at("log-odds");
  place.hidden = !known.odds.length && !known.noOdds;
  if (known.noOdds) {
    const {error, expected, got} = known.noOdds;
    const facts = [expected, got].filter(Boolean).map(shownValue).join("; ");
    const why = writtenText(facts ? `${error} (${facts})` : error);
    return place.replaceChildren(make("p", {class: "fine"}, t("next.no_odds", {why})));
  }
  if (place.hidden) return undefined;
  const titles = [t("next.odds_of"), t("next.baseline")];
  if (known.edited) titles.push(t("next.edited"), t("next.change"));
  const rows = known.odds.map((row) => {
    const cells = [make("td", {}, number(row.baseline_nats))];
    if (known.edited)
      cells.push(
        make("td", {}, number(row.edited_nats)),
        make("td", {class: toneOf(row.change_nats)}, changeText(row.change_nats)),
      );
    return make("tr", {"data-concept": row.concept}, make("th", {scope: "row"}, row.concept), cells);
  });
  return place.replaceChildren(make("h3", {}, t("next.odds")), tableOf(titles, rows));
}

// Foreign text made visible.
const BREAKS = new Set("\n\r\v\f\u001c\u001d\u001e\u0085\u2028\u2029");
const HIDDEN = /[\p{Cc}\p{Cs}\p{Cf}]/u;

// The sign for a character that shows nothing by itself; null where it shows. A zero-width joiner holds an emoji
// together, and stays.
function signOf(char) {
  if (char === " ") return "·";
  if (char === "\t") return "→";
  if (BREAKS.has(char)) return "↵";
  if (char === "\u200d") return null;
  return HIDDEN.test(char) ? `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` : null;
}

// A token's text as nodes: white space, controls and direction marks as signs, the rest as it is.
function visibleNodes(text) {
  const nodes = text === "" ? [make("span", {class: "mark"}, "⋯")] : []; // a later part of the character before
  let plain = "";
  for (const char of text) {
    const sign = signOf(char);
    if (sign === null) {
      plain += char;
      continue;
    }
    if (plain) nodes.push(plain);
    plain = "";
    nodes.push(make("span", {class: "mark"}, sign));
  }
  return plain ? [...nodes, plain] : nodes;
}

// The same on one line of plain text, its direction isolated.
function quoted(text) {
  const shown = [...text].map((char) => signOf(char) ?? char).join("");
  return `“\u2068${shown}\u2069”`;
}

// Written text: breaks and spaces stay what they are; what turns or hides text becomes a sign.
function writtenText(text) {
  return [...text]
    .map((char) => (char === "\n" || char === "\t" || char === " " ? char : (signOf(char) ?? char)))
    .join("");
}
