// Talking to the server: every request carries the whole view, and a new one of a name ends the one that runs.
const client = [...crypto.getRandomValues(new Uint8Array(8))].map((one) => one.toString(16).padStart(2, "0")).join("");
const token = new URLSearchParams(location.search).get("token") ?? "";

// What went wrong, as the server says it: {error, expected, got, fix}.
class Trouble extends Error {
  constructor(told) {
    super(told.error);
    this.told = told;
  }
}

// The server does not answer any more.
class Gone extends Error {}

function gone(error) {
  throw error instanceof TypeError ? new Gone(error.message) : error;
}

const running = new Map();
function begin(name) {
  running.get(name)?.abort();
  const controller = new AbortController();
  running.set(name, controller);
  return controller.signal;
}

function cancel(name) {
  running.get(name)?.abort();
  running.delete(name);
}

function requestOf(extra = {}) {
  const chat = view.mode === "chat";
  const prompt = chat ? {messages: view.messages} : view.example ? {id: view.example} : {text: view.text};
  return {client, prompt, chat, concept: view.concept || null, edits: view.groups.map(editOf), ...extra};
}

// How text is written; a look has it too, because the lines to take along say it.
function writingOf() {
  const {max_tokens, temperature, top_p, greedy, seed} = view;
  return {max_tokens, temperature, top_p, greedy, seed};
}

function editOf(group) {
  const edit = {heads: specOf(group.heads), kind: group.kind};
  if (group.kind === "scale") edit.factor = group.factor;
  if (group.kind === "add") Object.assign(edit, {dose: group.dose, concept: group.concept || view.concept});
  return edit;
}

async function post(route, body, signal) {
  const answer = await fetch(`/api/${route}`, {
    method: "POST",
    headers: {"Content-Type": "application/json", "X-Headscope-Token": token},
    body: JSON.stringify(body),
    signal,
  }).catch(gone);
  at("trouble-page").hidden = true;
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({error: `${answer.status} ${answer.statusText}`}));
  throw told.error === "cancelled" ? new DOMException("cancelled", "AbortError") : new Trouble(told);
}

// The events of an answer, one JSON object a line, as they come.
async function* events(route, body, signal) {
  const answer = await post(route, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  for (;;) {
    const {done, value} = await reader.read().catch(gone);
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : lines.pop();
    for (const line of lines.filter(Boolean)) {
      const event = JSON.parse(line);
      if (event.event === "error") throw new Trouble(event);
      if (event.event === "cancelled") throw new DOMException("cancelled", "AbortError");
      if (event.event === "end") ended = true;
      yield event;
    }
    if (!done) continue;
    if (!ended) throw new Trouble({error: t("errors.lost"), fix: t("errors.lost_fix")});
    return;
  }
}

// Shows what went wrong where it belongs; what was cancelled is no trouble.
function trouble(place, error) {
  if (error.name === "AbortError") return;
  if (error instanceof Trouble) {
    const box = at(`trouble-${place}`);
    const {told} = error;
    const line = (name) =>
      told[name] !== null && told[name] !== undefined && told[name] !== ""
        ? make("p", {}, make("b", {}, t(`errors.${name}`)), ` ${writtenText(shownValue(told[name]))}`)
        : null;
    box.replaceChildren(
      make("p", {}, writtenText(String(told.error))),
      ...["expected", "got", "fix"].map(line).filter(Boolean),
    );
    box.hidden = false;
    return;
  }
  if (!(error instanceof Gone)) throw error;
  at("trouble-page").textContent = t("page.gone");
  at("trouble-page").hidden = false;
}

function shownValue(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 299)}…` : text;
}

function untrouble(place) {
  at(`trouble-${place}`).hidden = true;
}
