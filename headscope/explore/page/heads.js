// Sets of heads in the one grammar of headscope.heads, read and written: "1:10", "L1H10", "3:0-5", "7:*", "*".
function headsIn(layer) {
  return facts.model.heads_per_layer[layer] ?? 0;
}

function everyHead() {
  return facts.model.heads_per_layer.flatMap((n, layer) => Array.from({length: n}, (_, head) => [layer, head]));
}

// The heads a spec names, sorted, each once; null where it names none of this model.
function parseHeads(spec) {
  const text = spec.replace(/\s+/g, "");
  if (text === "*") return everyHead();
  const found = new Map();
  for (const item of text.split(",")) {
    const match = /^(?:L(\d+)H(\d+)|(\d+):(\*|\d+(?:-\d+)?))$/i.exec(item);
    if (!match) return null;
    const layer = Number(match[1] ?? match[3]);
    const [low, high] = match[4] === "*" ? [0, headsIn(layer) - 1] : boundsOf(match[2] ?? match[4]);
    if (low > high || !isHead([layer, low]) || !isHead([layer, high])) return null;
    for (let head = low; head <= high; head++) found.set(`${layer}:${head}`, [layer, head]);
  }
  return sortedHeads([...found.values()]);
}

function boundsOf(range) {
  const ends = range.split("-").map(Number);
  return [ends[0], ends.at(-1)];
}

function sortedHeads(heads) {
  return [...heads].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
}

// The shortest spec: whole layers as "7:*", three and more neighbours as "3:0-5".
function specOf(heads) {
  if (heads.length === everyHead().length && heads.length > 1) return "*";
  const byLayer = Map.groupBy(sortedHeads(heads), ([layer]) => layer);
  const items = [];
  for (const [layer, pairs] of byLayer) {
    const own = pairs.map(([, head]) => head);
    if (own.length === headsIn(layer) && own.length > 1) items.push(`${layer}:*`);
    else
      for (const [low, high] of runsOf(own)) items.push(low === high ? `${layer}:${low}` : `${layer}:${low}-${high}`);
  }
  return items.join(",");
}

function runsOf(numbers) {
  const runs = [];
  for (const n of numbers) {
    if (runs.length && runs.at(-1)[1] === n - 1) runs.at(-1)[1] = n;
    else runs.push([n, n]);
  }
  return runs.flatMap(([low, high]) =>
    high - low === 1
      ? [
          [low, low],
          [high, high],
        ]
      : [[low, high]],
  );
}

// A set's name for people: up to four heads by name, else their spec.
function nameOf(heads) {
  return heads.length <= 4 ? heads.map(([layer, head]) => headName(layer, head)).join(", ") : specOf(heads);
}
