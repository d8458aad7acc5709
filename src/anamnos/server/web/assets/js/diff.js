// What changed between two texts, by words.

const WORDS = /\s+|[\p{L}\p{N}_'’]+|[^\s]/gu;
const MOST = 4_000_000; // cells of the table; larger texts are compared as a whole

/** Return [{kind: "same" | "gone" | "new", text}] that leads from `before` to `after`: a longest common subsequence. */
export function wordDiff(before, after) {
  const a = before.match(WORDS) ?? [];
  const b = after.match(WORDS) ?? [];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const left = a.slice(start, a.length - end);
  const right = b.slice(start, b.length - end);
  const runs = [];
  const put = (kind, text) => {
    if (!text) return;
    if (runs.at(-1)?.kind === kind) runs.at(-1).text += text;
    else runs.push({ kind, text });
  };
  put("same", a.slice(0, start).join(""));
  if (left.length * right.length > MOST) {
    put("gone", left.join(""));
    put("new", right.join(""));
  } else {
    walk(left, right, put);
  }
  put("same", end ? a.slice(-end).join("") : "");
  return runs;
}

function walk(a, b, put) {
  const width = b.length + 1;
  const common = new Uint32Array((a.length + 1) * width); // of what is left from (i, j) on
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const here = i * width + j;
      common[here] = a[i] === b[j] ? common[here + width + 1] + 1 : Math.max(common[here + width], common[here + 1]);
    }
  }
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const here = i * width + j;
    if (i < a.length && j < b.length && a[i] === b[j]) put("same", a[i++], j++);
    else if (j === b.length || (i < a.length && common[here + width] >= common[here + 1])) put("gone", a[i++]);
    else put("new", b[j++]);
  }
}
