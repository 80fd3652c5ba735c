// Edits of heads: groups of heads with one edit each, no head in two. A click on a head leads it through off, scaled,
// steered, and back.
const MARKS = {zero: "0", mean: "x̄", bos: "B", scale: "×", add: "+"};
const STEPS_OF = {scale: ["factor", 0.25], add: ["dose", 1]};

function groupOf(layer, head) {
  return view.groups.find((group) => group.heads.some(([l, h]) => l === layer && h === head));
}

// Takes heads out of every group; a group that is left without heads goes.
function takeOut(heads) {
  const out = new Set(heads.map(String));
  for (const group of view.groups) group.heads = group.heads.filter((one) => !out.has(String(one)));
  view.groups = view.groups.filter((group) => group.heads.length);
}

function newGroup(heads, kind, single) {
  return {heads: sortedHeads(heads), kind, factor: 0.5, dose: 4, concept: view.concept, single};
}

// Heads clicked one by one into the same "off" stand in one group; a set, and what has a size of its own, in its own.
function putHead(head, kind) {
  takeOut([head]);
  const mate = OFF_KINDS.includes(kind) && view.groups.find((group) => group.kind === kind && group.single);
  if (mate) mate.heads = sortedHeads([...mate.heads, head]);
  else view.groups.push(newGroup([head], kind, true));
}

function putSet(heads, kind = view.off) {
  takeOut(heads);
  view.groups.push(newGroup(heads, kind, false));
  editsChanged();
}

function cycleHead(layer, head) {
  const group = groupOf(layer, head);
  if (!group) putHead([layer, head], view.off);
  else if (OFF_KINDS.includes(group.kind)) putHead([layer, head], "scale");
  else if (group.kind === "scale" && KINDS.includes("add")) putHead([layer, head], "add");
  else takeOut([[layer, head]]);
  editsChanged();
}

function scaleHead(layer, head) {
  if (groupOf(layer, head)?.kind === "scale") return;
  putHead([layer, head], "scale");
  editsChanged();
}

function nudgeHead(layer, head, way) {
  const group = groupOf(layer, head);
  if (!group) putHead([layer, head], "scale");
  const edited = groupOf(layer, head);
  const [name, step] = STEPS_OF[edited.kind] ?? [];
  if (!name) return;
  if (!group) edited.factor = 1;
  edited[name] = Math.round((edited[name] + way * step) * 1e6) / 1e6;
  editsChanged();
}

function putBack(heads) {
  takeOut(heads);
  editsChanged();
}

function plain(value) {
  return String(value).replace("-", "−");
}

function sizeOf(group) {
  if (group.kind === "scale") return `${MARKS.scale}${plain(group.factor)}`;
  if (group.kind === "add") return `${group.dose < 0 ? "" : "+"}${plain(group.dose)}`;
  return MARKS[group.kind];
}

function toldGroup(group) {
  const size = STEPS_OF[group.kind] ? ` ${sizeOf(group)}` : "";
  const direction = group.kind === "add" ? ` ${group.concept || view.concept}` : "";
  return `${nameOf(group.heads)} ${t(`kinds.${group.kind}`)}${size}${direction}`;
}

function editsChanged() {
  untrouble("edits");
  drawEdits();
  markCells();
  announceEdits.due = true;
  viewChanged();
  look();
}

function announceEdits() {
  announceEdits.due = false;
  return view.groups.length ? view.groups.map(toldGroup).join("; ") : t("edits.none");
}

function drawEdits() {
  const place = at("edits");
  // The reader keeps the place in a row that is drawn again.
  const focus = place.contains(document.activeElement) ? document.activeElement.dataset.field : null;
  const rows = view.groups.map(editRow);
  place.replaceChildren(...(rows.length ? rows : [make("li", {class: "empty"}, t("edits.none"))]));
  if (focus) (place.querySelector(`[data-field="${focus}"]`) ?? at("all-on")).focus();
  at("all-on").disabled = !view.groups.length;
  at("save-edit").disabled = !view.groups.length;
  drawTopSets();
}

function editRow(group, i) {
  const heads = nameOf(group.heads);
  const kind = make(
    "select",
    {"aria-label": t("edits.kind", {heads}), "data-field": `kind-${i}`},
    KINDS.map((name) => option(name, t(`kinds_long.${name}`))),
  );
  kind.value = group.kind;
  kind.onchange = () => {
    group.kind = kind.value;
    editsChanged();
  };
  const remove = make(
    "button",
    {
      type: "button",
      "aria-label": t("edits.remove", {heads}),
      "data-field": `remove-${i}`,
      onclick: () => putBack(group.heads),
    },
    "✕",
  );
  const title = make("b", {title: specOf(group.heads)}, heads);
  if (group.heads.length > 4)
    title.append(make("span", {class: "meta"}, ` ${t("edits.n_heads", {n: group.heads.length})}`));
  return make("li", {"data-kind": group.kind}, title, kind, remove, sizeFields(group, i, heads));
}

// Slider and number of an edit that has a size, and the concept whose direction is added.
function sizeFields(group, i, heads) {
  const [name] = STEPS_OF[group.kind] ?? [];
  if (!name) return [];
  const range = name === "factor" ? {min: -1, max: 3, step: 0.05} : {min: -12, max: 12, step: 0.5};
  const slider = make("input", {
    type: "range",
    ...range,
    "aria-label": t(`edits.${name}`, {heads}),
    "data-field": `slider-${i}`,
  });
  const field = make("input", {
    type: "number",
    step: "any",
    "aria-label": t(`edits.${name}`, {heads}),
    "data-field": `number-${i}`,
  });
  slider.value = group[name];
  field.value = group[name];
  const change = (value) => {
    field.setCustomValidity(Number.isFinite(value) ? "" : t("errors.number"));
    if (!Number.isFinite(value)) return field.reportValidity();
    group[name] = value;
    markCells();
    viewChanged();
    return look();
  };
  slider.oninput = () => {
    field.value = slider.value;
    change(Number(slider.value));
  };
  field.oninput = () => {
    slider.value = field.value;
    change(field.value === "" ? Number.NaN : Number(field.value));
  };
  if (group.kind !== "add" || concepts.length < 2) return make("div", {class: "size"}, slider, field);
  const concept = make(
    "select",
    {"aria-label": t("edits.of", {heads}), "data-field": `concept-${i}`},
    concepts.map((one) => option(one, one)),
  );
  concept.value = group.concept || view.concept;
  concept.onchange = () => {
    group.concept = concept.value;
    editsChanged();
  };
  return make("div", {class: "size"}, slider, field, concept);
}

// The sets a run judged, each one click away; a second click puts them back.
function drawTopSets() {
  const sets = (facts.run?.top_sets ?? []).filter((one) => parseHeads(one.heads));
  at("top-sets").hidden = !sets.length;
  at("top-sets").replaceChildren(
    make("span", {class: "pick"}, t("edits.top_sets")),
    ...sets.map((one) => {
      const heads = parseHeads(one.heads);
      const on = view.groups.some((group) => specOf(group.heads) === specOf(heads));
      const name = t("edits.top_set", {concept: one.concept, heads: nameOf(heads)});
      const look = {type: "button", class: "chip", "aria-pressed": String(on), title: said(one.label)};
      const button = make("button", look, name);
      button.onclick = () => {
        const place = [...at("top-sets").children].indexOf(button);
        if (on) putBack(heads);
        else putSet(heads);
        at("top-sets").children[place].focus();
      };
      return button;
    }),
  );
}

function startEdits() {
  at("all-on").onclick = () => {
    view.groups = [];
    editsChanged();
    at("board").querySelector("button[tabindex='0']")?.focus({preventScroll: true});
  };
  at("off-kind").onchange = () => {
    view.off = at("off-kind").value;
    const clicked = view.groups.filter((group) => group.single && OFF_KINDS.includes(group.kind));
    for (const group of clicked) group.kind = view.off;
    if (clicked.length) editsChanged();
    else keepView();
  };
  at("add-set").addEventListener("submit", (event) => {
    event.preventDefault();
    const spec = at("spec").value;
    const heads = parseHeads(spec);
    if (heads) {
      at("spec").value = "";
      return putSet(heads);
    }
    const example = specOf([[nLayers - 1, 0]]);
    const told = {
      error: t("errors.spec"),
      expected: t("errors.spec_expected", {layers: nLayers - 1}),
      got: `"${spec}"`,
      fix: t("errors.spec_fix", {example}),
    };
    return trouble("edits", new Trouble(told));
  });
  drawn(() => {
    at("off-kind").replaceChildren(...OFF_KINDS.map((kind) => option(kind, t(`kinds.${kind}`))));
    at("off-kind").value = view.off;
    drawEdits();
  });
}
