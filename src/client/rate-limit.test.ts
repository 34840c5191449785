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

  it("is left out where no rate is given", () => {
    expect(withRateLimit(silent, { clock: new VirtualClock(0, settle), qps: 0, burst: 1 })).toBe(silent);
  });
});
