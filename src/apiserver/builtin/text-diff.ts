/** A unified difference of two texts: hunks with three lines around what changed. */

const CONTEXT = 3;

type Edit = readonly [kind: " " | "-" | "+", line: string];

/** The edits that lead from one list of lines to another, by their longest common part. */
function editsOf(before: readonly string[], after: readonly string[]): readonly Edit[] {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head++;
  let tail = 0;
  while (
    tail < before.length - head &&
    tail < after.length - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  )
    tail++;
  const left = before.slice(head, before.length - tail);
  const right = after.slice(head, after.length - tail);
  const width = right.length + 1;
  // lengths[i * width + j]: the common part of left from i and right from j.
  const lengths = new Uint16Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i--)
    for (let j = right.length - 1; j >= 0; j--)
      lengths[i * width + j] =
        left[i] === right[j]
          ? (lengths[(i + 1) * width + j + 1] as number) + 1
          : Math.max(lengths[(i + 1) * width + j] as number, lengths[i * width + j + 1] as number);
  const edits: Edit[] = before.slice(0, head).map((line) => [" ", line]);
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (i < left.length && j < right.length && left[i] === right[j]) {
      edits.push([" ", left[i] as string]);
      i++;
      j++;
    } else if (
      i < left.length &&
      (j >= right.length || (lengths[(i + 1) * width + j] as number) >= (lengths[i * width + j + 1] as number))
    )
      edits.push(["-", left[i++] as string]);
    else edits.push(["+", right[j++] as string]);
  }
  return [...edits, ...before.slice(before.length - tail).map((line): Edit => [" ", line])];
}

const LINES_MAX = 4000;

/** Empty when nothing differs; texts of too many lines are not compared. */
export function unifiedDiff(before: string, after: string): string {
  const [left, right] = [before.split("\n"), after.split("\n")];
  if (left.length + right.length > LINES_MAX) return "";
  const edits = editsOf(left, right);
  const changed = edits.flatMap(([kind], at) => (kind === " " ? [] : [at]));
  const hunks: [number, number][] = [];
  for (const at of changed) {
    const last = hunks.at(-1);
    const [from, until] = [Math.max(0, at - CONTEXT), Math.min(edits.length, at + CONTEXT + 1)];
    if (last !== undefined && from <= last[1]) last[1] = until;
    else hunks.push([from, until]);
  }
  let text = "";
  for (const [from, until] of hunks) {
    const count = (kinds: string, start: number, end: number) =>
      edits.slice(start, end).filter(([kind]) => kinds.includes(kind)).length;
    const range = (kinds: string) => {
      const size = count(kinds, from, until);
      const start = count(kinds, 0, from) + (size === 0 ? 0 : 1);
      return size === 1 ? String(start) : `${start},${size}`;
    };
    text += `@@ -${range(" -")} +${range(" +")} @@\n`;
    for (const [kind, line] of edits.slice(from, until)) text += `${kind}${line}\n`;
  }
  return text;
}
