import type { Metrics } from "#base";

const SECONDS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];
const LABELS = ["operation", "group", "resource"];

/** Told of each request a resource sends to its store. */
export type StoreMeasure = (
  operation: "create" | "update" | "delete" | "list",
  seconds: number,
  isFailed: boolean,
) => void;

/**
 * Requests to the store by kube-apiserver's names (wire). They are called `etcd_…` whatever the driver is, so that dashboards
 * work with each.
 */
export function storeMeasures(metrics: Metrics): (group: string, resource: string) => StoreMeasure {
  const seconds = metrics.histogram(
    "etcd_request_duration_seconds",
    "Etcd request latency in seconds for each operation and object type.",
    LABELS,
    SECONDS,
  );
  const total = metrics.counter(
    "etcd_requests_total",
    "Etcd request counts for each operation and object type.",
    LABELS,
  );
  const failed = metrics.counter(
    "etcd_request_errors_total",
    "Etcd failed request counts for each operation and object type.",
    LABELS,
  );
  return (group, resource) => {
    const labels = Object.fromEntries(
      (["create", "update", "delete", "list"] as const).map((operation) => [operation, { operation, group, resource }]),
    );
    return (operation, took, isFailed) => {
      seconds.observe(took, labels[operation]);
      total.add(1, labels[operation]);
      if (isFailed) failed.add(1, labels[operation]);
    };
  };
}

/** How many objects a resource has. */
export interface ResourceSize {
  readonly group: string;
  readonly resource: string;
  readonly size: number;
}

/** How many objects each resource has, told when measurements are read (wire). */
export function countObjects(sizes: () => Iterable<ResourceSize>, metrics: Metrics): void {
  const objects = metrics.gauge(
    "apiserver_resource_objects",
    "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
    ["group", "resource"],
  );
  const older = metrics.gauge(
    "apiserver_storage_objects",
    "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
    ["resource"],
  );
  let known = new Map<string, { readonly group: string; readonly resource: string }>();
  const nameOf = (group: string, resource: string) => (group === "" ? resource : `${resource}.${group}`);
  metrics.onRead(() => {
    const present = new Map<string, { readonly group: string; readonly resource: string }>();
    for (const { group, resource, size } of sizes()) {
      present.set(nameOf(group, resource), { group, resource });
      objects.set(size, { group, resource });
      older.set(size, { resource: nameOf(group, resource) });
    }
    for (const [name, labels] of known)
      if (!present.has(name)) {
        objects.remove(labels);
        older.remove({ resource: name });
      }
    known = present;
  });
}
