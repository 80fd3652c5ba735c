// Two texts word by word, as headscope.report.page_texts.difference: the longest matching block, then the same on its
// left and on its right (difflib's SequenceMatcher).
const WORDS = /\s+|[\p{L}\p{N}]+|[\s\S]/gu;

function longestMatch(first, places, low, high, from, to) {
  let best = [low, from, 0];
  let lengths = new Map();
  for (let i = low; i < high; i++) {
    const next = new Map();
    for (const j of places.get(first[i]) ?? []) {
      if (j < from) continue;
      if (j >= to) break;
      const length = (lengths.get(j - 1) ?? 0) + 1;
      next.set(j, length);
      if (length > best[2]) best = [i - length + 1, j - length + 1, length];
    }
    lengths = next;
  }
  return best;
}

// Blocks both have, in order: [start in first, start in second, length].
function matchingBlocks(first, second) {
  const places = new Map();
  second.forEach((word, j) => places.set(word, [...(places.get(word) ?? []), j]));
  const found = [];
  const open = [[0, first.length, 0, second.length]];
  while (open.length) {
    const [low, high, from, to] = open.pop();
    const [i, j, length] = longestMatch(first, places, low, high, from, to);
    if (!length) continue;
    found.push([i, j, length]);
    open.push([low, i, from, j], [i + length, high, j + length, to]);
  }
  return found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
}

// Pieces in order: ["=", text], ["-", only before], ["+", only after]. White space between two differences is part of
// them.
function difference(before, after) {
  const first = before.match(WORDS) ?? [];
  const second = after.match(WORDS) ?? [];
  const blocks = matchingBlocks(first, second);
  const pieces = [];
  let [removed, added, i, j] = ["", "", 0, 0];
  const flush = () => {
    if (removed) pieces.push(["-", removed]);
    if (added) pieces.push(["+", added]);
    [removed, added] = ["", ""];
  };
  for (const [a, b, length] of blocks) {
    removed += first.slice(i, a).join("");
    added += second.slice(j, b).join("");
    const same = first.slice(a, a + length).join("");
    const inner = (a > 0 || b > 0) && (a + length < first.length || b + length < second.length);
    if (same.trim() || !inner) {
      flush();
      pieces.push(["=", same]);
    } else {
      removed += same;
      added += same;
    }
    [i, j] = [a + length, b + length];
  }
  removed += first.slice(i).join("");
  added += second.slice(j).join("");
  flush();
  return pieces;
}
