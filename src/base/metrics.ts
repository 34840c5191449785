/** Label values of one measurement. */
export type MetricLabels = Readonly<Record<string, string>>;

export interface Counter {
  add(amount: number, labels?: MetricLabels): void;
}
export interface Gauge {
  set(value: number, labels?: MetricLabels): void;
  remove(labels: MetricLabels): void;
}
export interface Histogram {
  /** Durations are seconds, as Prometheus wants them. */
  observe(value: number, labels?: MetricLabels): void;
}

/** Where measurements go. Asking twice for a name gives the same instrument; names are upstream's (wire). */
export interface Metrics {
  counter(name: string, help: string, labelNames?: readonly string[]): Counter;
  gauge(name: string, help: string, labelNames?: readonly string[]): Gauge;
  histogram(name: string, help: string, labelNames?: readonly string[], buckets?: readonly number[]): Histogram;
  /** Calls `update` each time before the measurements are read: for what is counted elsewhere, or costs too much to follow. */
  onRead(update: () => void): void;
}

/** Bounds of a histogram: `start`, and each next one `factor` times the one before. */
export const exponentialBuckets = (start: number, factor: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, at) => start * factor ** at);

/** Keeps nothing. */
export const silentMetrics: Metrics = {
  counter: () => ({ add() {} }),
  gauge: () => ({ set() {}, remove() {} }),
  histogram: () => ({ observe() {} }),
  onRead() {},
};
