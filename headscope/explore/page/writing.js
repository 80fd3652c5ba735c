// What it says: both arms' continuations as they are written, side by side, with what differs marked.
let written = null; // {baseline, edited, seed, both, state: "going" | "done" | "stopped", stale}

function startWriting() {
  at("write").onclick = () => write();
  at("again").onclick = () => {
    view.seed += 1;
    const field = at("settings").querySelector("[name=seed]");
    if (field) field.value = view.seed;
    keepView();
    write();
  };
  at("stop").onclick = stopWriting;
  at("along").onchange = () => {
    view.along = at("along").checked;
    keepView();
    if (view.along && (!written || written.stale)) write();
  };
  drawn(() => {
    at("along").checked = view.along;
    drawSettings();
    drawWritten();
  });
}

function drawSettings() {
  const fields = Object.entries(SETTINGS).map(([name, range]) => {
    const field = make("input", {type: "number", name, required: true, ...range});
    field.value = view[name];
    field.oninput = () => {
      if (!field.checkValidity()) return field.reportValidity();
      view[name] = Number(field.value);
      return settingsChanged();
    };
    return make("label", {class: "pick"}, t(`says.${name}`), field);
  });
  const greedy = make("input", {type: "checkbox", name: "greedy"});
  greedy.checked = view.greedy;
  greedy.onchange = () => {
    view.greedy = greedy.checked;
    settingsChanged();
  };
  at("settings").replaceChildren(...fields, make("label", {class: "pick"}, greedy, t("says.greedy")));
}

const lookSoon = debounced(() => look(), 300);
function settingsChanged() {
  viewChanged();
  lookSoon();
}

function staleWritten() {
  if (written) written.stale = true;
  drawWritten();
}

function stopWriting() {
  cancel("write");
  if (written?.state === "going") written.state = "stopped";
  drawWritten();
}

async function write() {
  const signal = begin("write");
  untrouble("says");
  const mine = {
    baseline: "",
    edited: "",
    pieces: {baseline: [], edited: []},
    seed: view.seed,
    both: view.groups.length > 0,
    state: "going",
    stale: false,
  };
  written = mine;
  drawWritten();
  try {
    for await (const event of events("write", requestOf(writingOf()), signal)) {
      if (event.event === "progress") showProgress(event);
      if (event.event === "take") heard.take(event);
      if (event.event !== "piece") continue;
      mine[event.arm] += event.text;
      mine.pieces[event.arm].push(event.text);
      drawSoon();
    }
    mine.state = "done";
  } catch (error) {
    mine.state = "stopped";
    trouble("says", error);
  }
  if (written === mine) drawWritten();
}

let waiting = 0;
function drawSoon() {
  waiting ||= requestAnimationFrame(() => {
    waiting = 0;
    drawWritten();
  });
}

// While both arms are written only what both reach is compared.
function piecesOf({baseline, edited, pieces, state}) {
  if (state !== "going") return difference(baseline, edited);
  const both = Math.min(pieces.baseline.length, pieces.edited.length);
  const start = (arm) => pieces[arm].slice(0, both).join("");
  const [before, after] = [start("baseline"), start("edited")];
  const rest = [
    ["-=", baseline.slice(before.length)],
    ["+=", edited.slice(after.length)],
  ].filter(([, text]) => text);
  return [...difference(before, after), ...rest];
}

function drawWritten() {
  const going = written?.state === "going";
  at("stop").disabled = !going;
  at("arms").setAttribute("aria-busy", String(going));
  at("arms").dataset.state = written?.state ?? "none";
  at("arms").classList.toggle("alone", !written?.both);
  at("arm-edited").hidden = !written?.both;
  const marked = {"-": "del", "+": "ins"};
  const arm = (name, own) => {
    const box = at(`written-${name}`);
    const pieces = written?.both ? piecesOf(written) : [["=", written?.[name] ?? ""]];
    box.replaceChildren(
      ...pieces
        .filter(([sign]) => sign === "=" || sign[0] === own)
        .map(([sign, text]) => (marked[sign] ? make(marked[sign], {}, writtenText(text)) : writtenText(text))),
    );
    box.classList.toggle("stale", Boolean(written?.stale));
    box.classList.toggle("going", going);
  };
  arm("baseline", "-");
  arm("edited", "+");
  at("says-note").textContent = noteOf();
}

function noteOf() {
  if (!written) return t("says.nothing");
  const {state, both, seed, baseline, edited, stale} = written;
  const told = {
    going: both ? "writing" : "writing_one",
    stopped: "stopped",
    done: !both ? "done_one" : baseline === edited ? "same" : "done",
  }[state];
  return stale ? `${t("says.stale")} ${t(`says.${told}`, {seed})}` : t(`says.${told}`, {seed});
}
