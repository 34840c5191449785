import { type Metrics, silentMetrics } from "#base";
import type { AdmissionRequest } from "../admission.ts";

const SECONDS = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25];

/** How one call of a webhook went. `code` is that of the answer, 503 where there was none, as kube-apiserver counts it. */
export interface WebhookOutcome {
  readonly name: string;
  readonly type: "admit" | "validating";
  readonly operation: AdmissionRequest["operation"];
  readonly seconds: number;
  readonly code: number;
  /** Why the request was refused; absent when it went on. */
  readonly rejection?: "no_error" | "calling_webhook_error" | "apiserver_internal_error";
  /** Whether the webhook failed and that was ignored. */
  readonly isIgnored?: boolean;
}

/** Measurements of webhooks by kube-apiserver's names (wire). */
export function webhookMeasures(metrics: Metrics = silentMetrics): (outcome: WebhookOutcome) => void {
  const labels = ["name", "type", "operation", "rejected"];
  const duration = metrics.histogram(
    "apiserver_admission_webhook_admission_duration_seconds",
    "Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
    labels,
    SECONDS,
  );
  const requests = metrics.counter(
    "apiserver_admission_webhook_request_total",
    "Admission webhook request total, identified by name and broken out for each admission type (validating or mutating) and operation. Additional labels specify whether the request was rejected or not and an HTTP status code. Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
    ["name", "type", "operation", "code", "rejected"],
  );
  const rejections = metrics.counter(
    "apiserver_admission_webhook_rejection_count",
    "Admission webhook rejection count, identified by name and broken out for each admission type (validating or admit) and operation. Additional labels specify an error type (calling_webhook_error or apiserver_internal_error if an error occurred; no_error otherwise) and optionally a non-zero rejection code if the webhook rejects the request with an HTTP status code (honored by the apiserver when the code is greater or equal to 400). Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
    ["name", "type", "operation", "error_type", "rejection_code"],
  );
  const ignored = metrics.counter(
    "apiserver_admission_webhook_fail_open_count",
    "Admission webhook fail open count, identified by name and broken out for each admission type (validating or admit).",
    ["name", "type"],
  );
  return ({ name, type, operation, seconds, code, rejection, isIgnored }) => {
    const rejected = String(rejection !== undefined);
    const shown = String(Math.min(600, code));
    duration.observe(seconds, { name, type, operation, rejected });
    requests.add(1, { name, type, operation, code: shown, rejected });
    if (rejection !== undefined)
      rejections.add(1, { name, type, operation, error_type: rejection, rejection_code: shown });
    if (isIgnored === true) ignored.add(1, { name, type });
  };
}
