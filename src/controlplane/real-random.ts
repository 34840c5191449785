import { randomBytes, randomUUID } from "node:crypto";
import type { Random } from "#base";

/** Chance from the operating system, for real runs. */
export function realRandom(): Random {
  const next = () => randomBytes(4).readUInt32LE(0) / 4294967296;
  return { next, below: (limit) => Math.floor(next() * limit), uuid: () => randomUUID() };
}
