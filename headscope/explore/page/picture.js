// A picture of the view: prompt, edits, map and next words as SVG, drawn on a canvas, saved as PNG.
const SVG = "http://www.w3.org/2000/svg";
const PICTURE_WIDTH = 1200;
const PICTURE_TOP = 168;

function draw(tag, attributes, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

function pictureOf() {
  const family = getComputedStyle(document.body).fontFamily;
  const size = Math.min(110, 590 / Math.max(nHeads, 1), Math.max(9, 400 / Math.max(nLayers, 1)));
  const height = PICTURE_TOP + Math.max(size * nLayers, 28 * known.words.length) + 96;
  const svg = draw("svg", {xmlns: SVG, width: PICTURE_WIDTH, height, viewBox: `0 0 ${PICTURE_WIDTH} ${height}`});
  const write = (x, y, text, look = {}) =>
    svg.append(draw("text", {x, y, "font-family": family, "font-size": 15, fill: color("ink"), ...look}, text));
  const soft = {"font-size": 13, fill: color("soft")};
  svg.append(draw("rect", {width: PICTURE_WIDTH, height, fill: color("surface")}));
  const prompt = view.mode === "chat" ? view.messages.map((one) => one.content).join(" ⏎ ") : view.text;
  write(40, 48, shortened(writtenText(prompt), 90), {"font-size": 22, "font-weight": 600});
  const edits = view.groups.map(toldGroup).join("; ") || t("picture.none");
  write(40, 80, shortened(`${facts.model.name} · ${t("picture.edits", {edits})}`, 120), {"font-size": 16});
  write(40, 142, shortened(shown.note, 82), soft);
  pictureMap(svg, write, size);
  pictureWords(svg, write, soft);
  write(40, height - 40, said(facts.sentence), {...soft, "font-weight": 600});
  write(40, height - 20, shortened(known.take?.test ?? "", 150), {...soft, "font-family": "monospace"});
  return svg;
}

function pictureMap(svg, write, size) {
  const side = size - Math.min(3, size / 6);
  for (const [name, cell] of cells) {
    const [layer, head] = name.split(":").map(Number);
    const [x, y] = [66 + head * size, PICTURE_TOP + layer * size];
    const edited = cell.dataset.kind;
    const ground = edited ? color("ink") : cell.style.background || color("scale-mid");
    svg.append(draw("rect", {x, y, width: side, height: side, rx: size > 14 ? 4 : 0, fill: ground}));
    const text = edited ? cell.dataset.mark : cell.textContent;
    const ink = edited ? color("surface") : cell.style.color;
    if (size > 30 && text)
      write(x + side / 2, y + side / 2 + 5, text, {
        fill: ink,
        "text-anchor": "middle",
        "font-size": Math.min(15, size * 0.3),
      });
  }
  const every = (n) => Math.max(1, Math.ceil(n / 12));
  const small = {"font-size": 12, fill: color("soft")};
  for (let layer = 0; layer < nLayers; layer += every(nLayers))
    write(58, PICTURE_TOP + (layer + 0.5) * size + 4, String(layer), {...small, "text-anchor": "end"});
  for (let head = 0; head < nHeads; head += every(nHeads))
    write(66 + head * size + side / 2, PICTURE_TOP - 8, String(head), {...small, "text-anchor": "middle"});
}

function pictureWords(svg, write, soft) {
  const left = 710;
  const most = Math.max(...known.words.flatMap((row) => [row.baseline, row.edited ?? 0]), 1e-9);
  const end = {"text-anchor": "end"};
  write(left, 142, t("next.title"), {"font-weight": 600});
  write(left + 370, 160, t("next.baseline"), {...soft, ...end});
  if (known.edited) write(left + 450, 160, t("next.edited"), {...soft, ...end});
  known.words.forEach((row, i) => {
    const y = PICTURE_TOP + 4 + i * 28;
    const bar = (top, share, fill) =>
      svg.append(draw("rect", {x: left + 140, y: y + top, width: 160 * (share / most), height: 7, rx: 2, fill}));
    write(left, y + 15, shortened([...row.token].map((char) => signOf(char) ?? char).join(""), 16));
    bar(2, row.baseline, color("soft"));
    write(left + 370, y + 15, number(row.baseline), end);
    if (!known.edited) return;
    bar(11, row.edited, color("accent"));
    write(left + 450, y + 15, number(row.edited), end);
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
