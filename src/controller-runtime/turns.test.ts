import { expect, it } from "vitest";
import { Turns } from "./turns.ts";

const immediates = async (count: number) => {
  for (let at = 0; at < count; at++) await new Promise((resolve) => setImmediate(resolve));
};

it("lets background queues take turns in one common time, so that each of them comes", async () => {
  let nowMs = 0;
  const turns = new Turns(() => nowMs);
  const served: string[] = [];
  for (const name of ["a", "b", "c"])
    turns.ask((endMs) => {
      served.push(name);
      nowMs = endMs;
      return served.length < 9;
    }, "background");
  await immediates(20);
  expect(served.slice(0, 9)).toEqual(["a", "b", "c", "a", "b", "c", "a", "b", "c"]);
});

it("carries out normal work first, and keeps a small share for background work", async () => {
  let nowMs = 0;
  const turns = new Turns(() => nowMs);
  const served = { normal: 0, background: 0 };
  turns.ask((endMs) => {
    served.normal++;
    nowMs = endMs;
    return served.normal < 100;
  }, "normal");
  turns.ask((endMs) => {
    served.background++;
    nowMs = endMs;
    return true;
  }, "background");
  await immediates(80);
  expect(served.normal).toBe(80);
  expect(served.background).toBeGreaterThan(5);
  expect(served.background).toBeLessThan(20);
  await immediates(60);
  expect(served.normal).toBe(100);
  expect(served.background).toBeGreaterThan(40);
});
