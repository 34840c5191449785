import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Metrics } from "#base";

/** Metrics in Prometheus' format, and their text. */
export function createMetrics(): { readonly metrics: Metrics; readonly text: () => Promise<string> } {
  const registry = new Registry();
  const made = new Map<string, unknown>();
  const once = <T>(name: string, make: () => T): T => {
    let found = made.get(name) as T | undefined;
    if (found === undefined) {
      found = make();
      made.set(name, found);
    }
    return found;
  };
  return {
    text: () => registry.metrics(),
    metrics: {
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
