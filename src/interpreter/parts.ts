import { getPath, type KubeObject } from "#machinery";
import type { AggregatedItem, Json } from "./rules.ts";

/** Parts of objects whose kind is known only at run time, as the rules of all kinds read them. */

export const number = (value: unknown): number => (typeof value === "number" ? value : 0);
export const isMap = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
/** The members of an object; none where it is no object. */
export const mapOf = (value: unknown): Json => (isMap(value) ? value : {});
/** The objects of a list; what is none says nothing. */
export const list = (value: unknown): readonly Json[] =>
  !Array.isArray(value) ? [] : value.every(isMap) ? value : value.filter(isMap);
export const namespaceOf = (object: KubeObject): string => object.metadata.namespace ?? "";
export const statusOf = (object: KubeObject): Json | undefined => {
  const status = getPath(object, "status");
  return isMap(status) ? status : undefined;
};
/** The pod template where workloads keep it. */
export const templateOf = (object: KubeObject): unknown => getPath(object, "spec", "template");

/** Items of clusters that have reported a status. */
export const reported = (items: readonly AggregatedItem[] | undefined): readonly AggregatedItem[] =>
  (items ?? []).filter(({ status }) => isMap(status));

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
