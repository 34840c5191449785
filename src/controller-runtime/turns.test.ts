import { afterEach, describe, expect, it, vi } from "vitest";
import { PATIENT, type Turn, Turns } from "./turns.ts";

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
  const turns = new Turns(undefined, () => nowMs);
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
  const turns = new Turns(undefined, () => clock.nowMs);
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
  const turns = new Turns(undefined, () => clock.nowMs);
  const { counted, turn } = endless(clock);
  turns.began("normal");
  turns.ask(turn, "background");
  await immediates(10);
  expect(counted.items).toBeGreaterThanOrEqual(9);
  expect(counted.items).toBeLessThanOrEqual(10);
  turns.ended("normal");
  await immediates(10);
  expect(counted.items).toBeGreaterThan(40);
});

describe("patient turns", () => {
  afterEach(() => vi.useRealTimers());

  /** Patient turns at a clock that moves when it is told to. */
  function patiently() {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const clock = { nowMs: 0, looks: 0 };
    const turns = new Turns(PATIENT, () => {
      clock.looks++;
      return clock.nowMs;
    });
    const later = async (deltaMs: number) => {
      clock.nowMs += deltaMs;
      vi.advanceTimersByTime(deltaMs);
      await immediates(3);
    };
    /** Normal work that is never still, and never done: so many items every ten milliseconds. */
    const busy = async (durationMs: number, items = 1) => {
      for (const endMs = clock.nowMs + durationMs; clock.nowMs < endMs; ) {
        for (let at = 0; at < items; at++) {
          turns.began("normal");
          turns.ended("normal");
        }
        await later(10);
      }
    };
    const asked = (urgency: "last" | "background") => {
      const { counted, turn } = endless(clock);
      turns.ask(turn, urgency);
      return counted;
    };
    return { clock, turns, later, busy, asked };
  }

  /** Last work that is there once, and that goes on where it says so. */
  function once(turns: Turns, isLong = false) {
    const served = { count: 0 };
    turns.ask(() => {
      served.count++;
      if (isLong) turns.began("last");
      return false;
    }, "last");
    return served;
  }

  it("do last work at once where there is no other, or where that has ended", async () => {
    const { turns } = patiently();
    const alone = once(turns);
    await immediates(2);
    expect(alone.count).toBe(1);
    turns.began("normal");
    const waiting = once(turns);
    await immediates(5);
    expect(waiting.count).toBe(0);
    turns.ended("normal");
    await immediates(2);
    expect(waiting.count).toBe(1);
  });

  it("do last work while normal work only waits", async () => {
    const { turns, later } = patiently();
    turns.began("normal");
    const waiting = once(turns);
    await immediates(2);
    await later(10);
    expect(waiting.count).toBe(0);
    await later(10);
    expect(waiting.count).toBe(1);
  });

  it("let last work wait for a burst, for a second and a half at most, and then go on until it is done", async () => {
    const { turns, busy } = patiently();
    turns.began("normal");
    const first = once(turns, true);
    await busy(1_480);
    expect(first.count).toBe(0);
    await busy(40);
    expect(first.count).toBe(1);
    const second = once(turns);
    await busy(10);
    expect(second.count).toBe(1);
    turns.ended("last");
    await busy(20);
    const third = once(turns);
    await busy(1_480);
    expect(third.count).toBe(0);
    await busy(40);
    expect(third.count).toBe(1);
  });

  it("let last work wait for eight seconds where the burst is dense, and for no longer than it is", async () => {
    const { turns, busy } = patiently();
    turns.began("normal");
    const dense = once(turns);
    await busy(7_980, 10);
    expect(dense.count).toBe(0);
    await busy(40, 10);
    expect(dense.count).toBe(1);
    const thinning = once(turns);
    await busy(1_000, 10);
    await busy(3_400, 1);
    expect(thinning.count).toBe(0);
    await busy(200, 1);
    expect(thinning.count).toBe(1);
  });

  it("tell of a burst once last work has waited for some thirty items, and not before", async () => {
    const clock = { nowMs: 0 };
    let told = 0;
    const turns = new Turns(
      PATIENT,
      () => clock.nowMs,
      () => void told++,
    );
    turns.ask(() => false, "last");
    let done = 0;
    const normal: Turn = () => {
      clock.nowMs++;
      turns.began("normal");
      turns.ended("normal");
      return ++done < 100;
    };
    turns.ask(normal, "normal");
    await immediates(20);
    expect(told).toBe(0);
    await immediates(100);
    expect(told).toBeGreaterThan(1);
  });

  it("leave background work nothing of a short burst, then a small share, which grows when it lasts", async () => {
    const { turns, busy, asked } = patiently();
    turns.began("normal");
    const background = asked("background");
    await busy(1_900);
    expect(background.items).toBe(0);
    await busy(3_000);
    expect(background.items).toBeGreaterThanOrEqual(24);
    const soon = background.items;
    expect(soon).toBeLessThanOrEqual(160);
    await busy(4_000);
    expect(background.items - soon).toBeGreaterThan(250);
  });

  it("hold background work back while last work moves", async () => {
    const { turns, later, asked } = patiently();
    turns.began("last");
    const background = asked("background");
    await immediates(20);
    expect(background.items).toBeLessThanOrEqual(8);
    const before = background.items;
    for (let at = 0; at < 9; at++) await later(10);
    expect(background.items).toBe(before);
    await later(10);
    expect(background.items).toBeGreaterThan(before);
  });

  it("do not take time in which the thread had no core for time in which nothing moved", async () => {
    const { turns, later, asked } = patiently();
    turns.began("last");
    const background = asked("background");
    await immediates(20);
    const before = background.items;
    await later(100);
    for (let at = 0; at < 8; at++) await later(10);
    expect(background.items).toBe(before);
    for (let at = 0; at < 2; at++) await later(10);
    expect(background.items).toBeGreaterThan(before);
  });

  it("sleep while all that waits is held back", async () => {
    const { clock, turns } = patiently();
    turns.began("normal");
    once(turns);
    await immediates(5);
    const { looks } = clock;
    await immediates(100);
    expect(clock.looks).toBe(looks);
  });
});
