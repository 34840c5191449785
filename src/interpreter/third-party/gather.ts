import { TEMPLATE_GENERATION } from "#apis/karmada";
import type { KubeObject } from "#machinery";
import { list, number, reported, statusOf } from "../parts.ts";
import type { AggregatedItem, Json, KindRules } from "../rules.ts";

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

export function isReadyFor(object: KubeObject, ...reasons: readonly string[]): boolean {
  return list(statusOf(object)?.["conditions"]).some(
    ({ type, status, reason }) => type === "Ready" && status === "True" && reasons.includes(String(reason)),
  );
}
