// Colors of the map, and foreign text made visible.
function color(name) {
  return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

function channels(hex) {
  return [1, 3, 5].map((start) => Number.parseInt(hex.slice(start, start + 2), 16));
}

// A function from a value to [background, ink]; `limit` is the value of the strongest color.
function colorScale(diverging, limit) {
  const names = diverging
    ? ["scale-low", "scale-low-mid", "scale-mid", "scale-high-mid", "scale-high"]
    : ["scale-mid", "scale-low-mid", "scale-low"];
  const stops = names.map((name) => channels(color(name)));
  return (value) => {
    const share = diverging ? (value / limit + 1) / 2 : value / limit;
    const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
    const below = Math.min(stops.length - 2, Math.floor(place));
    const mixed = stops[below].map((one, i) => Math.round(one + (stops[below + 1][i] - one) * (place - below)));
    const light = (mixed[0] * 299 + mixed[1] * 587 + mixed[2] * 114) / 1000;
    return [`rgb(${mixed.join(", ")})`, light > 140 ? "#14181d" : "#ffffff"];
  };
}

function ramp(diverging) {
  const scale = colorScale(diverging, 1);
  const places = diverging ? [-1, -0.5, 0, 0.5, 1] : [0, 0.5, 1];
  return `linear-gradient(90deg, ${places.map((one) => scale(one)[0]).join(", ")})`;
}

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
  const shown = [...text].map((char) => (char === " " ? char : (signOf(char) ?? char))).join("");
  return `“\u2068${shown}\u2069”`;
}

// Written text: breaks and spaces stay what they are; what turns or hides text becomes a sign.
function writtenText(text) {
  return [...text]
    .map((char) => (char === "\n" || char === "\t" || char === " " ? char : (signOf(char) ?? char)))
    .join("");
}
