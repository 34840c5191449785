import { deepEqual } from "#base";
import {
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  getPath,
  isJsonObject,
  type JsonSchema,
  label1035Errors,
  label1035Texts,
  subdomainErrors,
  type KubeObject,
} from "#machinery";
import type { Strategy } from "../definition.ts";
import type { WebhookClientConfig } from "../dynamic-admission/types.ts";
import { repetitions } from "../builtin/checks.ts";
import { clientErrors, reviewVersionErrors } from "../dynamic-admission/webhook-rules.ts";
import { type CrdSpec, type CrdVersion, FINALIZER, isConditionTrue, specOf, statusOf, withCondition } from "./crd.ts";
import { readApproval } from "./names.ts";
import { hasDefault, schemaErrors } from "./structural.ts";

type Json = Readonly<Record<string, unknown>>;

const COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const SELECTABLE_MAX = 8;
const WARNING_LENGTH_MAX = 256;

const MUST_BE_NAMED = 'must be spec.names.plural+"."+spec.group';

/** CustomResourceDefinitions: defaults, what must hold of them, and what their deletion begins with. */
export const crdStrategy: Strategy = {
  rulesAreWhole: true,
  applyDefaults(object) {
    const spec = (getPath(object, "spec") ?? {}) as Json;
    const names = (spec["names"] ?? {}) as Json;
    const kind = typeof names["kind"] === "string" ? names["kind"] : "";
    const { storedVersions } = statusOf(object);
    return {
      ...object,
      // Objects are stored in some version from the first one on.
      ...(storedVersions?.length === 0
        ? { status: { ...statusOf(object), storedVersions: storageVersions(specOf(object)) } }
        : {}),
      spec: {
        ...spec,
        conversion: withPort((spec["conversion"] ?? { strategy: "None" }) as Json),
        names: {
          ...names,
          ...(names["singular"] || kind === "" ? {} : { singular: kind.toLowerCase() }),
          ...(names["listKind"] || kind === "" ? {} : { listKind: `${kind}List` }),
        },
      },
    } as KubeObject;
  },
  prepareForCreate: (object) =>
    ({
      ...object,
      status: {
        conditions: null,
        acceptedNames: { plural: "", kind: "" },
        storedVersions: storageVersions(specOf(object)),
      },
    }) as unknown as KubeObject,
  prepareForUpdate(object, old) {
    // Whoever moves stored objects says so in the status alone.
    if (isStatusOnly(object, old)) return withStoredVersions(object);
    const stored = statusOf(object).storedVersions ?? [];
    const missing = storageVersions(specOf(object)).filter((version) => !stored.includes(version));
    return missing.length === 0
      ? object
      : ({
          ...object,
          status: { ...statusOf(object), storedVersions: [...stored, ...missing] },
        } as unknown as KubeObject);
  },
  deletionFinalizer: FINALIZER,
  prepareForDelete: (object, time) =>
    ({
      ...object,
      status: {
        ...statusOf(object),
        conditions: withCondition(
          statusOf(object).conditions ?? [],
          {
            type: "Terminating",
            status: "True",
            reason: "InstanceDeletionPending",
            message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
          },
          time,
        ),
      },
    }) as unknown as KubeObject,
  validateCreate: (object) => {
    const { names, group } = specOf(object);
    return object.metadata.name === `${names?.plural ?? ""}.${group ?? ""}`
      ? storedErrors(object)
      : [
          ...storedErrors(object),
          ...(object.metadata.generateName
            ? [fieldInvalid("metadata.generateName", object.metadata.generateName, MUST_BE_NAMED)]
            : []),
          fieldInvalid("metadata.name", object.metadata.name, MUST_BE_NAMED),
        ];
  },
  validate: (object) => {
    const spec = specOf(object);
    return [...specErrors(spec), ...nameErrors(spec), ...approvalErrors(object)];
  },
  validateUpdate(object, old) {
    const errors: FieldError[] = isStatusOnly(object, old) ? acceptedErrors(object, old) : [...storedErrors(object)];
    errors.push(...authorityErrors(object, old));
    if (!isConditionTrue(old, "Established")) return errors;
    for (const path of [["group"], ["scope"], ["names", "kind"], ["names", "plural"]]) {
      const value = getPath(object, "spec", ...path);
      if (!deepEqual(value, getPath(old, "spec", ...path)))
        errors.push(fieldInvalid(`spec.${path.join(".")}`, value, "field is immutable"));
    }
    return errors;
  },
};

/** Objects are stored in some version from the first one on: whoever leaves the list out means the one of today. */
const withStoredVersions = (object: KubeObject): KubeObject =>
  (statusOf(object).storedVersions ?? []).length > 0
    ? object
    : ({
        ...object,
        status: { ...statusOf(object), storedVersions: storageVersions(specOf(object)) },
      } as unknown as KubeObject);

const AUTHORITY = ["spec", "conversion", "webhook", "clientConfig", "caBundle"] as const;
const isPem = (bundle: unknown) => Buffer.from(String(bundle), "base64").toString("latin1").includes("-----BEGIN ");

/** Certificates that could be read are not replaced by what cannot. */
function authorityErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const [bundle, before] = [getPath(object, ...AUTHORITY), getPath(old, ...AUTHORITY)];
  if (!bundle || isPem(bundle) || !before || !isPem(before)) return [];
  return [
    fieldInvalid(
      "spec.conversion.webhookClientConfig.caBundle",
      bundle,
      "unable to load root certificates: unable to parse bytes as PEM block",
    ),
  ];
}

const isStatusOnly = (object: KubeObject, old: KubeObject) => deepEqual(specOf(object), specOf(old));

/** Names that somebody writes into the status must be names. */
function acceptedErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const { acceptedNames = {} } = statusOf(object);
  if (deepEqual(acceptedNames, statusOf(old).acceptedNames)) return [];
  return Object.entries(acceptedNames).flatMap(([member, name]) =>
    typeof name === "string" && name !== ""
      ? nameError(`status.acceptedNames.${member}`, name, member === "kind" || member === "listKind")
      : [],
  );
}

const storageVersions = ({ versions }: CrdSpec) =>
  (versions ?? [])
    .filter(({ storage }) => storage)
    .slice(0, 1)
    .map(({ name }) => name);

function withPort(conversion: Json): Json {
  const service = getPath(conversion, "webhook", "clientConfig", "service");
  if (!isJsonObject(service) || service["port"] !== undefined) return conversion;
  const webhook = conversion["webhook"] as Json;
  const clientConfig = webhook["clientConfig"] as Json;
  return {
    ...conversion,
    webhook: { ...webhook, clientConfig: { ...clientConfig, service: { ...service, port: 443 } } },
  };
}

/** Parts of versions that are the same in all of them are named as parts of the whole. */
function placeOf(versions: readonly CrdVersion[], at: number, part: (version: CrdVersion) => unknown): string {
  const first = part(versions[0] as CrdVersion);
  return versions.every((version) => deepEqual(part(version), first)) ? "spec" : `spec.versions[${at}]`;
}

function specErrors(spec: CrdSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { group, scope, conversion } = spec;
  const versions = spec.versions ?? [];
  const shown = spec.versions?.map(shownVersion) ?? null;
  if ((spec as { readonly preserveUnknownFields?: boolean }).preserveUnknownFields === true) {
    if (conversion?.strategy === "Webhook")
      errors.push(
        fieldInvalid("spec.conversion.strategy", "Webhook", "must be None if spec.preserveUnknownFields is true"),
      );
    if (versions.some(({ schema }) => hasDefault(schema?.openAPIV3Schema)))
      errors.push(
        fieldInvalid("spec.preserveUnknownFields", true, "must be false in order to use defaults in the schema"),
      );
    errors.push(
      fieldInvalid(
        "spec.preserveUnknownFields",
        true,
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
      ),
    );
  }
  if (!group) errors.push(fieldRequired("spec.group"));
  else {
    const wrong = subdomainErrors(group, "spec.group");
    errors.push(...wrong);
    if (wrong.length === 0 && !group.includes("."))
      errors.push(fieldInvalid("spec.group", group, "should be a domain with at least one dot"));
  }
  if (!scope) errors.push(fieldRequired("spec.scope"));
  else if (scope !== "Cluster" && scope !== "Namespaced")
    errors.push(fieldNotSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  const names = versions.map(({ name }) => name);
  for (const [at, name] of names.entries()) errors.push(...label1035Errors(name ?? "", `spec.versions[${at}].name`));
  // The first version was the only one once, and is still asked about by that name.
  if (names[0]) errors.push(...label1035Errors(names[0], "spec.version"));
  if (new Set(names).size < names.length)
    errors.push(fieldInvalid("spec.versions", shown, "must contain unique version names"));
  if (versions.filter(({ storage }) => storage === true).length !== 1)
    errors.push(fieldInvalid("spec.versions", shown, "must have exactly one version marked as storage version"));
  const wasThere = repetitions();
  for (const [at, version] of versions.entries())
    for (const error of versionErrors(versions, version, at))
      if (!wasThere(`${error.field} ${error.message}`)) errors.push(error);
  return [...errors, ...conversionErrors(conversion as Json | undefined)];
}

/** A version as Kubernetes shows it in messages, without what all versions share. */
const shownVersion = ({ name, served, storage, deprecated, deprecationWarning }: CrdVersion) => ({
  Name: name,
  Served: served,
  Storage: storage,
  Deprecated: deprecated ?? false,
  DeprecationWarning: deprecationWarning ?? null,
  Schema: null,
  Subresources: null,
  AdditionalPrinterColumns: null,
  SelectableFields: null,
});

/** Where a text holds something that is no letter, mark, number, sign or plain space, in bytes; −1 where it does not. */
function unprintableAt(text: string): number {
  const at = text.search(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u);
  return at < 0 ? -1 : Buffer.byteLength(text.slice(0, at));
}

function versionErrors(versions: readonly CrdVersion[], version: CrdVersion, at: number): FieldError[] {
  const errors: FieldError[] = [];
  const own = `spec.versions[${at}]`;
  const schema = version.schema?.openAPIV3Schema as JsonSchema | undefined;
  if (version.deprecationWarning !== undefined && !version.deprecated)
    errors.push(
      fieldInvalid(`${own}.deprecationWarning`, version.deprecationWarning, "can only be set for deprecated versions"),
    );
  if ((version.deprecationWarning?.length ?? 0) > WARNING_LENGTH_MAX)
    errors.push(
      fieldInvalid(
        `${own}.deprecationWarning`,
        version.deprecationWarning,
        `must be <= ${WARNING_LENGTH_MAX} characters long`,
      ),
    );
  const unprintable = unprintableAt(version.deprecationWarning ?? "");
  if (unprintable >= 0)
    errors.push(
      fieldInvalid(
        `${own}.deprecationWarning`,
        version.deprecationWarning,
        `must only contain printable UTF-8 characters; non-printable character found at index ${unprintable}`,
      ),
    );
  if (version.deprecationWarning === "" && version.deprecated)
    errors.push(fieldInvalid(`${own}.deprecationWarning`, "", "must not be an empty string"));
  if (schema === undefined) errors.push(fieldRequired(`${own}.schema.openAPIV3Schema`));
  else {
    const place = placeOf(versions, at, ({ schema: other }) => other);
    const path = `${place === "spec" ? "spec.validation" : `${place}.schema`}.openAPIV3Schema`;
    errors.push(...schemaErrors(schema, path));
    if (version.subresources?.status !== undefined && schema.type && schema.type !== "object")
      errors.push(
        fieldInvalid(
          `${path}.type`,
          schema.type,
          'only "object" is allowed as the type at the root of the schema if the status subresource is enabled',
        ),
      );
  }
  const scale = version.subresources?.scale;
  if (scale !== undefined) {
    const path = `${placeOf(versions, at, ({ subresources }) => subresources)}.subresources.scale`;
    const mustStart = (
      member: "specReplicasPath" | "statusReplicasPath" | "labelSelectorPath",
      starts: readonly string[],
    ) => {
      const value = scale[member];
      if (value && !value.startsWith("."))
        errors.push(fieldInvalid(`${path}.${member}`, value, "must be a simple json path starting with ."));
      else if (!value) {
        if (member !== "labelSelectorPath") errors.push(fieldRequired(`${path}.${member}`));
      } else if (!starts.some((start) => value.startsWith(start)))
        errors.push(
          fieldInvalid(
            `${path}.${member}`,
            value,
            `should be a json path under ${starts.length > 1 ? "either " : ""}${starts.map((start) => start.slice(0, -1)).join(" or ")}`,
          ),
        );
    };
    mustStart("specReplicasPath", [".spec."]);
    mustStart("statusReplicasPath", [".status."]);
    mustStart("labelSelectorPath", [".spec.", ".status."]);
  }
  const columns = `${placeOf(versions, at, ({ additionalPrinterColumns }) => additionalPrinterColumns)}.additionalPrinterColumns`;
  for (const [index, column] of (version.additionalPrinterColumns ?? []).entries()) {
    if (!column.name) errors.push(fieldRequired(`${columns}[${index}].name`));
    if (!column.type)
      errors.push(fieldRequired(`${columns}[${index}].type`, `must be one of ${COLUMN_TYPES.join(",")}`));
    else if (!COLUMN_TYPES.includes(column.type))
      errors.push(fieldInvalid(`${columns}[${index}].type`, column.type, `must be one of ${COLUMN_TYPES.join(",")}`));
    if (column.format && !COLUMN_FORMATS.includes(column.format))
      errors.push(
        fieldInvalid(`${columns}[${index}].format`, column.format, `must be one of ${COLUMN_FORMATS.join(",")}`),
      );
    if (!column.jsonPath) errors.push(fieldRequired(`${columns}[${index}].JSONPath`));
    else if (!column.jsonPath.startsWith("."))
      errors.push(
        fieldInvalid(`${columns}[${index}].JSONPath`, column.jsonPath, "must be a simple json path starting with ."),
      );
  }
  return [...errors, ...selectableErrors(versions, version, at)];
}

function selectableErrors(versions: readonly CrdVersion[], version: CrdVersion, at: number): FieldError[] {
  const fields = version.selectableFields ?? [];
  if (fields.length === 0) return [];
  const path = `${placeOf(versions, at, ({ selectableFields }) => selectableFields)}.selectableFields`;
  const errors: FieldError[] = [];
  const wasThere = repetitions();
  for (const [index, { jsonPath }] of fields.entries()) {
    const place = `${path}[${index}].jsonPath`;
    if (!jsonPath) errors.push(fieldRequired(place));
    else if (!/^[.[]/.test(jsonPath))
      errors.push(
        fieldInvalid(place, jsonPath, `is an invalid path: expected [ or . but got: ${/^[^.[]+/.exec(jsonPath)?.[0]}`),
      );
    else {
      const type = typeAt(version.schema?.openAPIV3Schema, jsonPath);
      if (jsonPath === ".")
        errors.push(fieldInvalid(place, jsonPath, "is an invalid path: unexpected end of JSON path"));
      else if (jsonPath.includes("[") && typeAt(version.schema?.openAPIV3Schema, jsonPath.replace(/\[.*/, "")))
        errors.push(fieldInvalid(place, jsonPath, "is an invalid path: array notation is not allowed"));
      else if (type === undefined)
        errors.push(fieldInvalid(place, jsonPath, "is an invalid path: does not refer to a valid field"));
      else if (!["string", "boolean", "integer"].includes(type))
        errors.push(
          fieldInvalid(
            place,
            jsonPath,
            "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
          ),
        );
    }
    if (wasThere(jsonPath))
      errors.push({
        type: "FieldValueDuplicate",
        field: place,
        message: `Duplicate value: ${JSON.stringify(jsonPath)}`,
      });
  }
  if (fields.length > SELECTABLE_MAX)
    errors.push({
      type: "FieldValueTooMany",
      field: path,
      message: `Too many: ${fields.length}: must have at most ${SELECTABLE_MAX} items`,
    });
  return errors;
}

/** The type of the field a path leads to, empty where it has none; `undefined` where it leads nowhere. */
function typeAt(schema: JsonSchema | undefined, jsonPath: string): string | undefined {
  let at = schema;
  for (const step of jsonPath.split(".").filter(Boolean)) {
    const properties: JsonSchema["properties"] = at?.properties;
    at = properties !== undefined && Object.hasOwn(properties, step) ? properties[step] : undefined;
  }
  return at === undefined ? undefined : (at.type ?? "");
}

function conversionErrors(conversion: Json | undefined): FieldError[] {
  const strategy = conversion?.["strategy"];
  const path = "spec.conversion";
  const config = getPath(conversion, "webhook", "clientConfig") as WebhookClientConfig | undefined;
  const versions = (getPath(conversion, "webhook", "conversionReviewVersions") ?? []) as readonly string[];
  const onlyForWebhooks = "should not be set when strategy is not set to Webhook";
  if (strategy !== "Webhook")
    return [
      ...(strategy === "None"
        ? []
        : strategy
          ? [fieldNotSupported(`${path}.strategy`, strategy, ["None", "Webhook"])]
          : [fieldRequired(`${path}.strategy`)]),
      ...(config === undefined ? [] : [fieldForbidden(`${path}.webhookClientConfig`, onlyForWebhooks)]),
      ...(versions.length === 0 ? [] : [fieldForbidden(`${path}.conversionReviewVersions`, onlyForWebhooks)]),
    ];
  return [
    ...(config === undefined
      ? [fieldRequired(`${path}.webhookClientConfig`, "required when strategy is set to Webhook")]
      : clientErrors(config, `${path}.webhookClientConfig`)),
    ...(versions.length === 0
      ? [fieldRequired(`${path}.conversionReviewVersions`)]
      : reviewVersionErrors(versions, `${path}.conversionReviewVersions`)),
  ];
}

function nameError(path: string, value: string, mixes: boolean): FieldError[] {
  if (!mixes) return label1035Errors(value, path);
  return label1035Texts(value.toLowerCase()).map((text) =>
    fieldInvalid(path, value, `may have mixed case, but should otherwise match: ${text}`),
  );
}

function nameErrors({ names }: CrdSpec): FieldError[] {
  const errors: FieldError[] = [];
  const label = (member: string, value: string | undefined, mixes = false) =>
    errors.push(...(value ? nameError(`spec.names.${member}`, value, mixes) : [fieldRequired(`spec.names.${member}`)]));
  label("plural", names?.plural);
  label("singular", names?.singular);
  label("kind", names?.kind, true);
  label("listKind", names?.listKind, true);
  for (const [member, list] of [
    ["shortNames", names?.shortNames],
    ["categories", names?.categories],
  ] as const)
    for (const [at, name] of (list ?? []).entries())
      errors.push(...label1035Errors(name, `spec.names.${member}[${at}]`));
  if (names?.kind && names.kind === names.listKind)
    errors.push(fieldInvalid("spec.names.listKind", names.listKind, "kind and listKind may not be the same"));
  return errors;
}

function storedErrors(object: KubeObject): FieldError[] {
  const stored = statusOf(object).storedVersions ?? [];
  const versions = specOf(object).versions ?? [];
  const errors: FieldError[] = [];
  if (stored.length === 0)
    return [fieldInvalid("status.storedVersions", null, "must have at least one stored version")];
  for (const [at, name] of stored.entries())
    if (!versions.some((version) => version.name === name))
      errors.push(
        fieldInvalid(
          `status.storedVersions[${at}]`,
          name,
          `missing from spec.versions; ${name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${name} and removes ${name} from status.storedVersions`,
        ),
      );
  const wasThere = repetitions();
  for (const { name, storage } of versions)
    if ((wasThere(name) || !stored.includes(name)) && storage)
      errors.push(fieldInvalid("status.storedVersions", stored, `must have the storage version ${name}`));
  return errors;
}

function approvalErrors(object: KubeObject): FieldError[] {
  const approval = readApproval(object);
  const field = "metadata.annotations[api-approved.kubernetes.io]";
  const see = "see https://github.com/kubernetes/enhancements/pull/1111";
  if (approval === "missing")
    return [
      fieldRequired(field, `protected groups must have approval annotation "api-approved.kubernetes.io", ${see}`),
    ];
  if (approval === "invalid")
    return [
      fieldInvalid(
        field,
        object.metadata.annotations?.["api-approved.kubernetes.io"],
        `protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", ${see}`,
      ),
    ];
  return [];
}
