import { join } from "node:path";

/** One figure of a benchmark. The ratio counts; absolute values belong to the machine. */
export interface Row {
  readonly name: string;
  readonly measure: string;
  readonly value: number;
  readonly unit: string;
  /** What the figure stands beside: measured in the same run, or a goal. */
  readonly reference?: string;
  readonly ratio?: number;
  /** What `--json` has for a plot: a moment a row, seconds first. */
  readonly curve?: readonly (readonly number[])[];
}

/** A benchmark: works in a folder of its own and ends what it starts. */
export type Bench = (place: { readonly scratch: string; readonly words: readonly string[] }) => Promise<Row[]>;

export const perSecond = (count: number, startedMs: number): number => count / ((performance.now() - startedMs) / 1000);

/** Writes 0…count-1 by several writers at once; gives writes per second. */
export async function manyWriters(
  write: (number: number) => Promise<unknown>,
  count: number,
  writers = 32,
): Promise<number> {
  let next = 0;
  const startedMs = performance.now();
  await Promise.all(
    Array.from({ length: writers }, async () => {
      while (next < count) await write(next++);
    }),
  );
  return perSecond(count, startedMs);
}

/** A benchmark of one run for each size that is named; `small` where none is. Throws when there is no such size. */
export function bySize<Size>(
  sizes: Readonly<Record<string, Size>>,
  run: (word: string, size: Size, folder: string) => Promise<Row[]>,
): Bench {
  return async ({ scratch, words }) => {
    const rows: Row[] = [];
    for (const word of words.length === 0 ? ["small"] : words) {
      const size = sizes[word];
      if (size === undefined) throw new Error(`no such size: ${word}; there are ${Object.keys(sizes).join(", ")}`);
      rows.push(...(await run(word, size, join(scratch, word))));
    }
    return rows;
  };
}

/** The value below which a share of all lies; 0 of none. */
export const percentile = (values: readonly number[], share: number) =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;
