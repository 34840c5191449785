import type { Metrics } from "#base";

const SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

export type RequestMeasure = (method: string, host: string, code: string, seconds: number) => void;

/** Measurements of requests to other API servers by client-go's names (wire). */
export function restMetrics(metrics: Metrics): RequestMeasure {
  const total = metrics.counter(
    "rest_client_requests_total",
    "Number of HTTP requests, partitioned by status code, method, and host.",
    ["code", "method", "host"],
  );
  const duration = metrics.histogram(
    "rest_client_request_duration_seconds",
    "Request latency in seconds. Broken down by verb, and host.",
    ["verb", "host"],
    SECONDS,
  );
  return (method, host, code, seconds) => {
    total.add(1, { code, method, host });
    duration.observe(seconds, { verb: method, host });
  };
}
