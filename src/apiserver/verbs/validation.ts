import { hasRules, ruleErrors } from "../custom-resources/rules.ts";
import { apiError, fieldInvalid, forbidden, invalid, type KubeObject, notFound } from "#machinery";
import type { ResourceDefinition } from "../definition.ts";
import { validateMetadata } from "../metadata.ts";
import type { VerbHost } from "./host.ts";

/** Mistakes after which rules would read values that are not what their types say. */
const BLOCKING = new Set(["FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"]);
const NOT_CHECKED = fieldInvalid(
  "<nil>",
  null,
  "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
);

/**
 * Throws 422 with all that is wrong with the object, given what it was before. What it shares with `known`, which was
 * validated by the same definition, is not looked at again.
 */
export function validateObject(
  definition: ResourceDefinition,
  object: KubeObject,
  old: KubeObject | undefined,
  known?: KubeObject,
): void {
  const { strategy, schema, kind } = definition;
  const errors = [...validateMetadata(definition, object, old)];
  if (schema !== undefined && strategy.checksAlone !== true) {
    let found = schema.validate(object, "", known);
    // A status nobody has written yet is filled with empty parts; what they lack is no mistake of the client.
    if (definition.origin === "builtin")
      found = found.filter(({ type, field }) => type !== "FieldValueRequired" || !field.startsWith("status."));
    // A value that was wrong before and did not change is no new mistake.
    if (found.length > 0 && old !== undefined && definition.origin !== "builtin") {
      const known = new Set(schema.validate(old).map(({ field, message }) => `${field} ${message}`));
      found = found.filter(({ field, message }) => !known.has(`${field} ${message}`));
    }
    errors.push(...found);
    if (definition.origin === "custom" && hasRules(schema.source)) {
      if (found.some(({ type }) => BLOCKING.has(type))) errors.push(NOT_CHECKED);
      else errors.push(...ruleErrors(schema.source, object, old));
    }
  }
  if (errors.length === 0 || strategy.checksAlone === true) {
    if (old === undefined) errors.push(...(strategy.validateCreate?.(object) ?? []));
    errors.push(...(strategy.validate?.(object) ?? []));
    errors.push(
      ...((old === undefined ? strategy.validateCreate?.(object) : strategy.validateUpdate?.(object, old)) ?? []),
    );
  }
  // Objects that two groups show are called by the one that stores them.
  if (errors.length > 0)
    throw invalid({ ...kind, group: definition.storage.group ?? kind.group }, object.metadata.name ?? "", errors);
}

/** Throws for a namespace that is not there or about to go. */
export function checkNamespace(
  host: VerbHost,
  definition: ResourceDefinition,
  namespace: string | undefined,
  name: string,
): void {
  if (!host.checksNamespaces || !definition.kind.namespaced) return;
  const namespaces = host.registry.find("", "v1", "namespaces");
  if (namespaces === undefined) return;
  const found = host.store(namespaces).get(namespace ?? "");
  if (found === undefined) throw notFound({ group: "", resource: "namespaces" }, namespace ?? "");
  if (found.object.metadata.deletionTimestamp === undefined) return;
  const error = forbidden(
    definition.kind,
    name,
    `unable to create new content in namespace ${namespace} because it is being terminated`,
  );
  throw apiError(403, "Forbidden", error.message, {
    ...error.status.details,
    causes: [
      {
        reason: "NamespaceTerminating",
        message: `namespace ${namespace} is being terminated`,
        field: "metadata.namespace",
      },
    ],
  });
}
