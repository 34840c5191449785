import { randomFillSync, randomUUID } from "node:crypto";
import type { Random } from "#base";

/** Numbers fetched at a time: asking the operating system for each costs more than most of what they are for. */
const FETCHED = 1_024;

/** Chance from the operating system, for real runs. */
export function realRandom(): Random {
  const fetched = new Uint32Array(FETCHED);
  let left = 0;
  const next = () => {
    if (left === 0) {
      randomFillSync(fetched);
      left = FETCHED;
    }
    return (fetched[--left] as number) / 4294967296;
  };
  return { next, below: (limit) => Math.floor(next() * limit), uuid: () => randomUUID() };
}
