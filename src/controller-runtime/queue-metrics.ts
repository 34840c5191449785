import { assert, exponentialBuckets, type Metrics } from "#base";
import type { QueueMeasure } from "./work-queue.ts";

/** 10 ns to 1 000 s, tenfold, as controller-runtime has them. */
const BUCKETS = exponentialBuckets(1e-8, 10, 12);

/**
 * Measurements of work queues by the names client-go and controller-runtime give them (wire). A queue that upstream has as
 * several, one for each kind, is told of as these: `nameOf` says which one a key belongs to.
 */
export function queueMetrics(
  metrics: Metrics,
): (names: readonly string[], nameOf: (key: string) => string) => QueueMeasure {
  const labels = ["controller", "name"];
  const adds = metrics.counter("workqueue_adds_total", "Total number of adds handled by workqueue", labels);
  const retries = metrics.counter("workqueue_retries_total", "Total number of retries handled by workqueue", labels);
  const depth = metrics.gauge("workqueue_depth", "Current depth of workqueue", labels);
  const waited = metrics.histogram(
    "workqueue_queue_duration_seconds",
    "How long in seconds an item stays in workqueue before being requested",
    labels,
    BUCKETS,
  );
  const worked = metrics.histogram(
    "workqueue_work_duration_seconds",
    "How long in seconds processing an item from workqueue takes",
    labels,
    BUCKETS,
  );
  const unfinished = metrics.gauge(
    "workqueue_unfinished_work_seconds",
    "How many seconds of work has been done that is in progress and hasn't been observed by work_duration. Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this increases.",
    labels,
  );
  const longest = metrics.gauge(
    "workqueue_longest_running_processor_seconds",
    "How many seconds has the longest running processor for workqueue been running.",
    labels,
  );
  return (names, nameOf) => {
    // Counted here and told when somebody reads: they change several times for every item.
    const counts = new Map(names.map((name) => [name, { added: 0, waiting: 0, of: { controller: name, name } }]));
    const of = (key: string) => {
      const found = counts.get(nameOf(key));
      assert(found !== undefined, "a queue has the names its keys belong to");
      return found;
    };
    metrics.onRead(() => {
      for (const count of counts.values()) {
        adds.add(count.added, count.of);
        count.added = 0;
        depth.set(count.waiting, count.of);
      }
    });
    return {
      added(key) {
        const count = of(key);
        count.added++;
        count.waiting++;
      },
      retried: (key) => retries.add(1, of(key).of),
      waited(key, durationMs) {
        const count = of(key);
        count.waiting--;
        waited.observe(durationMs / 1000, count.of);
      },
      worked: (key, durationMs) => worked.observe(durationMs / 1000, of(key).of),
      running: (startsMs) =>
        metrics.onRead(() => {
          const nowMs = performance.now();
          const ages = new Map<string, number[]>(names.map((name) => [name, []]));
          for (const [key, startMs] of startsMs()) ages.get(nameOf(key))?.push((nowMs - startMs) / 1000);
          for (const [name, seconds] of ages) {
            unfinished.set(
              seconds.reduce((sum, age) => sum + age, 0),
              { controller: name, name },
            );
            longest.set(Math.max(0, ...seconds), { controller: name, name });
          }
        }),
    };
  };
}
