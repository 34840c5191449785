import { expect, it } from "vitest";
import { type Turn, Turns } from "./turns.ts";

const immediates = async (count: number) => {
  for (let at = 0; at < count; at++) await new Promise((resolve) => setImmediate(resolve));
};

/** Begins items of a millisecond each until its share is used up. */
function endless(clock: { nowMs: number }) {
  const counted = { items: 0 };
  const turn: Turn = (share) => {
    while (share.items > 0 && clock.nowMs < share.endMs) {
      share.items--;
      counted.items++;
      clock.nowMs++;
    }
    return true;
  };
  return { counted, turn };
}

it("lets background queues take turns in one common time, so that each of them comes", async () => {
  let nowMs = 0;
  const turns = new Turns(() => nowMs);
  const served: string[] = [];
  for (const name of ["a", "b", "c"])
    turns.ask(({ endMs }) => {
      served.push(name);
      nowMs = endMs;
      return served.length < 9;
    }, "background");
  await immediates(20);
  expect(served.slice(0, 9)).toEqual(["a", "b", "c", "a", "b", "c", "a", "b", "c"]);
});

it("carries out normal work first, keeps a small share for background work, and a larger one when it lasts", async () => {
  const clock = { nowMs: 0 };
  const turns = new Turns(() => clock.nowMs);
  let normal = 0;
  const { counted, turn } = endless(clock);
  turns.ask((share) => {
    normal++;
    clock.nowMs = share.endMs;
    return normal < 1_000;
  }, "normal");
  turns.ask(turn, "background");
  await immediates(500);
  expect(normal).toBe(500);
  expect(counted.items).toBeGreaterThan(200);
  expect(counted.items).toBeLessThan(500);
  await immediates(600);
  expect(normal).toBe(1_000);
  expect(counted.items).toBeGreaterThan(800);
});

it("begins background work one by one while normal work waits, and at leisure when there is none", async () => {
  const clock = { nowMs: 0 };
  const turns = new Turns(() => clock.nowMs);
  const { counted, turn } = endless(clock);
  turns.began();
  turns.ask(turn, "background");
  await immediates(10);
  expect(counted.items).toBeGreaterThanOrEqual(9);
  expect(counted.items).toBeLessThanOrEqual(10);
  turns.ended();
  await immediates(10);
  expect(counted.items).toBeGreaterThan(40);
});
