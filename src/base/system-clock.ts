import type { Clock } from "./clock.ts";

declare const setTimeout: (wake: () => void, delayMs: number) => { unref?: () => void };
declare const performance: { now(): number };
declare const clearTimeout: (handle: { unref?: () => void }) => void;

/** Node clamps longer delays to one millisecond, so a longer wait is made of several. */
const DELAY_MAX_MS = 2 ** 31 - 1;

/** The machine's own clock. Only composition roots hand it out. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, wake) {
    const dueMs = performance.now() + delayMs;
    let handle: { unref?: () => void };
    const arm = () => {
      const leftMs = dueMs - performance.now();
      handle = setTimeout(leftMs > DELAY_MAX_MS ? arm : wake, Math.max(0, Math.min(leftMs, DELAY_MAX_MS)));
      handle.unref?.();
    };
    arm();
    return { cancel: () => clearTimeout(handle) };
  },
};
