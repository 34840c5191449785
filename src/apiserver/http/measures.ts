import { copyWith, copyWithout, type Gauge, type Metrics } from "#base";
import type { Attributes } from "../authorization/attributes.ts";

const SECONDS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];
const BYTES = [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
const LABELS = ["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"];
const KNOWN_VERBS: Readonly<Record<string, string>> = { create: "POST", update: "PUT" };

/** Whether a request changes something. */
export const isMutating = (verb: string): boolean =>
  verb === "create" || verb === "update" || verb === "patch" || verb === "delete" || verb === "deletecollection";

/** kube-apiserver's measurements of requests, by its names (wire). */
export class RequestMeasures {
  readonly #total;
  readonly #seconds;
  readonly #sizes;
  readonly #inflight: Gauge;
  readonly #longRunning: Gauge;
  readonly #attempts;
  readonly #running = { mutating: 0, readOnly: 0 };
  readonly #streams = new Map<string, number>();
  readonly #watched = new Map<string, { readonly labels: Readonly<Record<string, string>>; events: number }>();

  constructor(metrics: Metrics) {
    this.#total = metrics.counter(
      "apiserver_request_total",
      "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
      [...LABELS, "code"],
    );
    this.#seconds = metrics.histogram(
      "apiserver_request_duration_seconds",
      "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
      LABELS,
      SECONDS,
    );
    this.#sizes = metrics.histogram(
      "apiserver_response_sizes",
      "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
      LABELS.filter((label) => label !== "dry_run"),
      BYTES,
    );
    this.#inflight = metrics.gauge(
      "apiserver_current_inflight_requests",
      "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
      ["request_kind"],
    );
    this.#longRunning = metrics.gauge(
      "apiserver_longrunning_requests",
      "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.",
      LABELS.filter((label) => label !== "dry_run"),
    );
    const events = metrics.counter("apiserver_watch_events_total", "Number of events sent in watch clients", [
      "group",
      "version",
      "resource",
    ]);
    metrics.onRead(() => {
      for (const counted of this.#watched.values())
        if (counted.events > 0) {
          events.add(counted.events, counted.labels);
          counted.events = 0;
        }
    });
    this.#attempts = metrics.counter("authentication_attempts", "Counter of authenticated attempts.", ["result"]);
  }

  authenticated(isKnown: boolean): void {
    this.#attempts.add(1, { result: isKnown ? "success" : "failure" });
  }

  /** Counts a request in; the answer counts it out. */
  begin(verb: string): () => void {
    const kind = isMutating(verb) ? "mutating" : "readOnly";
    this.#running[kind]++;
    this.#inflight.set(this.#running[kind], { request_kind: kind });
    return () => {
      this.#running[kind]--;
      this.#inflight.set(this.#running[kind], { request_kind: kind });
    };
  }

  finished(facts: RequestFacts, code: number, seconds: number, bytes: number | undefined): void {
    const labels = labelsOf(facts);
    this.#total.add(1, copyWith(labels, { code: String(code) }));
    if (facts.attributes?.verb !== "watch") this.#seconds.observe(seconds, labels);
    if (bytes !== undefined && facts.attributes !== undefined)
      this.#sizes.observe(bytes, copyWithout(labels, "dry_run"));
  }

  /** Where the events a watch of this resource sends are counted: many, so that each costs an addition only. */
  watched({
    group,
    version,
    resource,
  }: {
    readonly group: string;
    readonly version: string;
    readonly resource: string;
  }): {
    events: number;
  } {
    const key = `${group}/${version}/${resource}`;
    let counted = this.#watched.get(key);
    if (counted === undefined) this.#watched.set(key, (counted = { labels: { group, version, resource }, events: 0 }));
    return counted;
  }

  /** Counts a watch in; what it returns counts it out. */
  streaming(facts: RequestFacts): () => void {
    const { dry_run: _dryRun, ...labels } = labelsOf(facts);
    const key = JSON.stringify(labels);
    const count = (change: number) => {
      const now = (this.#streams.get(key) ?? 0) + change;
      this.#streams.set(key, now);
      this.#longRunning.set(now, labels);
    };
    count(1);
    return () => count(-1);
  }
}

export interface RequestFacts {
  readonly method: string;
  readonly attributes: Attributes | undefined;
  readonly isDryRun: boolean;
  readonly isApply: boolean;
}

function labelsOf({ method, attributes, isDryRun, isApply }: RequestFacts) {
  const {
    verb = method,
    group = "",
    version = "",
    resource = "",
    subresource = "",
    namespace = "",
    name = "",
    path,
  } = attributes ?? {};
  const isAboutResource = attributes !== undefined && path === undefined;
  return {
    verb: isApply ? "APPLY" : (KNOWN_VERBS[verb] ?? verb.toUpperCase()),
    dry_run: isDryRun ? "All" : "",
    group,
    version,
    resource,
    subresource: isAboutResource ? subresource : ((path ?? "").replace(/^\//, "").split("/")[0] ?? ""),
    scope: !isAboutResource
      ? ""
      : name !== "" || verb === "create"
        ? "resource"
        : namespace !== ""
          ? "namespace"
          : "cluster",
    component: "apiserver",
  };
}
