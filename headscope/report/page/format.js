// Numbers and elements. `number`, `interval` and `probability` round as headscope.report.numbers does: tests compare.
const MISSING = "—";
const STEPS = [
  [1000, 0],
  [10, 1],
  [1, 2],
  [0.0005, 3],
];

// `toFixed` with ties to even, as Python rounds: a double is a tie at so many decimals where it is an odd multiple of
// 2 ** -(decimals + 1).
function fixed(value, decimals) {
  const size = Math.abs(value);
  if ((size * 2 ** (decimals + 1)) % 2 !== 1) return value.toFixed(decimals);
  const below = Math.floor(size * 10 ** decimals);
  return ((Math.sign(value) * (below + (below % 2))) / 10 ** decimals).toFixed(decimals);
}

function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return MISSING;
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const step = STEPS.find(([atLeast]) => Math.abs(value) >= atLeast);
  let text;
  if (step) {
    text = fixed(value, step[1]);
  } else {
    const [digits, power] = value.toExponential(1).split("e");
    text = `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
  }
  return text.replaceAll("-", "−");
}

function interval(low, high) {
  return number(low) === MISSING || number(high) === MISSING ? MISSING : `[${number(low)}, ${number(high)}]`;
}

function probability(value) {
  if (value === null || value === undefined) return MISSING;
  return value < 0.001 ? "< 0.001" : fixed(value, 3);
}

function headName(layer, head) {
  return `L${layer}H${head}`;
}

// "1:10,3:2" as "L1H10, L3H2".
function headNames(spec) {
  return spec
    .split(",")
    .map((head) => head.replace(/^(\d+):(\d+)$/, "L$1H$2"))
    .join(", ");
}

// An element with attributes and children. Strings become text, never markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// Plotly reads a little markup and needs entities for it; text of models and prompts must stay text there too.
// Directions are isolated so that a right-to-left prompt leaves the rest of a line in its order.
function forPlotly(text, longest = 90) {
  const flat = String(text).replace(/\s+/g, " ");
  const cut = flat.length > longest ? `${flat.slice(0, longest - 1)}…` : flat;
  return `\u2068${cut.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")}\u2069`;
}

function decodeFloats(text) {
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}
