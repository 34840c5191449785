import {
  type DeleteOptions,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  badRequest,
  invalid,
  isJsonObject,
  type ListOptions,
  parseFieldSelector,
  parseLabelSelector,
  Schema,
  type WriteOptions,
} from "#machinery";
import { builtinSchemas, resolveBuiltin } from "../builtin/schemas.ts";
import { goMismatch } from "../verbs/go-decoding.ts";

const FIELD_MANAGER_BYTES_MAX = 128;

/** The options of a list, a watch or a deletion of many. Throws 400 for a number or selector that is none. */
export function listOptions(query: URLSearchParams): ListOptions & { readonly timeoutSeconds?: number } {
  const options: Record<string, string | number> = {};
  for (const key of ["labelSelector", "fieldSelector", "continue", "resourceVersion", "resourceVersionMatch"]) {
    const value = query.get(key);
    if (value !== null && value !== "") options[key] = value;
  }
  const timeoutSeconds = integerIn(query, "timeoutSeconds");
  if (timeoutSeconds !== undefined) options["timeoutSeconds"] = timeoutSeconds;
  const limit = integerIn(query, "limit") ?? 0;
  if (limit > 0) options["limit"] = limit;
  // Selectors are read before anything else is looked at, the one by labels first.
  const { labelSelector, fieldSelector } = options as ListOptions;
  if (labelSelector !== undefined) mustParse(() => parseLabelSelector(labelSelector));
  if (fieldSelector !== undefined) mustParse(() => parseFieldSelector(fieldSelector));
  return options;
}

function mustParse(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    throw badRequest(error instanceof Error ? error.message : String(error));
  }
}

const INT64_MAX = 2n ** 63n - 1n;

/** A whole number in a query, `undefined` where there is none; what is there and no number is a 400 as Go's parser says it. */
export function integerIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const refuse = (why: string) => badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: ${why}`);
  if (!/^[+-]?\d+$/.test(text)) throw refuse("invalid syntax");
  const value = BigInt(text.replace("+", ""));
  if (value > INT64_MAX || value < -INT64_MAX - 1n) throw refuse("value out of range");
  return Number(value);
}

/** Go's booleans in queries: absent is undefined, and whatever is not `false` or `0` is true. */
export function booleanOf(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name);
  if (value === null) return undefined;
  return value !== "0" && value.toLowerCase() !== "false";
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
  const force = booleanOf(query, "force");
  const manager = query.get("fieldManager") ?? "";
  if (kind === "PatchOptions" && force !== undefined && !isApply)
    errors.push(fieldForbidden("force", "may not be specified for non-apply patch"));
  if (isApply && manager === "") errors.push(fieldRequired("fieldManager", "is required for apply patch"));
  if (Buffer.byteLength(manager) > FIELD_MANAGER_BYTES_MAX)
    errors.push(fieldTooLong("fieldManager", FIELD_MANAGER_BYTES_MAX));
  const odd = [...manager].findIndex((character) => /\p{C}/u.test(character));
  if (odd >= 0) {
    const code = ([...manager][odd] as string).codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
    errors.push(fieldInvalid("fieldManager", manager, `invalid character U+${code} (at position ${odd})`));
  }
  const dryRun = query.getAll("dryRun");
  errors.push(...dryRunErrors(dryRun));
  const validation = query.get("fieldValidation") ?? "";
  if (!["", "Ignore", "Warn", "Strict"].includes(validation))
    errors.push(fieldNotSupported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]));
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
  const given = body === undefined ? optionsInQuery(query) : optionsInBody(body);
  const errors: FieldError[] = [];
  const { dryRun = [], propagationPolicy: policy, orphanDependents } = given;
  if (policy !== undefined && orphanDependents !== undefined)
    errors.push(
      fieldInvalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"),
    );
  if (policy !== undefined && !POLICIES.includes(policy))
    errors.push(fieldNotSupported("propagationPolicy", policy, [...POLICIES, "nil"]));
  errors.push(...dryRunErrors(dryRun));
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "DeleteOptions" }, "", errors);
  const { dryRun: _dryRun, ...rest } = given;
  return { ...rest, ...(dryRun.length > 0 ? { dryRun: true } : {}) } as DeleteOptions;
}

/** Options as they are written, before anybody has looked whether they go together. */
interface GivenDeletion {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: string;
  readonly orphanDependents?: boolean;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: readonly unknown[];
}

function optionsInQuery(query: URLSearchParams): GivenDeletion {
  const given: Record<string, unknown> = {
    gracePeriodSeconds: integerIn(query, "gracePeriodSeconds"),
    propagationPolicy: query.get("propagationPolicy") ?? undefined,
    orphanDependents: booleanOf(query, "orphanDependents"),
    dryRun: query.has("dryRun") ? query.getAll("dryRun") : undefined,
  };
  const preconditions = Object.fromEntries(
    ["uid", "resourceVersion"].flatMap((name) => (query.get(name) ? [[name, query.get(name)]] : [])),
  );
  if (Object.keys(preconditions).length > 0) given["preconditions"] = preconditions;
  return withoutNothing(given);
}

let compiled: Schema | undefined;
const deletionSchema = (): Schema =>
  (compiled ??= Schema.compile(builtinSchemas()["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"] ?? {}, {
    resolve: resolveBuiltin,
    isPublished: true,
  }));

function optionsInBody(body: Readonly<Record<string, unknown>>): GivenDeletion {
  const mismatch = goMismatch(deletionSchema(), body, "DeleteOptions");
  if (mismatch !== undefined) throw badRequest(mismatch);
  const { gracePeriodSeconds, propagationPolicy, orphanDependents, preconditions, dryRun } = body;
  return withoutNothing({
    gracePeriodSeconds,
    propagationPolicy,
    orphanDependents,
    preconditions: isJsonObject(preconditions)
      ? withoutNothing({ uid: preconditions["uid"], resourceVersion: preconditions["resourceVersion"] })
      : undefined,
    // In Go, a text that is null is an empty one.
    dryRun: Array.isArray(dryRun) ? dryRun.map((value: unknown) => value ?? "") : undefined,
  });
}

const withoutNothing = (members: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined && value !== null));
