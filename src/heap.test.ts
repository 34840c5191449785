import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";

/** Grows young space to what the heap is kept at, has it kept, lets much more survive, and tells its size in MiB. */
const PROGRAM = `
import { getHeapSpaceStatistics } from "node:v8";
import { keepHeapSmall, spendHeap } from ${JSON.stringify(new URL("heap.ts", import.meta.url).href)};
const young = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size / 2 ** 20;
let kept = [];
const live = (until) => {
  for (let at = 0; at < 4_000_000 && !until(at); at++) {
    if (kept.push({ at }) === 300_000) kept = [];
  }
};
live((at) => at % 1_000 === 0 && young() >= 16);
keepHeapSmall();
if (process.env.BURST) spendHeap();
live(() => false);
console.log(young());
`;

const youngMiB = (flags: readonly string[] = [], env: Readonly<Record<string, string>> = {}) =>
  Number(
    execFileSync(process.execPath, [...flags, "--import", "tsx", "--input-type=module", "-e", PROGRAM], {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "", ...env },
    }),
  );

describe.skipIf(!process.versions.v8.startsWith("11."))("where V8 is the one this was measured with", () => {
  test("young space of a small heap stays as it is", () => expect(youngMiB()).toBeLessThanOrEqual(16));

  test("young space of a small heap grows in a burst", () => expect(youngMiB([], { BURST: "1" })).toBeGreaterThan(16));

  test("who starts the program with words of their own is left alone", () =>
    expect(youngMiB(["--max-semi-space-size=16"])).toBeGreaterThan(16));
});
