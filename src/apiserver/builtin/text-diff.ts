/** A unified difference of two texts: hunks with three lines around what changed. */

const CONTEXT = 3;

type Edit = readonly [kind: " " | "-" | "+", line: string];

/** A part that two texts have in common: `size` lines from `left` in one and from `right` in the other. */
interface Block {
  readonly left: number;
  readonly right: number;
  readonly size: number;
}

/** From so many lines on, a line that is everywhere is no place to begin a match. */
const MANY_LINES = 200;

/**
 * The edits that lead from one list of lines to another, found as difflib finds them: the longest common block first,
 * then what stands before and after it. Kubernetes' messages show its choice among edits of equal length.
 */
function editsOf(before: readonly string[], after: readonly string[]): readonly Edit[] {
  const places = placesOf(after);
  const blocks: Block[] = [];
  const queue: [number, number, number, number][] = [[0, before.length, 0, after.length]];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const [from, until, start, end] = next;
    const block = longestBlock(before, after, places, next);
    if (block.size === 0) continue;
    blocks.push(block);
    queue.push([from, block.left, start, block.right]);
    queue.push([block.left + block.size, until, block.right + block.size, end]);
  }
  blocks.sort((one, other) => one.left - other.left);
  const edits: Edit[] = [];
  let [i, j] = [0, 0];
  for (const { left, right, size } of [...blocks, { left: before.length, right: after.length, size: 0 }]) {
    for (; i < left; i++) edits.push(["-", before[i] as string]);
    for (; j < right; j++) edits.push(["+", after[j] as string]);
    for (; i < left + size; i++, j++) edits.push([" ", before[i] as string]);
  }
  return edits;
}

/** Where each line stands; lines that are nearly everywhere are left out. */
function placesOf(lines: readonly string[]): ReadonlyMap<string, readonly number[]> {
  const places = new Map<string, number[]>();
  for (const [at, line] of lines.entries()) {
    const known = places.get(line);
    if (known === undefined) places.set(line, [at]);
    else known.push(at);
  }
  if (lines.length >= MANY_LINES) {
    const most = Math.floor(lines.length / 100) + 1;
    for (const [line, found] of places) if (found.length > most) places.delete(line);
  }
  return places;
}

function longestBlock(
  before: readonly string[],
  after: readonly string[],
  places: ReadonlyMap<string, readonly number[]>,
  [from, until, start, end]: readonly [number, number, number, number],
): Block {
  let [left, right, size] = [from, start, 0];
  let lengths = new Map<number, number>();
  for (let i = from; i < until; i++) {
    const next = new Map<number, number>();
    for (const j of places.get(before[i] as string) ?? []) {
      if (j < start) continue;
      if (j >= end) break;
      const length = (lengths.get(j - 1) ?? 0) + 1;
      next.set(j, length);
      if (length > size) [left, right, size] = [i - length + 1, j - length + 1, length];
    }
    lengths = next;
  }
  while (left > from && right > start && before[left - 1] === after[right - 1])
    [left, right, size] = [left - 1, right - 1, size + 1];
  while (left + size < until && right + size < end && before[left + size] === after[right + size]) size++;
  return { left, right, size };
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
