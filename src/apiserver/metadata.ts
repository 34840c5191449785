import type { Random } from "#base";
import {
  badRequest,
  conflict,
  type FieldError,
  fieldInvalid,
  fieldForbidden,
  fieldRequired,
  formatTime,
  isJsonObject,
  type KubeObject,
  DNS_LABEL,
  DNS_1035_LABEL,
  DNS_1035_LABEL_TEXT,
  DNS_LABEL_TEXT,
  LABEL_VALUE,
  LABEL_VALUE_TEXT,
  type ObjectMeta,
  DNS_SUBDOMAIN,
  DNS_SUBDOMAIN_TEXT,
} from "#machinery";
import type { ResourceDefinition } from "./definition.ts";

const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

const QUALIFIED_TEXT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

const PATH_SEGMENT_RESOURCES = new Set([
  "roles",
  "rolebindings",
  "clusterroles",
  "clusterrolebindings",
  "certificatesigningrequests",
]);
const LABEL_RESOURCES = new Set(["namespaces"]);

/** What is wrong with a name; empty when nothing is. */
export function nameErrors(definition: ResourceDefinition, name: string): readonly string[] {
  const { group, resource } = definition.kind;
  if (
    (group === "rbac.authorization.k8s.io" || group === "certificates.k8s.io") &&
    PATH_SEGMENT_RESOURCES.has(resource)
  ) {
    if (name === "." || name === "..") return [`may not be '${name}'`];
    return ["/", "%"].filter((text) => name.includes(text)).map((text) => `may not contain '${text}'`);
  }
  const errors: string[] = [];
  if (group === "" && resource === "services") {
    if (name.length > 63) errors.push("must be no more than 63 bytes");
    if (!DNS_1035_LABEL.test(name)) errors.push(DNS_1035_LABEL_TEXT);
    return errors;
  }
  if (group === "batch" && resource === "cronjobs" && name.length > 52)
    errors.push("must be no more than 52 characters");
  if ((group === "" && LABEL_RESOURCES.has(resource)) || (group === "apps" && resource === "statefulsets")) {
    if (name.length > 63) errors.push("must be no more than 63 bytes");
    if (!DNS_LABEL.test(name)) errors.push(DNS_LABEL_TEXT);
    return errors;
  }
  if (name.length > 253) errors.push("must be no more than 253 bytes");
  if (!DNS_SUBDOMAIN.test(name)) errors.push(DNS_SUBDOMAIN_TEXT);
  return errors;
}

function keyErrors(key: string): readonly string[] {
  const parts = key.split("/");
  const name = parts[parts.length - 1] ?? "";
  const errors: string[] = [];
  if (parts.length > 2)
    return [
      "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    ];
  if (parts.length === 2) {
    const prefix = parts[0] ?? "";
    if (prefix === "") errors.push("prefix part must be non-empty");
    else if (!DNS_SUBDOMAIN.test(prefix)) errors.push(`prefix part ${DNS_SUBDOMAIN_TEXT}`);
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (name.length > 63) errors.push("name part must be no more than 63 bytes");
  if (name !== "" && !QUALIFIED.test(name)) errors.push(QUALIFIED_TEXT);
  return errors;
}

/** Labels as they appear in many kinds. */
export function validateLabels(labels: Readonly<Record<string, string>> | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    for (const text of keyErrors(key)) errors.push(fieldInvalid(path, key, text));
    if (typeof value !== "string") continue;
    if (value.length > 63) errors.push(fieldInvalid(path, value, "must be no more than 63 bytes"));
    if (!LABEL_VALUE.test(value)) errors.push(fieldInvalid(path, value, LABEL_VALUE_TEXT));
  }
  return errors;
}

const validated = new WeakSet<object>();
const ANNOTATIONS_BYTES_MAX = 256 * 1024;

/** Mistakes of metadata. Maps that were looked at before are not looked at again. */
export function validateMetadata(
  definition: ResourceDefinition,
  object: KubeObject,
  old: KubeObject | undefined,
): FieldError[] {
  const { metadata } = object;
  const errors: FieldError[] = [];
  const name = metadata.name ?? "";
  if (old === undefined) {
    if (name === "") errors.push(fieldRequired("metadata.name", "name or generateName is required"));
    else for (const text of nameErrors(definition, name)) errors.push(fieldInvalid("metadata.name", name, text));
  }
  if (metadata.labels !== undefined && metadata.labels !== old?.metadata.labels && !validated.has(metadata.labels)) {
    const found = validateLabels(metadata.labels, "metadata.labels");
    if (found.length === 0) validated.add(metadata.labels);
    errors.push(...found);
  }
  if (
    metadata.annotations !== undefined &&
    metadata.annotations !== old?.metadata.annotations &&
    !validated.has(metadata.annotations)
  ) {
    let bytes = 0;
    const before = errors.length;
    for (const [key, value] of Object.entries(metadata.annotations)) {
      for (const text of keyErrors(key.toLowerCase())) errors.push(fieldInvalid("metadata.annotations", key, text));
      bytes += key.length + String(value).length;
    }
    if (bytes > ANNOTATIONS_BYTES_MAX)
      errors.push({
        type: "FieldValueTooLong",
        field: "metadata.annotations",
        message: `Too long: may not be more than ${ANNOTATIONS_BYTES_MAX} bytes`,
      });
    if (errors.length === before) validated.add(metadata.annotations);
  }
  for (const finalizer of metadata.finalizers ?? [])
    for (const text of keyErrors(finalizer)) errors.push(fieldInvalid("metadata.finalizers", finalizer, text));
  if (old?.metadata.deletionTimestamp !== undefined) {
    const present = new Set(old.metadata.finalizers ?? []);
    const added = (metadata.finalizers ?? []).filter((finalizer) => !present.has(finalizer));
    if (added.length > 0)
      errors.push(
        fieldForbidden(
          "metadata.finalizers",
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((text) => JSON.stringify(text)).join(", ")}}`,
        ),
      );
  }
  for (const [at, reference] of (metadata.ownerReferences ?? []).entries()) {
    const path = `metadata.ownerReferences[${at}]`;
    if (!reference.apiVersion)
      errors.push(fieldInvalid(`${path}.apiVersion`, reference.apiVersion ?? "", "version must not be empty"));
    if (!reference.kind) errors.push(fieldInvalid(`${path}.kind`, reference.kind ?? "", "must not be empty"));
    if (!reference.name) errors.push(fieldInvalid(`${path}.name`, reference.name ?? "", "must not be empty"));
    if (!reference.uid) errors.push(fieldInvalid(`${path}.uid`, reference.uid ?? "", "must not be empty"));
  }
  if ((metadata.ownerReferences ?? []).filter(({ controller }) => controller).length > 1)
    errors.push(
      fieldInvalid(
        "metadata.ownerReferences",
        metadata.ownerReferences,
        "Only one reference can have Controller set to true",
      ),
    );
  return errors;
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
const MAPS = ["labels", "annotations"] as const;
const LISTS = [
  ["finalizers", "string", "[]string"],
  ["ownerReferences", "object", "[]v1.OwnerReference"],
  ["managedFields", "object", "[]v1.ManagedFieldsEntry"],
] as const;

const typeOf = (value: unknown) =>
  value === null ? "null" : Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;

/**
 * Metadata as a client sent it, with null taken for absent. What is of another type than Kubernetes' is named by
 * `refuse`, which gives the error to throw.
 */
export function decodeMetadata(sent: unknown, refuse: (detail: string) => Error): ObjectMeta {
  if (sent === undefined || sent === null) return {};
  const mismatch = (found: unknown, field: string, type: string) =>
    refuse(`json: cannot unmarshal ${typeOf(found)} into Go struct field ObjectMeta.metadata${field} of type ${type}`);
  if (!isJsonObject(sent)) throw mismatch(sent, "", "v1.ObjectMeta");
  for (const name of STRINGS)
    if (sent[name] !== undefined && sent[name] !== null && typeof sent[name] !== "string")
      throw mismatch(sent[name], `.${name}`, name.endsWith("Timestamp") ? "v1.Time" : "string");
  for (const name of ["generation", "deletionGracePeriodSeconds"])
    if (sent[name] !== undefined && sent[name] !== null && !Number.isInteger(sent[name]))
      throw mismatch(sent[name], `.${name}`, "int64");
  let changed: Record<string, unknown> | undefined;
  for (const name of MAPS) {
    const map = sent[name];
    if (map === undefined || map === null) continue;
    if (!isJsonObject(map)) throw mismatch(map, `.${name}`, "map[string]string");
    for (const key in map) {
      const value = map[key];
      if (typeof value === "string") continue;
      if (value !== null) throw mismatch(value, `.${name}`, "string");
      changed ??= { ...sent };
      changed[name] = { ...(changed[name] as object), [key]: "" };
    }
  }
  for (const [name, element, type] of LISTS) {
    const list = sent[name];
    if (list === undefined || list === null) continue;
    if (!Array.isArray(list)) throw mismatch(list, `.${name}`, type);
    const wrong = list.find((item) => (element === "string" ? typeof item !== "string" : !isJsonObject(item)));
    if (wrong !== undefined) throw mismatch(wrong, `.${name}`, type.slice(2));
  }
  return (changed ?? sent) as ObjectMeta;
}

const KNOWN = new Set<string>([
  ...STRINGS,
  ...MAPS,
  ...LISTS.map(([name]) => name),
  "generation",
  "deletionGracePeriodSeconds",
]);
const LIST_MEMBERS: Readonly<Record<string, ReadonlySet<string>>> = {
  ownerReferences: new Set(["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"]),
  managedFields: new Set(["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource"]),
};

/** Paths of members of metadata that Kubernetes does not know. They are never stored. */
export function unknownMetadata(metadata: ObjectMeta): string[] {
  const unknown: string[] = [];
  for (const key in metadata) if (!KNOWN.has(key)) unknown.push(`metadata.${key}`);
  for (const [name, members] of Object.entries(LIST_MEMBERS)) {
    const list = metadata[name as "ownerReferences"] as readonly object[] | undefined | null;
    for (const [at, item] of (list ?? []).entries())
      for (const key in item) if (!members.has(key)) unknown.push(`metadata.${name}[${at}].${key}`);
  }
  return unknown;
}

/** The metadata a new object gets: what the server owns is the server's. */
export function metadataForCreate(
  definition: ResourceDefinition,
  given: ObjectMeta | undefined,
  namespace: string | undefined,
  nowMs: number,
  random: Random,
): ObjectMeta {
  const metadata = given ?? {};
  if (metadata.resourceVersion) throw badRequest("resourceVersion should not be set on objects to be created");
  if (
    namespace !== undefined &&
    metadata.namespace !== undefined &&
    metadata.namespace !== "" &&
    metadata.namespace !== namespace
  )
    throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
  const {
    resourceVersion: _rv,
    selfLink: _link,
    deletionTimestamp: _dt,
    deletionGracePeriodSeconds: _dg,
    uid: _uid,
    generation: _gen,
    namespace: _ns,
    ...kept
  } = metadata;
  const name = metadata.name || (metadata.generateName ? generatedName(metadata.generateName, random) : "");
  return {
    ...(name === "" ? {} : { name }),
    ...(kept.generateName ? { generateName: kept.generateName } : {}),
    ...(namespace === undefined || !definition.kind.namespaced ? {} : { namespace }),
    uid: random.uuid(),
    ...(definition.hasGeneration ? { generation: 1 } : {}),
    creationTimestamp: formatTime(nowMs),
    ...without(kept),
  };

  function without(rest: typeof kept): Partial<ObjectMeta> {
    const { labels, annotations, finalizers, ownerReferences, managedFields } = rest;
    return dropEmpty({ labels, annotations, ownerReferences, finalizers, managedFields }) as Partial<ObjectMeta>;
  }
}

/** Empty maps and lists are absent, as Kubernetes writes them. */
export function dropEmpty<T extends object>(metadata: T): T {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(metadata)) {
    if (value === null || value === undefined) continue;
    if (Array.isArray(value) ? value.length === 0 : typeof value === "object" && Object.keys(value).length === 0)
      continue;
    result[key] = value;
  }
  return result as T;
}

/** The metadata an update leads to: the server's part stays as it was. */
export function metadataForUpdate(
  definition: ResourceDefinition,
  given: ObjectMeta | undefined,
  old: KubeObject,
): ObjectMeta {
  const metadata = given ?? {};
  const present = old.metadata;
  if (metadata.uid && metadata.uid !== present.uid)
    throw conflict(
      definition.kind,
      present.name ?? "",
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${present.uid}`,
    );
  const {
    uid,
    creationTimestamp,
    namespace,
    name,
    generation,
    deletionTimestamp,
    deletionGracePeriodSeconds,
    resourceVersion,
    generateName,
  } = present;
  const { labels, annotations, finalizers, ownerReferences, managedFields } = metadata;
  const kept = {
    labels,
    annotations,
    ownerReferences,
    finalizers,
    managedFields: managedFields !== undefined && managedFields.length > 0 ? managedFields : present.managedFields,
  };
  return {
    ...(name === undefined ? {} : { name }),
    ...(generateName === undefined ? {} : { generateName }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(generation === undefined ? {} : { generation }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(deletionGracePeriodSeconds === undefined ? {} : { deletionGracePeriodSeconds }),
    ...(dropEmpty(kept) as Partial<ObjectMeta>),
  };
}
