import type { Random } from "#base";
import {
  badRequest,
  conflict,
  type FieldError,
  fieldInvalid,
  fieldForbidden,
  fieldRequired,
  fieldTooLong,
  formatTime,
  isJsonObject,
  type KubeObject,
  objectKey,
  setOwn,
  DNS_LABEL,
  DNS_LABEL_TEXT,
  LABEL_VALUE,
  LABEL_VALUE_TEXT,
  type ObjectMeta,
  DNS_SUBDOMAIN,
  DNS_SUBDOMAIN_TEXT,
  labelKeyErrors,
  withMetadata,
} from "#machinery";
import type { ResourceDefinition } from "./definition.ts";
import { SECONDS, timeMistake } from "./go-times.ts";

const PATH_SEGMENT_GROUPS = new Set(["rbac.authorization.k8s.io", "certificates.k8s.io", "apiregistration.k8s.io"]);
const PATH_SEGMENT_RESOURCES = new Set([
  "apiservices",
  "roles",
  "rolebindings",
  "clusterroles",
  "clusterrolebindings",
  "certificatesigningrequests",
]);
const LABEL_RESOURCES = new Set(["namespaces"]);

/** What is wrong with a name; empty when nothing is. */
export function nameErrors(
  definition: { readonly kind: Pick<ResourceDefinition["kind"], "group" | "resource"> },
  name: string,
): readonly string[] {
  const { group, resource } = definition.kind;
  if (PATH_SEGMENT_GROUPS.has(group) && PATH_SEGMENT_RESOURCES.has(resource)) return pathSegmentErrors(name);
  // Their rules look at the address they are named by.
  if (group === "networking.k8s.io" && resource === "ipaddresses") return [];
  const errors: string[] = [];
  if (group === "batch" && resource === "cronjobs" && name.length > 52)
    errors.push("must be no more than 52 characters");
  // Namespaces and Services are parts of DNS names; Services may begin with a digit since 1.36.
  if (group === "" && (resource === "services" || resource === "namespaces")) {
    if (name.includes(".")) return ["must not contain dots"];
    if (name.length > 63) errors.push("must be no more than 63 characters");
    if (!DNS_LABEL.test(name)) errors.push(DNS_LABEL_TEXT);
    return errors;
  }
  if (group === "apps" && resource === "statefulsets" && name.includes(".")) return ["must not contain dots"];
  if ((group === "" && LABEL_RESOURCES.has(resource)) || (group === "apps" && resource === "statefulsets")) {
    if (name.length > 63) errors.push("must be no more than 63 bytes");
    if (!DNS_LABEL.test(name)) errors.push(DNS_LABEL_TEXT);
    return errors;
  }
  if (name.length > 253) errors.push("must be no more than 253 bytes");
  if (!DNS_SUBDOMAIN.test(name)) errors.push(DNS_SUBDOMAIN_TEXT);
  return errors;
}

/** Labels as they appear in many kinds. */
export function validateLabels(labels: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const text of labelKeyErrors(key)) errors.push(fieldInvalid(path, key, text));
    if (typeof value !== "string") continue;
    if (value.length > 63) errors.push(fieldInvalid(path, value, "must be no more than 63 bytes"));
    if (!LABEL_VALUE.test(value)) errors.push(fieldInvalid(path, value, LABEL_VALUE_TEXT));
  }
  return errors;
}

/** Groups whose kinds take metadata with a status too, as their strategies in kube-apiserver do. */
const STATUS_TAKES_METADATA = new Set(["", "apps", "batch", "policy", "autoscaling", "apiextensions.k8s.io"]);

const LEFT_BY_STATUS: Readonly<Record<string, readonly (keyof ObjectMeta)[]>> = {
  pods: ["ownerReferences"],
  "apps/deployments": ["labels"],
};

/** Members of the metadata that a write to `/status` leaves alone; `undefined` where it takes none. */
export function leftByStatus({ kind, origin }: ResourceDefinition): readonly (keyof ObjectMeta)[] | undefined {
  const { group, resource } = kind;
  const isTaken =
    origin === "builtin" &&
    (STATUS_TAKES_METADATA.has(group) || (group === "networking.k8s.io" && resource === "ingresses"));
  return isTaken ? (LEFT_BY_STATUS[group === "" ? resource : `${group}/${resource}`] ?? []) : undefined;
}

/** The metadata of an object after a write to `/status`. */
export function statusMetadata(definition: ResourceDefinition, object: KubeObject, old: KubeObject): ObjectMeta {
  const left = leftByStatus(definition);
  if (left === undefined) return withMetadata(old, { managedFields: object.metadata.managedFields }).metadata;
  return withMetadata(object, Object.fromEntries(left.map((name) => [name, old.metadata[name]]))).metadata;
}

const validated = new WeakSet<object>();
const ANNOTATIONS_BYTES_MAX = 256 * 1024;
/**
 * How kinds look at the metadata of an update, after their registry has twice: as a change or as a whole, and whether they
 * take finalizers of their own names only.
 */
type Look = "change" | "plain change" | "whole" | "plain whole";
const LOOKS_DEFAULT: readonly Look[] = ["change"];
const looksOf = (looks: readonly Look[], ...keys: readonly string[]) => keys.map((key) => [key, looks] as const);
const LOOKS: ReadonlyMap<string, readonly Look[]> = new Map([
  ...looksOf([], "events", "events.k8s.io/events", "policy/poddisruptionbudgets"),
  ...looksOf(
    ["change", "whole"],
    "configmaps",
    "secrets",
    "serviceaccounts",
    "pods",
    "persistentvolumeclaims",
    "endpoints",
    "batch/jobs",
    "apps/controllerrevisions",
    "networking.k8s.io/ingressclasses",
    "rbac.authorization.k8s.io/roles",
    "rbac.authorization.k8s.io/clusterroles",
    "rbac.authorization.k8s.io/rolebindings",
    "rbac.authorization.k8s.io/clusterrolebindings",
    "networking.k8s.io/ingresses",
  ),
  ...looksOf(["whole", "whole"], "persistentvolumes"),
  ...looksOf(["whole", "change"], "namespaces", "nodes", "storage.k8s.io/storageclasses"),
  ...looksOf(["whole"], "limitranges", "discovery.k8s.io/endpointslices"),
  ...looksOf(["plain change"], "apiextensions.k8s.io/customresourcedefinitions"),
  ...looksOf(["plain change", "plain whole"], "apiregistration.k8s.io/apiservices"),
  ...looksOf(["plain change"], "coordination.k8s.io/leases"),
  ...looksOf(["plain whole", "plain change"], "node.k8s.io/runtimeclasses"),
  ...looksOf(
    ["plain whole"],
    "admissionregistration.k8s.io/validatingwebhookconfigurations",
    "admissionregistration.k8s.io/mutatingwebhookconfigurations",
    "admissionregistration.k8s.io/validatingadmissionpolicies",
  ),
]);

/** Kinds that look at the metadata of an update once more between their other checks. */
const LOOKS_BETWEEN = new Set([
  "persistentvolumes",
  "namespaces",
  "nodes",
  "storage.k8s.io/storageclasses",
  "node.k8s.io/runtimeclasses",
  "networking.k8s.io/ingressclasses",
  "batch/jobs",
  "configmaps",
  "secrets",
  "rbac.authorization.k8s.io/roles",
  "rbac.authorization.k8s.io/clusterroles",
  "rbac.authorization.k8s.io/rolebindings",
  "rbac.authorization.k8s.io/clusterrolebindings",
]);

/** Mistakes of metadata; `between` is told between two other checks of an update. */
export interface MetadataErrors {
  readonly first: FieldError[];
  readonly between: FieldError[];
}

/** Mistakes of metadata. Maps that were looked at before are not looked at again. */
export function validateMetadata(
  definition: ResourceDefinition,
  object: KubeObject,
  old: KubeObject | undefined,
  subresource?: string,
): MetadataErrors {
  const { metadata } = object;
  const isCore = definition.origin === "builtin" && !GENERIC_GROUPS.has(definition.kind.group);
  const errors = old === undefined ? createdNameErrors(definition, metadata) : [];
  const maps = [
    ...labelErrorsOf(metadata, old?.metadata),
    ...annotationErrorsOf(metadata, old?.metadata),
    ...ownerErrors(metadata),
  ];
  const finalizers = finalizerErrors(metadata, old?.metadata, isCore);
  const only = (first: FieldError[]): MetadataErrors => ({ first, between: [] });
  if (old === undefined) return only([...errors, ...maps, ...finalizers.names, ...finalizers.standard]);
  const fixed = [...addedFinalizerErrors(metadata, old.metadata), ...immutableErrors(metadata, old.metadata)];
  if (definition.origin !== "builtin") {
    const isWhole = definition.origin === "custom" && subresource !== "status";
    return only([...(isWhole ? [...maps, ...fixed, ...maps] : []), ...fixed, ...maps, ...finalizers.names]);
  }
  if (maps.length + fixed.length + finalizers.names.length + finalizers.standard.length === 0) return only([]);
  const { group, resource } = definition.kind;
  const key = group === "" ? resource : `${group}/${resource}`;
  const looks = ((subresource === "status" ? undefined : LOOKS.get(key)) ?? LOOKS_DEFAULT).map((look) => [
    ...(look.endsWith("change") ? [...fixed, ...maps] : [...maps, ...finalizers.names]),
    ...(look.startsWith("plain") ? [] : finalizers.standard),
  ]);
  const first = [...maps, ...finalizers.names, ...fixed, ...maps, ...(looks[0] ?? [])];
  const last = looks[1] ?? [];
  return LOOKS_BETWEEN.has(key) ? { first, between: last } : only([...first, ...last]);
}

function createdNameErrors(definition: ResourceDefinition, { name = "", generateName }: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  // The letter that follows is not known yet, but will be one.
  if (generateName)
    for (const text of nameErrors(
      definition,
      generateName.endsWith("-") ? `${generateName.slice(0, -2)}a` : generateName,
    ))
      errors.push(fieldInvalid("metadata.generateName", generateName, text));
  if (name === "") errors.push(fieldRequired("metadata.name", "name or generateName is required"));
  else for (const text of nameErrors(definition, name)) errors.push(fieldInvalid("metadata.name", name, text));
  return errors;
}

function labelErrorsOf({ labels }: ObjectMeta, old: ObjectMeta | undefined): FieldError[] {
  if (labels === undefined || labels === old?.labels || validated.has(labels)) return [];
  const errors = validateLabels(labels, "metadata.labels");
  if (errors.length === 0) validated.add(labels);
  return errors;
}

function annotationErrorsOf({ annotations }: ObjectMeta, old: ObjectMeta | undefined): FieldError[] {
  if (annotations === undefined || annotations === old?.annotations || validated.has(annotations)) return [];
  const errors = validateAnnotations(annotations, "metadata.annotations");
  if (errors.length === 0) validated.add(annotations);
  return errors;
}

/** Annotations as they appear in metadata and in templates. */
export function validateAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    for (const text of labelKeyErrors(key.toLowerCase())) errors.push(fieldInvalid(path, key, text));
    bytes += key.length + String(value).length;
  }
  if (bytes > ANNOTATIONS_BYTES_MAX) errors.push(fieldTooLong(path, ANNOTATIONS_BYTES_MAX));
  return errors;
}

/** Groups of other servers inside kube-apiserver, whose metadata is looked at once only. */
const GENERIC_GROUPS = new Set(["apiextensions.k8s.io", "apiregistration.k8s.io"]);
const STANDARD_FINALIZERS = new Set(["orphan", "foregroundDeletion", "kubernetes"]);

/** What is wrong with the names of finalizers, and which Kubernetes' own kinds do not take. */
function finalizerErrors(
  { finalizers = [] }: ObjectMeta,
  old: ObjectMeta | undefined,
  isCore: boolean,
): { readonly names: readonly FieldError[]; readonly standard: readonly FieldError[] } {
  if (finalizers.length === 0 || finalizers === old?.finalizers) return { names: [], standard: [] };
  return {
    names: finalizers.flatMap((finalizer) =>
      labelKeyErrors(finalizer).map((text) => fieldInvalid("metadata.finalizers", finalizer, text)),
    ),
    standard: [...finalizers.entries()].flatMap(([at, finalizer]) =>
      isCore && !finalizer.includes("/") && !STANDARD_FINALIZERS.has(finalizer)
        ? [
            fieldInvalid(
              `metadata.finalizers[${at}]`,
              finalizer,
              "name is neither a standard finalizer name nor is it fully qualified",
            ),
          ]
        : [],
    ),
  };
}

function addedFinalizerErrors({ finalizers = [] }: ObjectMeta, old: ObjectMeta): FieldError[] {
  if (old.deletionTimestamp === undefined || finalizers === old.finalizers) return [];
  const present = new Set(old.finalizers ?? []);
  const added = finalizers.filter((finalizer) => !present.has(finalizer));
  return added.length === 0
    ? []
    : [
        fieldForbidden(
          "metadata.finalizers",
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((text) => JSON.stringify(text)).join(", ")}}`,
        ),
      ];
}

function ownerErrors({ ownerReferences }: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  const path = "metadata.ownerReferences";
  let controller: string | undefined;
  for (const reference of ownerReferences ?? []) {
    const { apiVersion = "", kind = "", name = "", uid = "" } = reference;
    if (apiVersion === "") errors.push(fieldInvalid(`${path}.apiVersion`, apiVersion, "version must not be empty"));
    if (kind === "") errors.push(fieldInvalid(`${path}.kind`, kind, "must not be empty"));
    if (name === "") errors.push(fieldInvalid(`${path}.name`, name, "must not be empty"));
    if (uid === "") errors.push(fieldInvalid(`${path}.uid`, uid, "must not be empty"));
    if (apiVersion === "v1" && kind === "Event")
      errors.push(fieldInvalid(path, reference, "/v1, Kind=Event is disallowed from being an owner"));
    if (reference.controller !== true) continue;
    const shown = `${kind}/${name}`;
    if (controller === undefined) controller = shown;
    else
      errors.push(
        fieldInvalid(
          path,
          ownerReferences,
          `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${shown}`,
        ),
      );
  }
  return errors;
}

const NAMESPACES = { kind: { group: "", resource: "namespaces" } };
const FIELDS_TYPE = "FieldsV1";

/** What is wrong with the metadata of an object inside another one, at the path of its metadata. */
export function embeddedMetadataErrors(metadata: ObjectMeta, path: string): readonly FieldError[] {
  const { name = "", generateName = "", namespace = "", generation = 0, managedFields = [] } = metadata;
  const invalid = (member: string, value: unknown, texts: readonly string[]) =>
    texts.map((text) => fieldInvalid(`metadata.${member}`, value, text));
  const errors = [
    ...invalid("generateName", generateName, pathSegmentErrors(generateName, true)),
    ...invalid("name", name, pathSegmentErrors(name)),
    ...(namespace === "" ? [] : invalid("namespace", namespace, nameErrors(NAMESPACES, namespace))),
    ...(generation < 0 ? invalid("generation", generation, ["must be greater than or equal to 0"]) : []),
    ...labelErrorsOf(metadata, undefined),
    ...annotationErrorsOf(metadata, undefined),
    ...ownerErrors(metadata),
    ...finalizerErrors(metadata, undefined, false).names,
    ...managedFields.flatMap(({ operation = "", fieldsType = "" }, at) => [
      ...(operation === "Apply" || operation === "Update"
        ? []
        : invalid(`managedFields[${at}].operation`, operation, ["must be `Apply` or `Update`"])),
      ...(fieldsType === "" || fieldsType === FIELDS_TYPE
        ? []
        : invalid(`managedFields[${at}].fieldsType`, fieldsType, [`must be \`${FIELDS_TYPE}\``])),
    ]),
  ];
  return errors.map((error) => ({ ...error, field: `${path}${error.field.slice("metadata".length)}` }));
}

/** What is wrong with a text that is a part of a path; of a prefix more follows. */
function pathSegmentErrors(text: string, isPrefix = false): readonly string[] {
  if (!isPrefix && (text === "." || text === "..")) return [`may not be '${text}'`];
  return ["/", "%"].filter((sign) => text.includes(sign)).map((sign) => `may not contain '${sign}'`);
}

/** What a client sends of the server's own times must be what the server has. */
function immutableErrors(metadata: ObjectMeta, old: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (metadata.uid !== old.uid) errors.push(fieldInvalid("metadata.uid", metadata.uid, "field is immutable"));
  for (const name of ["deletionTimestamp", "deletionGracePeriodSeconds"] as const)
    if (metadata[name] !== undefined && metadata[name] !== old[name])
      errors.push(fieldInvalid(`metadata.${name}`, metadata[name], "field is immutable"));
  return errors;
}

/** Owner references, each owner once; `warn` hears of those given twice. */
export function withoutRepeatedOwners(metadata: ObjectMeta, warn: (message: string) => void): ObjectMeta {
  const { ownerReferences } = metadata;
  if (ownerReferences === undefined || ownerReferences.length < 2) return metadata;
  const seen = new Set<string>();
  const repeated = new Set<string>();
  const kept = ownerReferences.filter((reference) => {
    const key = JSON.stringify(Object.entries(reference).sort());
    if (!seen.has(key)) return seen.add(key);
    repeated.add(reference.uid);
    return false;
  });
  if (repeated.size === 0) return metadata;
  warn(
    `.metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${[...repeated].join(", ")}`,
  );
  return { ...metadata, ownerReferences: kept };
}

const GENERATED = "bcdfghjklmnpqrstvwxz2456789";
const GENERATED_BASE_MAX = 58;

export function generatedName(base: string, random: Random): string {
  let suffix = "";
  for (let at = 0; at < 5; at++) suffix += GENERATED[random.below(GENERATED.length)];
  return base.slice(0, GENERATED_BASE_MAX) + suffix;
}

const STRINGS = [
  "name",
  "generateName",
  "namespace",
  "uid",
  "resourceVersion",
  "selfLink",
  "creationTimestamp",
  "deletionTimestamp",
] as const;
const TEXTS = new Set<string>(STRINGS);
const TIMES = ["creationTimestamp", "deletionTimestamp"] as const;
const NUMBERS = new Set(["generation", "deletionGracePeriodSeconds"]);
const MAPS = new Set(["labels", "annotations"]);
const LISTS = [
  ["finalizers", "string", "[]string"],
  ["ownerReferences", "object", "[]v1.OwnerReference"],
  ["managedFields", "object", "[]v1.ManagedFieldsEntry"],
] as const;

const TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;

const typeOf = (value: unknown) =>
  value === null ? "null" : Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;

/**
 * Metadata as a client sent it, with null taken for absent. What is of another type than Kubernetes' is named by
 * `refuse`, which gives the error to throw.
 */
export function decodeMetadata(
  sent: unknown,
  { kind, origin }: { readonly kind: { readonly kind: string }; readonly origin: ResourceDefinition["origin"] },
  refuse: (detail: string) => Error,
): ObjectMeta {
  if (sent === undefined || sent === null) return {};
  const mismatch = (found: unknown, field: string, type: string) =>
    refuse(
      `json: cannot unmarshal ${typeOf(found)}${type === "int64" && typeof found === "number" ? ` ${found}` : ""} into Go struct field ObjectMeta${origin === "custom" ? "" : ".metadata"}${field} of type ${type}`,
    );
  if (!isJsonObject(sent))
    throw refuse(
      `json: cannot unmarshal ${typeOf(sent)} into Go ${origin === "custom" ? "value" : `struct field ${kind.kind}.metadata`} of type v1.ObjectMeta`,
    );
  // A time that is none ends the reading of Go at once; other mistakes are told at its end, the first of them.
  for (const name of TIMES) {
    const time = sent[name];
    if (typeof time === "string" && !TIME.test(time))
      throw refuse(timeMistake(time, SECONDS) ?? timeMistake("", SECONDS) ?? "");
  }
  // Custom objects are maps, and maps have the order of their keys.
  const inOrder = <T extends object>(of: T): readonly (keyof T & string)[] => {
    const keys = Object.keys(of) as (keyof T & string)[];
    return origin === "custom" ? keys.sort() : keys;
  };
  const metadata: Record<string, unknown> = {};
  for (const name in sent) if (KNOWN.has(name) && sent[name] !== null) metadata[name] = sent[name];
  for (const name of inOrder(sent)) {
    const value = metadata[name];
    if (value === undefined) continue;
    if (TEXTS.has(name) && typeof value !== "string")
      throw mismatch(value, `.${name}`, name === "uid" ? "types.UID" : "string");
    if (NUMBERS.has(name) && !Number.isInteger(value)) throw mismatch(value, `.${name}`, "int64");
    if (MAPS.has(name)) {
      if (!isJsonObject(value)) throw mismatch(value, `.${name}`, "map[string]string");
      const read = decodeMap(value, inOrder(value), (found) => mismatch(found, `.${name}`, "string"));
      if (read !== value) metadata[name] = read;
    }
    const [, element, type] = LISTS.find(([list]) => list === name) ?? [];
    if (element === undefined || type === undefined) continue;
    if (!Array.isArray(value)) throw mismatch(value, `.${name}`, type);
    const wrong = value.find(
      (item) => item !== null && (element === "string" ? typeof item !== "string" : !isJsonObject(item)),
    );
    if (wrong !== undefined) throw mismatch(wrong, `.${name}`, type.slice(2));
    if (element === "string") {
      // Go reads null in a list as the zero value of the element.
      if (value.includes(null)) metadata[name] = value.map((item: unknown) => item ?? "");
      continue;
    }
    const read = (item: Readonly<Record<string, unknown>> | null) => decodeEntry(name, item, refuse);
    const decoded = value.map(read);
    if (decoded.some((item, at) => item !== value[at])) metadata[name] = decoded;
  }
  return metadata;
}

/** A map of texts as Go reads it: null is the zero value. */
function decodeMap(
  map: Readonly<Record<string, unknown>>,
  keys: readonly string[],
  mismatch: (found: unknown) => Error,
): Readonly<Record<string, unknown>> {
  let filled: Record<string, unknown> | undefined;
  for (const key of keys) {
    const value = map[key];
    if (typeof value === "string") continue;
    if (value !== null) throw mismatch(value);
    setOwn((filled ??= { ...map }), key, "");
  }
  return filled ?? map;
}

const KNOWN = new Set<string>([
  ...STRINGS,
  ...MAPS,
  ...LISTS.map(([name]) => name),
  "generation",
  "deletionGracePeriodSeconds",
]);

interface EntryMember {
  /** Its type in Go; one that is not written down may be any. */
  readonly type?: string;
  /** What Go writes where it is absent. */
  readonly zero?: string;
}
const text = { type: "string" };
const ENTRIES: Readonly<
  Record<string, { readonly struct: string; readonly members: ReadonlyMap<string, EntryMember> }>
> = {
  ownerReferences: {
    struct: "OwnerReference",
    members: new Map<string, EntryMember>([
      ["apiVersion", { type: "string", zero: "" }],
      ["kind", { type: "string", zero: "" }],
      ["name", { type: "string", zero: "" }],
      ["uid", { type: "types.UID", zero: "" }],
      ["controller", { type: "bool" }],
      ["blockOwnerDeletion", { type: "bool" }],
    ]),
  },
  managedFields: {
    struct: "ManagedFieldsEntry",
    members: new Map<string, EntryMember>([
      ["manager", text],
      ["operation", { type: "v1.ManagedFieldsOperationType" }],
      ["apiVersion", text],
      ["time", text],
      ["fieldsType", text],
      ["fieldsV1", {}],
      ["subresource", text],
    ]),
  },
};

/** An entry of a list in metadata as Go reads it: without what it does not know, and with what it always writes. */
function decodeEntry(
  list: keyof typeof ENTRIES,
  sent: Readonly<Record<string, unknown>> | null,
  refuse: (detail: string) => Error,
): Readonly<Record<string, unknown>> {
  const { struct, members } = ENTRIES[list] as (typeof ENTRIES)[string];
  const item = sent ?? {};
  let isSame = sent !== null;
  for (const key in item) {
    const value = item[key];
    const type = members.get(key)?.type;
    if (value === null || !members.has(key)) isSame = false;
    else if (type !== undefined && typeof value !== (type === "bool" ? "boolean" : "string"))
      throw refuse(
        `json: cannot unmarshal ${typeOf(value)} into Go struct field ${struct}.metadata.${list}.${key} of type ${type}`,
      );
  }
  for (const [key, { zero }] of members) if (zero !== undefined && item[key] === undefined) isSame = false;
  if (isSame) return item;
  const entries = [...members].flatMap(([key, { zero }]) => {
    const value = item[key] ?? zero;
    return value === undefined ? [] : [[key, value] as const];
  });
  return Object.fromEntries(entries);
}

/** Paths of members of metadata that Kubernetes does not know. They are never stored. */
export function unknownMetadata(metadata: unknown): string[] {
  if (!isJsonObject(metadata)) return [];
  const unknown: string[] = [];
  for (const key in metadata) if (!KNOWN.has(key)) unknown.push(`metadata.${key}`);
  for (const [name, { members }] of Object.entries(ENTRIES)) {
    const list = metadata[name];
    if (!Array.isArray(list)) continue;
    for (const [at, item] of (list as readonly unknown[]).entries())
      for (const key in item as object | null) if (!members.has(key)) unknown.push(`metadata.${name}[${at}].${key}`);
  }
  return unknown;
}

export const namespaceMismatch = () =>
  badRequest("the namespace of the provided object does not match the namespace sent on the request");

/** The metadata a new object gets: what the server owns is the server's. */
export function metadataForCreate(
  definition: ResourceDefinition,
  given: ObjectMeta | undefined,
  namespace: string | undefined,
  nowMs: number,
  random: Random,
): ObjectMeta {
  const metadata = given ?? {};
  if (
    namespace !== undefined &&
    metadata.namespace !== undefined &&
    metadata.namespace !== "" &&
    metadata.namespace !== namespace
  )
    throw namespaceMismatch();
  const name = metadata.name || (metadata.generateName ? generatedName(metadata.generateName, random) : "");
  const result: Record<string, unknown> = {};
  if (name !== "") result["name"] = name;
  if (metadata.generateName) result["generateName"] = metadata.generateName;
  if (namespace !== undefined && definition.kind.namespaced) result["namespace"] = namespace;
  result["uid"] = random.uuid();
  // Kinds that count no generations keep what a client says, as Kubernetes does.
  if (definition.hasGeneration) result["generation"] = 1;
  else if (metadata.generation) result["generation"] = metadata.generation;
  result["creationTimestamp"] = formatTime(nowMs);
  for (const field of CLIENTS_OWN) if (!isEmpty(metadata[field])) result[field] = metadata[field];
  if (!isEmpty(metadata.managedFields)) result["managedFields"] = metadata.managedFields;
  return result;
}

/** Empty maps and lists are absent, as Kubernetes writes them. */
function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value !== "object") return false;
  for (const _key in value) return false;
  return true;
}

/** The metadata an update leads to: the server's part stays as it was. */
export function metadataForUpdate(
  definition: ResourceDefinition,
  given: ObjectMeta | undefined,
  old: KubeObject,
  isPatch = false,
): ObjectMeta {
  const metadata = given ?? {};
  const present = old.metadata;
  const isOther = Boolean(metadata.uid) && metadata.uid !== present.uid;
  if (!isPatch) mustBeThis(definition, metadata.uid, old);
  if (metadata === present) return present;
  const result: Record<string, unknown> = {};
  for (const field of SERVERS_OWN) if (present[field] !== undefined) result[field] = present[field];
  // Another uid is a condition where an object is replaced, and a mistake where one is changed.
  if (isOther) result["uid"] = metadata.uid;
  if (metadata.generateName) result["generateName"] = metadata.generateName;
  for (const field of ["deletionTimestamp", "deletionGracePeriodSeconds"] as const)
    if (metadata[field] !== undefined) result[field] = metadata[field];
  for (const field of CLIENTS_OWN) if (!isEmpty(metadata[field])) result[field] = metadata[field];
  // An empty list is the word for forgetting all owners, as one entry that says nothing is; saying nothing of them is not.
  // In custom resources it says nothing.
  const managedFields =
    metadata.managedFields?.length === 0 && definition.origin === "builtin"
      ? [{}]
      : isEmpty(metadata.managedFields)
        ? present.managedFields
        : metadata.managedFields;
  if (!isEmpty(managedFields)) result["managedFields"] = managedFields;
  return result;
}

/** Refuses to replace an object by one that was made from another. */
export function mustBeThis(definition: ResourceDefinition, uid: string | undefined, { metadata }: KubeObject): void {
  if (!uid || uid === metadata.uid) return;
  throw conflict(
    definition.kind,
    metadata.name ?? "",
    `StorageError: invalid object, Code: 4, Key: ${definition.storage.prefix}${objectKey(metadata.namespace, metadata.name ?? "")}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid}`,
  );
}

/** What a client cannot change, in the order it is written. */
const SERVERS_OWN = [
  "name",
  "namespace",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
] as const;
const CLIENTS_OWN = ["labels", "annotations", "ownerReferences", "finalizers"] as const;
