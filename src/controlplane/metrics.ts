import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { MetricLabels, Metrics } from "#base";
import { BUILD, VERSION } from "#config";

/** What the library makes of a measurement costs much more than noting it: that comes later, in pieces. */
const NOTED_MAX = 16_384;
const TAKEN_AT_ONCE = 512;
const LOOK_MS = 1_000;
const PIECE_MS = 50;

type Take = (value: number, labels: MetricLabels) => void;

/** Notes measurements until somebody reads them, or until little is measured for a second. */
function createNotes() {
  let notes: { readonly take: Take; readonly value: number; readonly labels: MetricLabels }[] = [];
  let timer: NodeJS.Timeout | undefined;
  let notedSince = 0;
  const takeSome = (count: number) => {
    const taken = notes.slice(0, count);
    notes = notes.slice(count);
    for (const { take, value, labels } of taken)
      try {
        take(value, labels);
      } catch (error) {
        // Whoever measured it has gone on.
        process.emitWarning(error as Error);
      }
  };
  const lookIn = (ms: number) => {
    timer = setTimeout(() => {
      timer = undefined;
      const isBurst = notedSince >= TAKEN_AT_ONCE;
      notedSince = 0;
      if (!isBurst) takeSome(TAKEN_AT_ONCE);
      if (notes.length > 0) lookIn(isBurst ? LOOK_MS : PIECE_MS);
    }, ms).unref();
  };
  const note = (take: Take, value: number, labels: MetricLabels) => {
    if (!Number.isFinite(value)) throw new TypeError(`a measurement must be a finite number, not ${value}`);
    if (notes.length >= NOTED_MAX) takeSome(TAKEN_AT_ONCE);
    notes.push({ take, value, labels });
    notedSince++;
    if (timer === undefined) lookIn(LOOK_MS);
  };
  return {
    /** The same, but that only the first one is taken at once: whoever names labels that are not there hears of it. */
    noted(take: Take): (value: number, labels?: MetricLabels) => void {
      let isFirst = true;
      return (value, labels = {}) => {
        if (!isFirst) return note(take, value, labels);
        take(value, labels);
        isFirst = false;
      };
    },
    /** All that was measured before, while others have their turn between the pieces. */
    async takeAll(): Promise<void> {
      for (let left = notes.length; left > 0 && notes.length > 0; left -= TAKEN_AT_ONCE) {
        takeSome(TAKEN_AT_ONCE);
        if (left > TAKEN_AT_ONCE) await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

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
  const notes = createNotes();
  return {
    text: async () => {
      // They measure too.
      for (const update of updates) update();
      await notes.takeAll();
      return registry.metrics();
    },
    metrics: {
      onRead: (update) => void updates.push(update),
      counter: (name, help, labelNames = []) =>
        once(name, () => {
          const counter = new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });
          return { add: notes.noted((amount, labels) => counter.inc(labels, amount)) };
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
          return { observe: notes.noted((value, labels) => histogram.observe(labels, value)) };
        }),
    },
  };
}
