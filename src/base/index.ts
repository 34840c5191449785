/**
 * Base: what every room may use and what knows neither Kubernetes nor Node.
 *
 * Words: a `Clock` tells and waits for time, a `Random` is the only source of chance, a `Logger` takes a constant
 * message and values, a `Backoff` says how long to wait before the next try. Nothing here reads the real time or the
 * real chance by itself: both are handed in, so that a whole fleet can run in a seeded simulation.
 */
export { assert, unreachable } from "./assert.ts";
export { type Backoff, type BackoffOptions, exponentialBackoff } from "./backoff.ts";
export { type Clock, sleep, type Timer, VirtualClock } from "./clock.ts";
export { abortReason, whenAborted } from "./when-aborted.ts";
export { systemClock } from "./system-clock.ts";
export { TokenBucket } from "./token-bucket.ts";
export { deepEqual } from "./deep-equal.ts";
export { deepFreeze, freezeObjects, type Immutable } from "./freeze.ts";
export { fnv1a32 } from "./fnv.ts";
export { type LogFields, type Logger, silentLogger } from "./logger.ts";
export { type Random, seededRandom } from "./random.ts";
export { copyOf, copyWith, copyWithout } from "./shapes.ts";
export {
  type Counter,
  exponentialBuckets,
  type Gauge,
  type Histogram,
  type MetricLabels,
  type Metrics,
  silentMetrics,
} from "./metrics.ts";
