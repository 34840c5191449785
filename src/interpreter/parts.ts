import { getPath, type KubeObject } from "#machinery";
import type { AggregatedItem, Json } from "./rules.ts";

/** Parts of objects whose kind is known only at run time, as the rules of all kinds read them. */

export const number = (value: unknown): number => (typeof value === "number" ? value : 0);
export const list = (value: unknown): readonly Json[] => (Array.isArray(value) ? (value as readonly Json[]) : []);
export const namespaceOf = (object: KubeObject): string => object.metadata.namespace ?? "";
export const statusOf = (object: KubeObject): Json | undefined => getPath(object, "status") as Json | undefined;
/** The pod template where workloads keep it. */
export const templateOf = (object: KubeObject): unknown => getPath(object, "spec", "template");

/** Items of clusters that have reported a status. */
export const reported = (items: readonly AggregatedItem[] | undefined): readonly AggregatedItem[] =>
  (items ?? []).filter(({ status }) => status !== undefined && status !== null);

/** The counters of a DaemonSet's status. */
export const DAEMON_SET_COUNTERS: readonly string[] = [
  "currentNumberScheduled",
  "desiredNumberScheduled",
  "numberAvailable",
  "numberMisscheduled",
  "numberReady",
  "updatedNumberScheduled",
  "numberUnavailable",
];
