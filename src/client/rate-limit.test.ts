import { describe, expect, it } from "vitest";
import { VirtualClock } from "#base";
import type { Transport } from "#machinery";
import { withRateLimit } from "./rate-limit.ts";

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("a rate-limited transport", () => {
  const silent = { send: async () => ({}), list: async () => ({}), raw: async () => ({}) } as unknown as Transport;

  it("sends a burst at once and then by the rate, in the order asked", async () => {
    const clock = new VirtualClock(0, settle);
    const transport = withRateLimit(silent, { clock, qps: 10, burst: 3 });
    const sentMs: number[] = [];
    for (let at = 0; at < 6; at++) void transport.raw({} as never).then(() => sentMs.push(clock.now()));
    await clock.advance(1000);
    expect(sentMs).toEqual([0, 0, 0, 100, 200, 300]);
  });

  it("goes on by the rate when the clock is set back or ahead", async () => {
    const clock = new VirtualClock(0, settle);
    const transport = withRateLimit(silent, { clock, qps: 10, burst: 1 });
    let sent = 0;
    const ask = () => void transport.raw({} as never).then(() => sent++);
    ask();
    for (const jumpMs of [-3_600_000, 7_200_000]) {
      clock.jump(jumpMs);
      const before = sent;
      for (let at = 0; at < 4; at++) ask();
      await clock.advance(350);
      expect(sent - before).toBeLessThanOrEqual(4);
      await clock.advance(150);
      expect(sent - before).toBeGreaterThanOrEqual(4);
    }
  });

  it("is left out where no rate is given", () => {
    expect(withRateLimit(silent, { clock: new VirtualClock(0, settle), qps: 0, burst: 1 })).toBe(silent);
  });
});
