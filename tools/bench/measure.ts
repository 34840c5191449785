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
