import { podWarnings } from "../builtin/pod-warnings.ts";
import { hasRules, ruleErrors } from "../custom-resources/rules.ts";
import { apiError, type FieldError, fieldInvalid, forbidden, invalid, type KubeObject, notFound } from "#machinery";
import { type ResourceDefinition, unheard } from "../definition.ts";
import { isUnchanged } from "../custom-resources/unchanged.ts";
import { validateMetadata } from "../metadata.ts";
import { embeddedErrors } from "./embedded-objects.ts";
import { scaleErrors } from "../scale.ts";
import type { VerbHost } from "./host.ts";
import { hasKnownSpec } from "./known-specs.ts";

/** Objects that were taken with mistakes they had before. */
const forgiven = new WeakSet<KubeObject>();

/** Whether an object was taken although not all of it is as it must be: it is looked at whole the next time. */
export const hasForgivenMistakes = (object: KubeObject): boolean => forgiven.has(object);

/** Mistakes after which rules would read values that are not what their types say. */
const BLOCKING = new Set([
  "FieldValueRequired",
  "FieldValueNotSupported",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);
const isRepetition = ({ type }: FieldError): boolean => type === "FieldValueDuplicate";
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
  {
    known,
    subresource,
    warn = unheard,
  }: {
    readonly known?: KubeObject | undefined;
    readonly subresource?: string | undefined;
    /** Hears of what rules find that was there before. */
    readonly warn?: ((message: string) => void) | undefined;
  } = {},
): void {
  const { first, between } = validateMetadata(definition, object, old, subresource);
  const errors = [
    ...first,
    ...(definition.origin === "builtin"
      ? builtinErrors(definition, object, old, { known, subresource, between })
      : schemaErrors(definition, object, old, { known, subresource, warn })),
  ];
  // Objects that two groups show are called by the one that stores them.
  const { kind, storage } = definition;
  if (errors.length > 0)
    throw invalid({ ...kind, group: storage.group ?? kind.group }, object.metadata.name ?? "", errors);
}

/** A kind's own rules speak first; the schema adds what they are silent about. */
function builtinErrors(
  { strategy, schema }: ResourceDefinition,
  object: KubeObject,
  old: KubeObject | undefined,
  {
    known,
    subresource,
    between,
  }: {
    readonly known: KubeObject | undefined;
    readonly subresource: string | undefined;
    readonly between: readonly FieldError[];
  },
): readonly FieldError[] {
  if (subresource === "status" && old !== undefined && strategy.validateStatus !== undefined)
    return strategy.validateStatus(object, old);
  const part = subresource === undefined || old === undefined ? undefined : strategy.parts?.[subresource];
  if (part !== undefined && old !== undefined) return part.validate(object, old);
  if (subresource === "approval" && old !== undefined && strategy.validateApproval !== undefined)
    return strategy.validateApproval(object, old);
  if (subresource === "finalize" && strategy.validateFinalize !== undefined) return strategy.validateFinalize(object);
  // Other parts of an object change what an update of the whole may not, such as a pod's node.
  if (subresource !== undefined && subresource !== "status" && strategy.rulesAreWhole)
    return strategy.validate?.(object) ?? [];
  const whole = (hasKnownSpec(strategy, object, known) ? undefined : strategy.validate?.(object, old)) ?? [];
  const own =
    old === undefined
      ? [...(strategy.validateCreate?.(object) ?? []), ...whole, ...(strategy.validateNew?.(object) ?? [])]
      : strategy.checksChangesFirst === true
        ? [...(strategy.validateUpdate?.(object, old) ?? []), ...between, ...whole]
        : [...whole, ...between, ...(strategy.validateUpdate?.(object, old) ?? [])];
  if (strategy.rulesAreWhole === true || schema === undefined) return own;
  const told = new Set(own.map(({ field }) => field));
  const found = schema
    .validate(object, "", known)
    // A status nobody has written yet is filled with empty parts; what they lack is no mistake of the client.
    .filter(({ type, field }) => !told.has(field) && (type !== "FieldValueRequired" || !field.startsWith("status.")));
  return [...own, ...found];
}

function schemaErrors(
  definition: ResourceDefinition,
  object: KubeObject,
  old: KubeObject | undefined,
  {
    known,
    subresource,
    warn,
  }: {
    readonly known: KubeObject | undefined;
    readonly subresource: string | undefined;
    readonly warn: (message: string) => void;
  },
): readonly FieldError[] {
  const { strategy, schema, origin, scale } = definition;
  const errors: FieldError[] = [];
  if (schema !== undefined) {
    let found = schema.validate(object, "", known);
    // A value that was wrong before and did not change is no new mistake.
    if (found.length > 0 && old !== undefined) {
      const mistakes = found;
      // What must be unique and was not before need not be now.
      const wasRepeated = mistakes.some(isRepetition) && schema.validate(old).some(isRepetition);
      found = mistakes.filter(
        (mistake) =>
          !(wasRepeated && isRepetition(mistake)) && !isUnchanged(mistake.place ?? mistake.field, object, old, schema),
      );
      if (found.length < mistakes.length) forgiven.add(object);
    }
    if (origin === "custom") found = [...found, ...embeddedErrors(schema, object)];
    errors.push(...found);
    if (origin === "custom" && scale !== undefined)
      errors.push(...scaleErrors(object, scale, subresource === "status" ? "status" : "spec"));
    if (origin === "custom" && hasRules(schema.source)) {
      if (found.some(({ type }) => BLOCKING.has(type))) errors.push(NOT_CHECKED);
      else {
        const spared: FieldError[] | undefined = old === undefined || warn === unheard ? undefined : [];
        errors.push(...ruleErrors(schema.source, object, old, spared));
        for (const { field, message } of spared ?? []) warn(`${field}: ${message}`);
      }
    }
  }
  if (errors.length > 0) return errors;
  return [
    ...((old === undefined ? strategy.validateCreate?.(object) : undefined) ?? []),
    ...(strategy.validate?.(object) ?? []),
    ...((old === undefined ? strategy.validateNew?.(object) : strategy.validateUpdate?.(object, old)) ?? []),
  ];
}

/** Tells the client what it should know of an object that is taken. */
export function warnOf(
  { strategy }: ResourceDefinition,
  object: KubeObject,
  old: KubeObject | undefined,
  warn: (message: string) => void,
): void {
  if (warn === unheard) return;
  const { warnings, hasTemplate } = strategy;
  for (const text of warnings?.(object, old) ?? []) warn(text);
  if (hasTemplate !== undefined) for (const text of podWarnings(object, old, hasTemplate)) warn(text);
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
