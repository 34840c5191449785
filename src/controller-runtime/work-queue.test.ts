import { describe, expect, it, vi } from "vitest";
import { type MetricLabels, type Metrics, VirtualClock } from "#base";
import { queueMetrics } from "./queue-metrics.ts";
import { Turns } from "./turns.ts";
import { WorkQueue } from "./work-queue.ts";

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const clock = new VirtualClock(0, settle);

describe("a work queue", () => {
  it("takes higher priorities first; a lower one replaces a waiting key's only where it is meant exactly", async () => {
    const taken: string[] = [];
    const queue = new WorkQueue<string>({ clock }, async (key) => void taken.push(key));
    queue.add("a", { priority: 5 });
    queue.add("b", { priority: 3 });
    queue.add("c", { priority: 5 });
    queue.add("a", { priority: 1 });
    queue.add("c", { priority: 1, isPriorityExact: true });
    queue.start();
    await queue.whenIdle();
    expect(taken).toEqual(["a", "b", "c"]);
  });

  it("asks for no turn when it starts with nothing to do", async () => {
    const turns = new Turns();
    const ask = vi.spyOn(turns, "ask");
    const queue = new WorkQueue<string>({ clock, turns }, async () => undefined);
    queue.start();
    expect(ask).not.toHaveBeenCalled();
    queue.add("a");
    expect(ask).toHaveBeenCalledOnce();
    await queue.whenIdle();
  });

  it("comes back with the newest exact priority to a key that was added while it ran", async () => {
    const taken: string[] = [];
    const queue = new WorkQueue<string>({ clock }, async (key) => {
      taken.push(key);
      if (taken.length > 1) return;
      queue.add("a", { priority: 9 });
      queue.add("a", { priority: 1, isPriorityExact: true });
      queue.add("b", { priority: 5 });
    });
    queue.add("a");
    queue.start();
    await queue.whenIdle();
    expect(taken).toEqual(["a", "b", "a"]);
  });

  it("lets failures of all objects together come back at a rate, where there is one", async () => {
    const own = new VirtualClock(0, settle);
    const tries = new Map<string, number[]>();
    const queue = new WorkQueue<string>(
      { clock: own, concurrency: 10, backoff: () => 5, retryRate: { perSecond: 10, burst: 2 } },
      async (key) => {
        const mine = tries.get(key) ?? [];
        tries.set(key, [...mine, own.now()]);
        if (mine.length === 0) queue.addFailed(key);
      },
    );
    for (const key of ["a", "b", "c", "d"]) queue.add(key);
    queue.start();
    await own.advance(1_000);
    // Two at once wait for themselves alone, the others for their turn in the bucket.
    expect([...tries.values()].map(([first, second]) => (second ?? 0) - (first ?? 0))).toEqual([5, 5, 100, 200]);
  });

  it("is measured by client-go's names", async () => {
    const seen = new Map<string, number>();
    const note = (name: string) => (amount: number, labels?: MetricLabels) =>
      seen.set(`${name}{${labels?.["controller"]},${labels?.["name"]}}`, amount);
    const updates: (() => void)[] = [];
    const read = () => {
      for (const update of updates) update();
    };
    const metrics: Metrics = {
      counter: (name) => ({ add: note(name) }),
      gauge: (name) => ({ set: note(name), remove: () => undefined }),
      histogram: (name) => ({ observe: note(name) }),
      onRead: (update) => void updates.push(update),
    };
    let failures = 0;
    let running: unknown;
    const queue = new WorkQueue<string>(
      { clock, measure: queueMetrics(metrics)(["mine"], () => "mine") },
      async (key) => {
        if (failures++ === 0) queue.addFailed(key);
        read();
        running = [...seen].filter(([name]) => name.includes("_seconds{") && !name.includes("duration"));
      },
    );
    queue.add("a");
    // Waiting elsewhere is not being added once more.
    queue.add("a", { priority: 5 });
    queue.start();
    await queue.whenIdle();
    await clock.advance(10);
    await queue.whenIdle();
    expect([...seen.keys()].sort()).toEqual(
      [
        "workqueue_adds_total",
        "workqueue_depth",
        "workqueue_longest_running_processor_seconds",
        "workqueue_queue_duration_seconds",
        "workqueue_retries_total",
        "workqueue_unfinished_work_seconds",
        "workqueue_work_duration_seconds",
      ].map((name) => `${name}{mine,mine}`),
    );
    expect(seen.get("workqueue_depth{mine,mine}")).toBe(0);
    // While it ran there was something to see, and now there is not.
    expect((running as readonly (readonly [string, number])[]).every(([, seconds]) => seconds > 0)).toBe(true);
    read();
    expect(seen.get("workqueue_unfinished_work_seconds{mine,mine}")).toBe(0);
    expect(seen.get("workqueue_longest_running_processor_seconds{mine,mine}")).toBe(0);
  });
});
