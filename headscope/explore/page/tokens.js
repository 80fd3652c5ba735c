// The tokens under the prompt, and where the chosen head looks. Chosen tokens: queries, from which is looked, and keys,
// which are looked at. Pointing at a token shows the other way round: which tokens look at it.
const LONGEST_SQUARE = 512;
let marking = "query";
let weights = null; // attention of the chosen head, [query][key]; rows that are not known are missing
let tabToken = 0;

function queries() {
  const chosen = view.queries.filter((one) => one < known.tokens.length);
  return chosen.length || !known.tokens.length ? chosen : [known.tokens.length - 1];
}

function keys() {
  const chosen = view.keys.filter((one) => one < known.tokens.length);
  if (chosen.length) return chosen;
  const words = spanTokens();
  if (words.length) return words;
  const all = known.tokens.map((_, i) => i);
  return all.length > 1 ? all.slice(1) : all;
}

// The tokens of an example's words: those that overlap its span, counted in the characters the tokens spell.
function spanTokens() {
  const span = view.mode === "text" ? exampleOf(view.example)?.span : null;
  const spelled = known.tokens.filter((one) => !one.special).map((one) => one.text);
  if (!span || spelled.join("").trim() !== view.text.trim()) return [];
  // Spans count characters as Python does; a tokenizer may put one space before the text.
  let start =
    Array.from(view.text).findIndex((char) => char.trim()) -
    Array.from(spelled.join("")).findIndex((char) => char.trim());
  return known.tokens.flatMap((one, i) => {
    if (one.special) return [];
    const end = start + Array.from(one.text).length;
    const hit = start < span[1] && end > span[0];
    start = end;
    return hit ? [i] : [];
  });
}

function drawTokens() {
  const place = at("tokens");
  tabToken = Math.min(tabToken, Math.max(0, known.tokens.length - 1));
  place.replaceChildren(
    ...known.tokens.map((one, i) => {
      const about = t("tokens.about", {token: quoted(one.text), at: i, id: one.id});
      return make(
        "button",
        {
          type: "button",
          class: one.special ? "special" : null,
          title: one.special ? `${about}, ${t("tokens.special")}` : about,
          "data-at": i,
          tabindex: i === tabToken ? 0 : -1,
        },
        visibleNodes(one.text),
      );
    }),
  );
  at("token-count").textContent = known.tokens.length
    ? t("tokens.count", {n: known.tokens.length, of: known.context ?? "∞"})
    : "";
  showChosenTokens();
}

function showChosenTokens() {
  const [from, to] = [new Set(queries()), new Set(view.keys.length || spanTokens().length ? keys() : [])];
  for (const chip of at("tokens").children) {
    const i = Number(chip.dataset.at);
    const label = [quoted(known.tokens[i].text)];
    if (from.has(i)) label.push(t("tokens.query"));
    if (to.has(i)) label.push(t("tokens.key"));
    chip.setAttribute("aria-pressed", String(from.has(i)));
    chip.setAttribute("aria-label", label.join(", "));
    chip.classList.toggle("to", to.has(i));
  }
  shadeFrom();
}

// Where the queries look, on average: a number a token.
function looksAt() {
  const rows = queries()
    .map((query) => weights?.[query])
    .filter(Boolean);
  return rows.length
    ? known.tokens.map((_, key) => rows.reduce((sum, row) => sum + (row[key] ?? 0), 0) / rows.length)
    : null;
}

function shade(shares, tone) {
  for (const chip of at("tokens").children) {
    const share = shares?.[Number(chip.dataset.at)] ?? 0;
    chip.style.background =
      share > 0.002 ? `color-mix(in srgb, ${tone} ${Math.round(100 * share ** 0.7)}%, transparent)` : "";
  }
}

function shadeFrom() {
  const shares = looksAt();
  shade(shares, "rgba(var(--shade), .72)");
  const from = queries();
  at("looks").textContent = !view.head.length
    ? t("tokens.choose_head")
    : shares
      ? t("tokens.looks", {head: headName(...view.head), token: namesOf(from), seen: strongest(shares)}) + longNote()
      : "";
}

function longNote() {
  return known.tokens.length > LONGEST_SQUARE ? ` ${t("tokens.too_long", {n: LONGEST_SQUARE})}` : "";
}

function shadeOnto(key) {
  if (!weights || known.tokens.length > LONGEST_SQUARE || !known.tokens[key]) return;
  const shares = known.tokens.map((_, query) => weights[query]?.[key] ?? 0);
  shade(shares, "color-mix(in srgb, var(--warn) 72%, transparent)");
  const values = {token: quoted(known.tokens[key].text), seen: strongest(shares), head: headName(...view.head)};
  at("looks").textContent = t("tokens.looked_at", values);
}

function strongest(shares) {
  const best = shares
    .map((share, i) => [share, i])
    .filter(([share]) => share >= 0.005)
    .sort((a, b) => b[0] - a[0])
    .slice(0, 4);
  if (!best.length) return t("tokens.nobody");
  return best
    .map(([share, i]) => t("tokens.share", {token: quoted(known.tokens[i].text), share: Math.round(share * 100)}))
    .join(", ");
}

function namesOf(chosen) {
  return chosen.length > 2
    ? t("map.several", {n: chosen.length})
    : chosen.map((i) => quoted(known.tokens[i].text)).join(", ");
}

function chooseToken(i, kind, more) {
  const list = kind === "key" ? "keys" : "queries";
  // Keys gather; of queries a plain click chooses one, and takes it back.
  if (list === "keys" || more) {
    view[list] = view[list].includes(i) ? view[list].filter((one) => one !== i) : [...view[list], i];
  } else {
    view.queries = view.queries.length === 1 && view.queries[0] === i ? [] : [i];
  }
  keepView();
  showChosenTokens();
  if (known.tokens.length > LONGEST_SQUARE) fetchAttention();
  if (list === "queries" || view.coloring !== "direct") fetchMap(); // direct attribution looks at no key
}

async function fetchAttention() {
  weights = null;
  if (!view.head.length || !known.tokens.length) return shadeFrom();
  const [layer, head] = view.head;
  const long = known.tokens.length > LONGEST_SQUARE;
  const signal = begin("attention");
  try {
    const asked = requestOf({layer, head, ...(long ? {queries: queries()} : {})});
    const answer = await (await post("attention", asked, signal)).json();
    weights = answer.weights ?? answer.rows;
    untrouble("tokens");
  } catch (error) {
    trouble("tokens", error);
  }
  if (!signal.aborted) shadeFrom();
  return undefined;
}

function startTokens() {
  const place = at("tokens");
  const chipOf = (event) => event.target.closest("button[data-at]");
  place.addEventListener("click", (event) => {
    const chip = chipOf(event);
    if (!chip) return;
    moveToken(Number(chip.dataset.at), false);
    const kind = event.shiftKey || marking === "key" ? "key" : "query";
    chooseToken(Number(chip.dataset.at), kind, event.ctrlKey || event.metaKey);
  });
  place.addEventListener("pointerover", (event) => {
    if (event.pointerType === "mouse" && chipOf(event)) shadeOnto(Number(chipOf(event).dataset.at));
  });
  place.addEventListener("pointerleave", shadeFrom);
  place.addEventListener("keydown", (event) => {
    const chip = chipOf(event);
    if (!chip) return;
    const here = Number(chip.dataset.at);
    const last = known.tokens.length - 1;
    const to = {ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: last}[event.key];
    if (to !== undefined) {
      event.preventDefault();
      moveToken(Math.min(last, Math.max(0, to)), true);
    } else if (event.key === "k") {
      chooseToken(here, "key", false);
    }
  });
  drawn(() => {
    const choices = [
      ["query", t("tokens.from")],
      ["key", t("tokens.to")],
    ];
    radios(at("marking"), choices, marking, (kind) => {
      marking = kind;
    });
    drawTokens();
  });
}

function moveToken(i, focus) {
  const chips = at("tokens").children;
  if (chips[tabToken]) chips[tabToken].tabIndex = -1;
  tabToken = i;
  chips[i].tabIndex = 0;
  if (focus) chips[i].focus();
}
