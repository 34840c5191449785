import { TEMPLATE_GENERATION } from "#apis/karmada";
import { formatTime, type KubeObject, parseTime } from "#machinery";
import { dependenciesOf, requirementsOf } from "../native/pod-template.ts";
import { list, number, reported, statusOf } from "../parts.ts";
import type { AggregatedItem, Dependency, Json, KindRules } from "../rules.ts";

/** Pieces the rules of many third-party kinds are made of. */

/** The generation everybody has caught up with: the template's if all items have, else the one that was there. */
export function observedGeneration(object: KubeObject, items: readonly AggregatedItem[] | undefined): number {
  const generation = object.metadata.generation ?? 0;
  if (items === undefined) return generation;
  const isCurrent = items.every(
    ({ status }) =>
      number(status?.["resourceTemplateGeneration"]) === generation &&
      number(status?.["generation"]) === number(status?.["observedGeneration"]),
  );
  return isCurrent ? generation : number(statusOf(object)?.["observedGeneration"]);
}

/** Sums of counters, last non-empty texts, and the observed generation, over what the template's status held. */
export function gatherCounters(
  counters: readonly string[],
  texts: readonly string[] = [],
  empty: Readonly<Record<string, unknown>> = {},
): NonNullable<KindRules["aggregate"]> {
  return (object, items) => {
    const result: Record<string, unknown> = { ...statusOf(object) };
    for (const field of counters)
      result[field] = reported(items).reduce((sum, { status }) => sum + number(status?.[field]), 0);
    for (const field of texts) {
      const fallback = field in empty ? empty[field] : items === undefined ? "" : undefined;
      if (fallback === undefined) delete result[field];
      else result[field] = fallback;
      for (const { status } of reported(items))
        if (status?.[field] !== undefined && status[field] !== "") result[field] = status[field];
    }
    result["observedGeneration"] = observedGeneration(object, items);
    return result;
  };
}

/** Reflects named fields, the member's generation and the template's, where the annotation has one. */
export function reflectFields(
  fields: readonly string[],
  fallback?: Readonly<Record<string, unknown>>,
): NonNullable<KindRules["reflect"]> {
  return (object) => {
    const status = statusOf(object);
    if (status === undefined) return {};
    const result: Record<string, unknown> = {};
    for (const field of fields) {
      const value = status[field] ?? fallback?.[field];
      if (value !== undefined && !(typeof value === "object" && value !== null && Object.keys(value).length === 0))
        result[field] = value;
    }
    if (object.metadata.generation !== undefined) result["generation"] = object.metadata.generation;
    const text = object.metadata.annotations?.[TEMPLATE_GENERATION];
    if (text !== undefined && text !== "" && Number.isFinite(Number(text)))
      result["resourceTemplateGeneration"] = Number(text);
    return result;
  };
}

/** Conditions of all items merged by type, status and reason; messages say where they come from. */
export function mergeConditions(items: readonly AggregatedItem[] | undefined): readonly Json[] {
  const merged = new Map<string, Record<string, unknown>>();
  for (const { clusterName, status } of reported(items))
    for (const condition of list(status?.["conditions"])) {
      const key = `${String(condition["type"])}|${String(condition["status"])}|${String(condition["reason"])}`;
      const message = `${clusterName}=${String(condition["message"] ?? "")}`;
      const before = merged.get(key);
      merged.set(
        key,
        before === undefined
          ? { ...condition, message }
          : { ...before, message: `${String(before["message"])}, ${message}` },
      );
    }
  return [...merged.values()];
}

const isEmpty = (value: unknown) =>
  value === undefined || value === null || (typeof value === "object" && Object.keys(value).length === 0);

/** An object without members that are absent, empty, or one of `dropped`. */
export function compact(members: Readonly<Record<string, unknown>>, ...dropped: readonly unknown[]): Json {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => !isEmpty(value) && !dropped.includes(value)));
}

/** Named fields of a status that are there and not empty; `{}` where there is no status. */
export const reflectPicked =
  (fields: readonly string[]): NonNullable<KindRules["reflect"]> =>
  (object) =>
    compact(Object.fromEntries(fields.map((field) => [field, statusOf(object)?.[field]])));

export const sumOf = (items: readonly AggregatedItem[] | undefined, field: string): number =>
  reported(items).reduce((sum, { status }) => sum + number(status?.[field]), 0);

/** The latest, or earliest, time of a field; texts that are no times do not count. */
export function timeOf(
  items: readonly AggregatedItem[] | undefined,
  field: string,
  which: "latest" | "earliest",
): string | undefined {
  let found: string | undefined;
  for (const { status } of reported(items)) {
    const text = status?.[field];
    if (typeof text !== "string" || parseTime(text) === undefined) continue;
    const difference = found === undefined ? 0 : (parseTime(text) as number) - (parseTime(found) as number);
    if (found === undefined || (which === "latest" ? difference > 0 : difference < 0)) found = text;
  }
  return found;
}

/**
 * Conditions made here carry the time they were made; one that says what it said before keeps its times, so that an
 * aggregation that changes nothing else writes nothing.
 */
export function datedConditions(object: KubeObject, conditions: readonly Json[], nowMs: number): readonly Json[] {
  const before = list(statusOf(object)?.["conditions"]);
  const now = formatTime(nowMs);
  return conditions.map((condition) => {
    const known = before.find(
      ({ type, status, reason }) =>
        type === condition["type"] && status === condition["status"] && reason === condition["reason"],
    );
    return {
      ...condition,
      lastProbeTime: known?.["lastProbeTime"] ?? now,
      lastTransitionTime: known?.["lastTransitionTime"] ?? now,
    };
  });
}

/** Whether a status has a condition that is True. */
export const hasCondition = (status: Json | undefined, wanted: string): boolean =>
  list(status?.["conditions"]).some(({ type, status: state }) => type === wanted && state === "True");

/** Dependencies of several pod templates, each once. */
export function dependenciesOfAll(templates: readonly unknown[], namespace: string): readonly Dependency[] {
  const all = templates
    .filter((template) => template !== undefined)
    .flatMap((template) => dependenciesOf(template, namespace));
  return [...new Map(all.map((dependency) => [`${dependency.kind}/${dependency.name}`, dependency])).values()];
}

/** One component of a workload that is made of several kinds of pods. */
export function component(name: string, replicas: number, template: unknown): Json {
  const requirements = template === undefined ? undefined : requirementsOf(template);
  return { name, replicas, ...(requirements === undefined ? {} : { replicaRequirements: requirements }) };
}

export function isReadyFor(object: KubeObject, ...reasons: readonly string[]): boolean {
  return list(statusOf(object)?.["conditions"]).some(
    ({ type, status, reason }) => type === "Ready" && status === "True" && reasons.includes(String(reason)),
  );
}
