/** How large V8's heap may become beyond what is in it. */
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from "node:v8";

const MIB = 1024 * 1024;
/**
 * Up to here memory comes before the time of collections: below it a whole one takes some ten milliseconds, most of them
 * beside the program. Above it V8 decides as it likes.
 */
const SMALL_BYTES = 96 * MIB;
/** How much may be added to what a whole collection left, in percent, until the next one; V8 lets it become two to four times. */
const GROWING_PERCENT = 40;
/** The same in a burst: a collection that is under way takes as much time of other cores as the burst itself. */
const BURST_GROWING_PERCENT = 100;
/** Two halves, of which one is in use; V8 would take twice as much as soon as a program is loaded. */
const YOUNG_BYTES = 16 * MIB;
const LOOK_MS = 500;
/** How long a burst goes on after it was last said, in milliseconds. */
export const BURST_MS = 2_000;

/** Flags by which whoever starts the program has said it otherwise. */
const OWN_WORDS = /--(?:(?:max|min)[-_]semi[-_]space|semi[-_]space|heap[-_]growing)/;

let burstUntilMs = Number.NEGATIVE_INFINITY;
/** Does nothing until `keepHeapSmall` was called. */
let look: () => void = () => undefined;

/** Keeps a small heap small, and leaves a large one to V8. It goes on for the life of the process, and never holds it up. */
export function keepHeapSmall(): void {
  if (OWN_WORDS.test([...process.execArgv, process.env["NODE_OPTIONS"]].join(" "))) return;
  let said = "";
  look = () => {
    const isSmall = getHeapStatistics().used_heap_size < SMALL_BYTES;
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0;
    // It shrinks by itself while little happens, and must be able to grow again.
    const isBurst = performance.now() < burstUntilMs;
    const growing = isBurst ? BURST_GROWING_PERCENT : GROWING_PERCENT;
    const isYoungKept = isSmall && !isBurst && young >= YOUNG_BYTES;
    const flags = `--heap-growing-percent=${isSmall ? growing : 0} --semi-space-growth-factor=${isYoungKept ? 1 : 2}`;
    if (flags === said) return;
    said = flags;
    for (const flag of flags.split(" ")) setFlagsFromString(flag);
  };
  look();
  setInterval(look, LOOK_MS).unref();
}

/**
 * Says that much is to be done at once: the heap may double and young space with it for some seconds, since collections of
 * young space alone take a seventh of the time of such a burst. Saying it again costs nothing. V8 gives the space back when
 * little happens.
 */
export function spendHeap(): void {
  const nowMs = performance.now();
  const isNew = nowMs >= burstUntilMs;
  burstUntilMs = nowMs + BURST_MS;
  if (isNew) look();
}
