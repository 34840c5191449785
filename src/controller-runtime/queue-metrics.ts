import { exponentialBuckets, type Metrics } from "#base";
import type { QueueMeasure } from "./work-queue.ts";

/** 10 ns to 1 000 s, tenfold, as controller-runtime has them. */
const BUCKETS = exponentialBuckets(1e-8, 10, 12);

/** Measurements of work queues by the names client-go and controller-runtime give them (wire). */
export function queueMetrics(metrics: Metrics): (name: string) => QueueMeasure {
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
  return (name) => {
    const of = { controller: name, name };
    // Counted here and told when somebody reads: they change several times for every item.
    let added = 0;
    let waiting = 0;
    metrics.onRead(() => {
      adds.add(added, of);
      added = 0;
      depth.set(waiting, of);
    });
    return {
      added: () => void added++,
      retried: () => retries.add(1, of),
      depth: (count) => void (waiting = count),
      waited: (durationMs) => waited.observe(durationMs / 1000, of),
      worked: (durationMs) => worked.observe(durationMs / 1000, of),
      running: (startsMs) =>
        metrics.onRead(() => {
          const ages = [...startsMs()].map((startMs) => (performance.now() - startMs) / 1000);
          unfinished.set(
            ages.reduce((sum, age) => sum + age, 0),
            of,
          );
          longest.set(Math.max(0, ...ages), of);
        }),
    };
  };
}
