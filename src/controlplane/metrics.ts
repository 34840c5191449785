import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Metrics } from "#base";
import { BUILD, VERSION } from "#config";

/** Metrics in Prometheus' format, and their text. */
export function createMetrics(): { readonly metrics: Metrics; readonly text: () => Promise<string> } {
  const registry = new Registry();
  // The lag of the event loop is sampled by a timer: ten times a second is enough.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  new Gauge({
    name: "karmada_build_info",
    help: "What this program was built from; always 1",
    labelNames: [
      "git_version",
      "git_commit",
      "git_short_commit",
      "git_tree_state",
      "build_date",
      "go_version",
      "compiler",
      "platform",
    ],
    registers: [registry],
  }).set(
    {
      git_version: VERSION,
      git_commit: BUILD.commit,
      git_short_commit: BUILD.commit === "unknown" ? BUILD.commit : BUILD.commit.slice(0, 9),
      git_tree_state: BUILD.treeState,
      build_date: BUILD.date,
      go_version: "none",
      compiler: `node ${process.version}`,
      platform: `${process.platform}/${process.arch}`,
    },
    1,
  );
  const made = new Map<string, unknown>();
  const once = <T>(name: string, make: () => T): T => {
    let found = made.get(name) as T | undefined;
    if (found === undefined) {
      found = make();
      made.set(name, found);
    }
    return found;
  };
  const updates: (() => void)[] = [];
  return {
    text: () => {
      for (const update of updates) update();
      return registry.metrics();
    },
    metrics: {
      onRead: (update) => void updates.push(update),
      counter: (name, help, labelNames = []) =>
        once(name, () => {
          const counter = new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });
          return { add: (amount, labels = {}) => counter.inc(labels, amount) };
        }),
      gauge: (name, help, labelNames = []) =>
        once(name, () => {
          const gauge = new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
          return { set: (value, labels = {}) => gauge.set(labels, value), remove: (labels) => gauge.remove(labels) };
        }),
      histogram: (name, help, labelNames = [], buckets) =>
        once(name, () => {
          const histogram = new Histogram({
            name,
            help,
            labelNames: [...labelNames],
            registers: [registry],
            ...(buckets === undefined ? {} : { buckets: [...buckets] }),
          });
          return { observe: (value, labels = {}) => histogram.observe(labels, value) };
        }),
    },
  };
}
