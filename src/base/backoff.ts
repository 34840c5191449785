/** How a repeated failure is spaced: `baseMs · 2^failures`, never above `maxMs`. */
export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
}

/** Milliseconds to wait before try number `failures + 1`; `failures` counts from 0. */
export type Backoff = (failures: number) => number;

/** Exponential backoff without jitter, safe for any number of failures. */
export function exponentialBackoff(options: BackoffOptions): Backoff {
  const { baseMs, maxMs } = options;
  return (failures) => (failures > 60 ? maxMs : Math.min(maxMs, baseMs * 2 ** failures));
}
