import { type Component, flag } from "./flag.ts";
import { address, amount, oneOf, positiveDuration, wholeNumber } from "./values.ts";

const ALL: readonly Component[] = [
  "controller-manager",
  "scheduler",
  "descheduler",
  "scheduler-estimator",
  "webhook",
  "agent",
];

/** What every long-running command says of itself. */
export const logFlags = {
  logLevel: flag("log-level", oneOf("debug", "info", "warn", "error", "silent"), "info", "what is logged", {
    of: "flotilla",
    by: "controlplane",
  }),
  verbosity: flag("v", wholeNumber(0, 10), "0", "from 4 on everything is logged, as with --log-level=debug", {
    of: ALL,
    by: "controlplane",
  }),
  loggingFormat: flag("logging-format", oneOf("text", "json"), "text", "format of the log's lines", {
    of: ALL,
    by: "controlplane",
  }),
};

/** The plain ports of probes and scrapers, with a program's defaults. */
export const listenerFlags = (
  metrics: string,
  health: string,
  upstream: { readonly metrics?: string; readonly health?: string } = {},
) => ({
  metricsBindAddress: flag("metrics-bind-address", address, metrics, "plain listener of /metrics; 0 is none", {
    of: [...ALL, "metrics-adapter"],
    by: "controlplane",
    ...(upstream.metrics === undefined ? {} : { upstream: upstream.metrics }),
  }),
  healthProbeBindAddress: flag(
    "health-probe-bind-address",
    address,
    health,
    "plain listener of /healthz and /readyz; 0 is none, an address equal to the former is shared",
    { of: ALL, by: "controlplane", ...(upstream.health === undefined ? {} : { upstream: upstream.health }) },
  ),
});

/** How repeated failures are spaced. */
export const rateLimiterFlags = {
  rateLimiterBaseDelayMs: flag(
    "rate-limiter-base-delay",
    positiveDuration,
    "5ms",
    "wait after an object's first failure",
    { of: ["controller-manager", "agent", "scheduler"], by: "controller-runtime" },
  ),
  rateLimiterMaxDelayMs: flag("rate-limiter-max-delay", positiveDuration, "1000s", "longest wait between two tries", {
    of: ["controller-manager", "agent", "scheduler"],
    by: "controller-runtime",
  }),
  rateLimiterQps: flag(
    "rate-limiter-qps",
    amount,
    "0",
    "failures of one controller that come back in a second; 0 is no limit, and 10 for a scheduler without priorities",
    { of: ["controller-manager", "agent", "scheduler"], by: "controller-runtime", upstream: "10" },
  ),
  rateLimiterBucketSize: flag(
    "rate-limiter-bucket-size",
    wholeNumber(1),
    "100",
    "failures that come back at once above --rate-limiter-qps",
    { of: ["controller-manager", "agent", "scheduler"], by: "controller-runtime" },
  ),
};
