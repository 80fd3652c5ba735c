// The prompt: a text, turns of a chat, or one of the profile's examples.
function startPrompt() {
  const box = at("text");
  box.value = view.text;
  box.addEventListener("input", () => {
    view.text = box.value;
    view.example = exampleOf(view.example)?.text === box.value ? view.example : "";
    promptChanged(true);
  });
  drawn(drawMode);
  drawn(drawExamples);
  drawn(drawTurns);
}

// A prompt that changed chooses its tokens anew.
const readSoon = debounced(() => look(), 250);
function promptChanged(typing = false) {
  view.queries = [];
  view.keys = [];
  cancel("look");
  cancel("write");
  viewChanged();
  document.body.dataset.state = "looking";
  if (typing) readSoon();
  else look();
}

function drawMode() {
  const place = at("mode");
  place.hidden = !facts.model.chat;
  const choices = ["text", "chat"].map((name) => [name, t(`prompt.${name}`)]);
  radios(place, choices, view.mode, (mode) => {
    view.mode = mode;
    if (mode === "chat" && view.messages.every((one) => !one.content)) {
      view.messages = [{role: "user", content: view.text}];
      drawTurns();
    }
    showMode();
    promptChanged();
  });
  showMode();
}

function showMode() {
  at("text").hidden = view.mode === "chat";
  at("turns").hidden = view.mode !== "chat";
  at("example").hidden = !examples.length;
}

function drawExamples() {
  const select = at("example");
  const groups = [...new Set(examples.map((one) => one.concept))].map((concept) =>
    make(
      "optgroup",
      {label: concept},
      examples.filter((one) => one.concept === concept).map((one) => option(one.id, shortened(one.text, 70))),
    ),
  );
  select.replaceChildren(option("", t("prompt.pick")), ...groups);
  select.value = "";
  select.onchange = () => {
    const chosen = exampleOf(select.value);
    select.value = "";
    if (chosen) takeExample(chosen);
  };
}

function takeExample(chosen) {
  if (view.mode === "chat") {
    view.messages = chosen.messages ?? [{role: "user", content: chosen.text}];
    drawTurns();
  } else {
    view.text = chosen.text;
    view.example = chosen.id;
    at("text").value = chosen.text;
  }
  if (concepts.includes(chosen.concept)) {
    view.concept = chosen.concept;
    at("concept").value = chosen.concept;
  }
  promptChanged();
}

function shortened(text, longest) {
  const flat = text.replace(/\s+/g, " ");
  return flat.length > longest ? `${flat.slice(0, longest - 1)}…` : flat;
}

function drawTurns() {
  const turns = view.messages.map((message, i) => {
    const role = make(
      "select",
      {"aria-label": t("prompt.role", {n: i + 1})},
      ROLES.map((name) => option(name, t(`roles.${name}`))),
    );
    role.value = message.role;
    role.onchange = () => {
      message.role = role.value;
      promptChanged();
    };
    const box = make("textarea", {
      rows: 1,
      dir: "auto",
      spellcheck: "false",
      "aria-label": t("prompt.turn", {n: i + 1}),
    });
    box.value = message.content;
    box.oninput = () => {
      message.content = box.value;
      promptChanged(true);
    };
    const remove = make("button", {type: "button", "aria-label": t("prompt.remove_turn")}, "✕");
    remove.disabled = view.messages.length === 1;
    remove.onclick = () => changeTurns(() => view.messages.splice(i, 1), Math.max(0, i - 1));
    return make("div", {class: "turn"}, role, box, remove);
  });
  const add = make("button", {type: "button"}, t("prompt.add_turn"));
  add.onclick = () =>
    changeTurns(
      () => view.messages.push({role: view.messages.at(-1).role === "user" ? "assistant" : "user", content: ""}),
      view.messages.length,
    );
  at("turns").replaceChildren(...turns, make("div", {}, add));
}

function changeTurns(change, focus) {
  change();
  drawTurns();
  at("turns").querySelectorAll("textarea")[focus].focus();
  promptChanged();
}
