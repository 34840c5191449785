import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createMetrics } from "./metrics.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

const linesOf = async (text: () => Promise<string>, name: string) =>
  (await text()).split("\n").filter((line) => line.startsWith(name));

test("whoever reads sees all that was measured before", async () => {
  const { metrics, text } = createMetrics();
  const counter = metrics.counter("writes_total", "Writes", ["verb"]);
  const histogram = metrics.histogram("write_seconds", "Time of writes", ["verb"], [1]);
  for (let at = 0; at < 40_000; at++) {
    counter.add(1, { verb: at % 2 === 0 ? "create" : "update" });
    histogram.observe(at % 4, { verb: "create" });
  }
  expect(await linesOf(text, "writes_total")).toEqual([
    'writes_total{verb="create"} 20000',
    'writes_total{verb="update"} 20000',
  ]);
  expect(await linesOf(text, "write_seconds")).toEqual([
    'write_seconds_bucket{le="1",verb="create"} 20000',
    'write_seconds_bucket{le="+Inf",verb="create"} 40000',
    'write_seconds_sum{verb="create"} 60000',
    'write_seconds_count{verb="create"} 40000',
  ]);
});

test("what is counted only when somebody reads is in what he reads", async () => {
  const { metrics, text } = createMetrics();
  const counter = metrics.counter("events_total", "Events");
  metrics.onRead(() => counter.add(2));
  expect(await linesOf(text, "events_total")).toEqual(["events_total 2"]);
  expect(await linesOf(text, "events_total")).toEqual(["events_total 4"]);
});

test("what nobody reads is taken once little is measured, so that it does not wait for who reads", async () => {
  const { metrics, text } = createMetrics();
  const counter = metrics.counter("writes_total", "Writes");
  for (let at = 0; at < 2_000; at++) counter.add(1);
  vi.advanceTimersByTime(1_000);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(2_000);
  expect(vi.getTimerCount()).toBe(0);
  expect(await linesOf(text, "writes_total")).toEqual(["writes_total 2000"]);
});

test("a label that is not there and a number that is none are refused where they are measured", () => {
  const { metrics } = createMetrics();
  const counter = metrics.counter("writes_total", "Writes", ["verb"]);
  expect(() => counter.add(1, { word: "create" })).toThrowError(/word/);
  const histogram = metrics.histogram("write_seconds", "Time of writes");
  histogram.observe(1);
  expect(() => histogram.observe(Number.NaN)).toThrowError("a measurement must be a finite number, not NaN");
});
