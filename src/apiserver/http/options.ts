import {
  type DeleteOptions,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldTooLong,
  badRequest,
  invalid,
  isJsonObject,
  type ListOptions,
  type WriteOptions,
} from "#machinery";

const FIELD_MANAGER_BYTES_MAX = 128;

/** The options of a list, a watch or a deletion of many. */
export function listOptions(query: URLSearchParams): ListOptions {
  const options: Record<string, string | number> = {};
  for (const key of ["labelSelector", "fieldSelector", "continue", "resourceVersion", "resourceVersionMatch"]) {
    const value = query.get(key);
    if (value !== null && value !== "") options[key] = value;
  }
  const limit = query.get("limit");
  if (limit !== null && limit !== "") options["limit"] = Math.max(0, integerOf(limit));
  if (options["limit"] === 0) delete options["limit"];
  return options;
}

/** A whole number in a query, or 400 as Go's parser says it. */
export function integerOf(text: string): number {
  if (!/^[+-]?\d{1,18}$/.test(text))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

/** Go's booleans in queries: absent is undefined, present and empty is true. */
export function booleanOf(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name);
  if (value === null) return undefined;
  return !(value === "false" || value === "0" || value.toLowerCase() === "f");
}

const dryRunErrors = (dryRun: readonly unknown[]): FieldError[] =>
  dryRun.every((value) => value === "All") ? [] : [fieldNotSupported("dryRun", dryRun, ["All"])];

/** The options of a create, update or patch; `kind` names them in messages. */
export function writeOptions(
  query: URLSearchParams,
  kind: "CreateOptions" | "UpdateOptions" | "PatchOptions",
  userAgent: string | undefined,
  isApply = false,
): WriteOptions {
  const errors: FieldError[] = [];
  const dryRun = query.getAll("dryRun");
  errors.push(...dryRunErrors(dryRun));
  const manager = query.get("fieldManager") ?? "";
  if (Buffer.byteLength(manager) > FIELD_MANAGER_BYTES_MAX)
    errors.push(fieldTooLong("fieldManager", FIELD_MANAGER_BYTES_MAX));
  const odd = [...manager].findIndex((character) => /\p{C}/u.test(character));
  if (odd >= 0) {
    const code = ([...manager][odd] as string).codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
    errors.push(fieldInvalid("fieldManager", manager, `invalid character U+${code} (at position ${odd})`));
  }
  const validation = query.get("fieldValidation") ?? "";
  if (!["", "Ignore", "Warn", "Strict"].includes(validation))
    errors.push(fieldNotSupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]));
  const force = booleanOf(query, "force");
  if (kind === "PatchOptions" && force !== undefined && !isApply)
    errors.push(fieldForbidden("force", "may not be specified for non-apply patch"));
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind }, "", errors);
  const fallback = isApply ? "" : ((userAgent ?? "unknown").split("/")[0] as string).slice(0, FIELD_MANAGER_BYTES_MAX);
  return {
    ...(dryRun.length > 0 ? { dryRun: true } : {}),
    fieldManager: manager === "" ? fallback : manager,
    ...(manager === "" ? { hasDefaultManager: true } : {}),
    ...(validation === "" ? {} : { fieldValidation: validation as "Ignore" | "Warn" | "Strict" }),
    ...(force === true ? { force: true } : {}),
  };
}

const POLICIES = ["Foreground", "Background", "Orphan"];

/** The options of a deletion, from its body where it has one, else from the query. */
export function deleteOptions(
  query: URLSearchParams,
  body: Readonly<Record<string, unknown>> | undefined,
): DeleteOptions {
  const given: Record<string, unknown> = { ...body };
  if (body === undefined) {
    const policy = query.get("propagationPolicy");
    if (policy !== null && policy !== "") given["propagationPolicy"] = policy;
    const grace = query.get("gracePeriodSeconds");
    if (grace !== null && grace !== "") given["gracePeriodSeconds"] = integerOf(grace);
    const orphan = booleanOf(query, "orphanDependents");
    if (orphan !== undefined) given["orphanDependents"] = orphan;
    if (booleanOf(query, "ignoreStoreReadErrorWithClusterBreakingPotential"))
      given["ignoreStoreReadErrorWithClusterBreakingPotential"] = true;
    const dryRun = query.getAll("dryRun");
    if (dryRun.length > 0) given["dryRun"] = dryRun;
  }
  for (const [name, type] of [
    ["gracePeriodSeconds", "int64"],
    ["orphanDependents", "bool"],
    ["propagationPolicy", "string"],
    ["preconditions", "object"],
    ["dryRun", "array"],
    ["ignoreStoreReadErrorWithClusterBreakingPotential", "bool"],
  ] as const) {
    const value = given[name];
    if (value === undefined || value === null) {
      delete given[name];
      continue;
    }
    const isRight =
      type === "int64"
        ? Number.isInteger(value)
        : type === "bool"
          ? typeof value === "boolean"
          : type === "object"
            ? isJsonObject(value)
            : type === "array"
              ? Array.isArray(value)
              : typeof value === "string";
    if (!isRight)
      throw badRequest(
        `DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot unmarshal ${Array.isArray(value) ? "array" : typeof value} into Go struct field DeleteOptions.${name} of type ${type}`,
      );
  }
  const errors: FieldError[] = [];
  const dryRun = (given["dryRun"] ?? []) as readonly unknown[];
  const policy = given["propagationPolicy"];
  if (policy !== undefined && given["orphanDependents"] !== undefined)
    errors.push(
      fieldInvalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"),
    );
  if (policy !== undefined && !POLICIES.includes(policy as string))
    errors.push(fieldNotSupported("propagationPolicy", policy, [...POLICIES, "nil"]));
  errors.push(...dryRunErrors(dryRun));
  if (given["ignoreStoreReadErrorWithClusterBreakingPotential"] === true)
    errors.push(
      fieldForbidden(
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "deleting objects that cannot be read is not supported by this server",
      ),
    );
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "DeleteOptions" }, "", errors);
  const { dryRun: _dryRun, ...rest } = given;
  return { ...rest, ...(dryRun.length > 0 ? { dryRun: true } : {}) } as DeleteOptions;
}
