// Take it with you: the lines that reproduce the view, the line that tests it, the edit, the prompt, a picture.
function startTake() {
  at("copy-lines").onclick = () => copy(at("lines"));
  at("copy-test").onclick = () => copy(at("test"));
  at("save-edit").onclick = saveEdits;
  at("picture").onclick = savePicture;
  at("keep").onclick = keepPrompt;
  drawn(() => {
    const choices = ["command", "python"].map((name) => [name, t(`take.${name}`)]);
    radios(at("lines-of"), choices, view.lines, (name) => {
      view.lines = name;
      keepView();
      drawTake();
    });
    at("keep").closest(".pick").hidden = !concepts.length;
    const before = at("keep-concept").value;
    at("keep-concept").replaceChildren(...concepts.map((one) => option(one, one)));
    at("keep-concept").value = before || view.concept;
    at("keep").title = facts.keep ?? "";
    drawTake();
  });
}

function drawTake() {
  at("lines").replaceChildren(...lineWords(known.take?.[view.lines] ?? t("take.waiting")));
  at("test").replaceChildren(...lineWords(known.take?.test ?? "…"));
}

// Lines break between words only, so that no option is parted from its dashes.
function lineWords(text) {
  return text.split(/(\s+)/).map((word) => (/^\S{1,24}$/.test(word) ? make("span", {class: "whole"}, word) : word));
}

function told(text) {
  at("taken").textContent = text;
}

async function copy(place) {
  try {
    await navigator.clipboard.writeText(place.textContent);
    told(t("take.copied"));
    announce(t("take.copied"));
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    getSelection().selectAllChildren(place);
    told(t("take.not_copied"));
    announce(t("take.not_copied"));
  }
}

function download(blob, name) {
  const link = make("a", {href: URL.createObjectURL(blob), download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  told(t("take.saved", {name}));
}

function fileName(ending) {
  const edits = view.groups.map((group) => `${group.kind}_${specOf(group.heads)}`).join("_") || "unedited";
  return `headscope_${edits.replace(/[^\w-]+/g, "_").slice(0, 60)}${ending}`;
}

// One file an edit.
async function saveEdits() {
  untrouble("take");
  try {
    for (const [index, group] of view.groups.entries()) {
      const answer = await post("edit_file", requestOf({index}));
      const name = `headscope_${group.kind}_${specOf(group.heads)
        .replace(/[^\w-]+/g, "_")
        .slice(0, 60)}.safetensors`;
      download(await answer.blob(), name);
    }
  } catch (error) {
    trouble("take", error);
  }
}

async function keepPrompt() {
  untrouble("take");
  try {
    const answer = await (await post("keep", {...requestOf(), concept: at("keep-concept").value})).json();
    told(said(answer.sentence));
  } catch (error) {
    trouble("take", error);
  }
}
