import {
  badRequest,
  type FieldTerm,
  getPath,
  type KubeObject,
  type Matcher,
  parseFieldSelector,
  parseLabelSelector,
} from "#machinery";
import type { ResourceDefinition } from "./definition.ts";

/** Decides whether an object is among those asked for. */
export type ObjectFilter = (object: KubeObject) => boolean;

/** Compiles the selectors of a list or watch; `undefined` when they select everything. */
export function compileFilter(
  definition: ResourceDefinition,
  labelSelector: string | undefined,
  fieldSelector: string | undefined,
  name?: string,
): ObjectFilter | undefined {
  let labels: Matcher | undefined;
  let terms: readonly FieldTerm[] = [];
  try {
    if (labelSelector) labels = parseLabelSelector(labelSelector);
    if (fieldSelector) terms = parseFieldSelector(fieldSelector);
  } catch (error) {
    throw badRequest(error instanceof Error ? error.message : String(error));
  }
  if (name !== undefined) terms = [...terms, { field: "metadata.name", operator: "=", value: name }];
  // A term that says nothing selects everything.
  terms = terms.filter(({ field, value }) => field !== "" || value !== "");
  for (const { field } of terms) if (!isSelectable(definition, field)) throw notSelectable(definition, field);
  if (labels === undefined && terms.length === 0) return undefined;
  const { fields } = definition.strategy;
  return (object) => {
    if (labels !== undefined && !labels(object.metadata.labels)) return false;
    if (terms.length === 0) return true;
    let special: Readonly<Record<string, string>> | undefined;
    for (const { field, operator, value } of terms) {
      let found: string;
      if (field === "metadata.name") found = object.metadata.name ?? "";
      else if (field === "metadata.namespace") found = object.metadata.namespace ?? "";
      else {
        special ??= fields?.(object) ?? {};
        found = special[field] ?? String(getPath(object, ...field.split(".").filter(Boolean)) ?? "");
      }
      if ((found === value) !== (operator === "=")) return false;
    }
    return true;
  };
}

/** Whether a selector can find one object at most, by its name. */
export const selectsOneName = (fieldSelector: string | undefined): boolean =>
  fieldSelector !== undefined &&
  parseFieldSelector(fieldSelector).some(({ field, operator }) => field === "metadata.name" && operator === "=");

/** Kinds with fields of their own refuse others in other words than kinds without. */
function notSelectable({ kind, origin, strategy }: ResourceDefinition, field: string): Error {
  if (kind.group === "batch" && kind.kind === "Job")
    return badRequest(`field label ${JSON.stringify(field)} not supported for Job`);
  return badRequest(
    origin === "custom" || strategy.fields !== undefined
      ? `field label not supported: ${field}`
      : `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`,
  );
}

function isSelectable(definition: ResourceDefinition, field: string): boolean {
  const { kind, strategy } = definition;
  // Kinds with fields of their own know of no namespace they do not have.
  if (field === "metadata.namespace") return kind.namespaced || strategy.fields === undefined;
  if (field === "metadata.name") return true;
  if (definition.selectableFields?.includes(field)) return true;
  const sample = definition.strategy.fields?.({ apiVersion: "", kind: "", metadata: {} });
  return sample !== undefined && field in sample;
}
