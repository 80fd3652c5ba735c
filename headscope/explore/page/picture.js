// A picture of the view: prompt, edits, map and next words as SVG, drawn on a canvas, saved as PNG.
const SVG = "http://www.w3.org/2000/svg";
const PICTURE_WIDTH = 1200;

function draw(tag, attributes, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

function pictureOf() {
  const family = getComputedStyle(document.body).fontFamily;
  const size = Math.max(7, Math.min(40, 560 / Math.max(nHeads, 1), 400 / Math.max(nLayers, 1)));
  const height = Math.max(170 + size * nLayers + 60, 170 + 26 * (known.words.length + 1) + 60);
  const svg = draw("svg", {xmlns: SVG, width: PICTURE_WIDTH, height, viewBox: `0 0 ${PICTURE_WIDTH} ${height}`});
  const write = (x, y, text, look = {}) =>
    svg.append(draw("text", {x, y, "font-family": family, "font-size": 15, fill: color("ink"), ...look}, text));
  svg.append(draw("rect", {width: PICTURE_WIDTH, height, fill: color("surface")}));
  const prompt = view.mode === "chat" ? view.messages.map((one) => one.content).join(" ⏎ ") : view.text;
  write(40, 48, shortened(facts.model.name, 60), {"font-size": 22, "font-weight": 600});
  write(40, 78, shortened(quoted(prompt), 120), {"font-size": 17});
  const edits = view.groups.map(toldGroup).join("; ") || t("picture.none");
  write(40, 104, shortened(t("picture.edits", {edits}), 130), {fill: color("soft")});
  write(40, 142, shortened(shown.note, 75), {"font-size": 13, fill: color("soft")});
  pictureMap(svg, write, size);
  pictureWords(svg, write);
  write(40, height - 22, shortened(said(facts.sentence), 150), {"font-size": 13, fill: color("soft")});
  return svg;
}

function pictureMap(svg, write, size) {
  for (const [name, cell] of cells) {
    const [layer, head] = name.split(":").map(Number);
    const [x, y] = [66 + head * size, 160 + layer * size];
    const fill = cell.style.background || color("scale-mid");
    const side = size - Math.min(2, size / 6);
    svg.append(draw("rect", {x, y, width: side, height: side, rx: size > 14 ? 3 : 0, fill}));
    if (!cell.dataset.kind) continue;
    svg.append(draw("rect", {x, y, width: side, height: side, rx: size > 14 ? 3 : 0, fill: color("ink")}));
    const look = {fill: color("surface"), "text-anchor": "middle", "font-size": Math.min(13, size * 0.4)};
    if (size > 14) write(x + side / 2, y + side / 2 + 5, cell.dataset.mark, look);
  }
  const every = (n) => Math.max(1, Math.ceil(n / 12));
  const small = {"font-size": 11, fill: color("soft")};
  for (let layer = 0; layer < nLayers; layer += every(nLayers))
    write(60, 160 + (layer + 0.5) * size + 4, String(layer), {...small, "text-anchor": "end"});
  for (let head = 0; head < nHeads; head += every(nHeads))
    write(66 + (head + 0.5) * size, 160 + nLayers * size + 14, String(head), {...small, "text-anchor": "middle"});
}

function pictureWords(svg, write) {
  const left = 700;
  const most = Math.max(...known.words.flatMap((row) => [row.baseline, row.edited ?? 0]), 1e-9);
  const small = {"font-size": 13, fill: color("soft")};
  write(left, 142, t("next.title"), {"font-weight": 600});
  write(left + 340, 142, t("next.baseline"), {...small, "text-anchor": "end"});
  if (known.edited) write(left + 430, 142, t("next.edited"), {...small, "text-anchor": "end"});
  known.words.forEach((row, i) => {
    const y = 160 + i * 26;
    write(left, y + 14, shortened([...row.token].map((char) => signOf(char) ?? char).join(""), 14));
    svg.append(
      draw("rect", {x: left + 130, y: y + 3, width: 130 * (row.baseline / most), height: 6, fill: color("soft")}),
    );
    write(left + 340, y + 14, number(row.baseline), {"text-anchor": "end"});
    if (!known.edited) return;
    svg.append(
      draw("rect", {x: left + 130, y: y + 11, width: 130 * (row.edited / most), height: 6, fill: color("accent")}),
    );
    write(left + 430, y + 14, number(row.edited), {"text-anchor": "end"});
  });
}

async function savePicture() {
  const svg = pictureOf();
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
  await image.decode();
  const canvas = make("canvas", {width: 2 * PICTURE_WIDTH, height: 2 * Number(svg.getAttribute("height"))});
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  context.drawImage(image, 0, 0);
  canvas.toBlob((blob) => download(blob, fileName(".png")), "image/png");
}
