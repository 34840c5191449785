import { writeJson } from "./json.ts";
/**
 * API errors: each carries a Kubernetes Status, made by `notFound(kind, name)` and asked by `isNotFound(error)`.
 * Messages are kube-apiserver's (wire).
 */

export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface Status {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code?: number;
}

/** An answer of an API server that is not the object asked for. */
export class ApiError extends Error {
  readonly status: Status;
  constructor(status: Status, options?: ErrorOptions) {
    super(status.message ?? status.reason ?? "request failed", options);
    this.name = "ApiError";
    this.status = status;
  }
  get code(): number {
    return this.status.code ?? 500;
  }
  get reason(): string {
    return this.status.reason ?? "";
  }
}

/** Names a kind in messages: the plural resource with its group, such as `deployments.apps`. */
export interface Named {
  readonly group: string;
  readonly resource: string;
}

const qualified = (kind: Named) => (kind.group === "" ? kind.resource : `${kind.resource}.${kind.group}`);

export function statusFailure(code: number, reason: string, message: string, details?: StatusDetails): Status {
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason,
    ...(details === undefined ? {} : { details }),
    code,
  };
}

export function apiError(code: number, reason: string, message: string, details?: StatusDetails): ApiError {
  return new ApiError(statusFailure(code, reason, message, details));
}

/** A refusal in the words of a webhook, which may give no reason and details of its own. */
export function webhookRefusal(
  code: number,
  message: string,
  reason: string | undefined,
  details: StatusDetails | undefined,
): ApiError {
  const { reason: _none, ...rest } = statusFailure(code, "", message, details);
  return new ApiError((reason ? { ...rest, reason } : rest) as Status);
}

const detailsOf = (kind: Named, name: string): StatusDetails => ({
  ...(name === "" ? {} : { name }),
  ...(kind.group === "" ? {} : { group: kind.group }),
  kind: kind.resource,
});

export const notFound = (kind: Named, name: string): ApiError =>
  apiError(404, "NotFound", `${qualified(kind)} "${name}" not found`, detailsOf(kind, name));

export const alreadyExists = (kind: Named, name: string): ApiError =>
  apiError(409, "AlreadyExists", `${qualified(kind)} "${name}" already exists`, detailsOf(kind, name));

export const conflict = (kind: Named, name: string, why: string): ApiError =>
  apiError(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(kind)} "${name}": ${why}`,
    detailsOf(kind, name),
  );

/** The conflict of an update that was made from an older revision. */
export const staleConflict = (kind: Named, name: string): ApiError =>
  conflict(kind, name, "the object has been modified; please apply your changes to the latest version and try again");

/** A failure without a reason, as Kubernetes answers errors its handlers did not expect. */
export const plainFailure = (message: string): ApiError =>
  new ApiError({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, code: 500 });

/** 404 for what the server has no handler for. */
export const notServed = (): ApiError =>
  apiError(404, "NotFound", "the server could not find the requested resource", {});

export const methodNotAllowed = (): ApiError =>
  apiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {});

export const badRequest = (message: string): ApiError => apiError(400, "BadRequest", message);

export const unauthorized = (): ApiError => apiError(401, "Unauthorized", "Unauthorized");

export const forbidden = (kind: Named, name: string, why: string): ApiError =>
  apiError(
    403,
    "Forbidden",
    name === "" ? `${qualified(kind)} is forbidden: ${why}` : `${qualified(kind)} "${name}" is forbidden: ${why}`,
    detailsOf(kind, name),
  );

export const methodNotSupported = (kind: Named, verb: string): ApiError =>
  apiError(405, "MethodNotAllowed", `${verb} is not supported on resources of kind "${qualified(kind)}"`, {
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.resource,
  });

/** 410: the revision asked for is no longer held. Clients list again. */
export const resourceExpired = (message: string): ApiError => apiError(410, "Expired", message);

export const gone = (message: string): ApiError => apiError(410, "Gone", message);

export const tooManyRequests = (message: string, retryAfterSeconds: number): ApiError =>
  apiError(429, "TooManyRequests", message, { retryAfterSeconds });

export const serverTimeout = (kind: Named, verb: string, retryAfterSeconds: number): ApiError =>
  apiError(
    500,
    "ServerTimeout",
    `The ${verb} operation against ${qualified(kind)} could not be completed at this time, please try again.`,
    { ...detailsOf(kind, ""), retryAfterSeconds },
  );

export const serviceUnavailable = (message: string): ApiError => apiError(503, "ServiceUnavailable", message);

export const requestEntityTooLarge = (message: string): ApiError =>
  apiError(413, "RequestEntityTooLarge", `Request entity too large: ${message}`);

export const internalError = (error: unknown): ApiError => {
  const message = error instanceof Error ? error.message : String(error);
  return new ApiError(
    statusFailure(500, "InternalError", `Internal error occurred: ${message}`, { causes: [{ message }] }),
    { cause: error },
  );
};

/** One mistake in a field of an object. `type` decides the wording, as in kube-apiserver's field errors. */
export interface FieldError {
  /** Where it is, where the field does not say so. */
  readonly place?: string;
  readonly type:
    | "FieldValueNotFound"
    | "FieldValueRequired"
    | "FieldValueDuplicate"
    | "FieldValueInvalid"
    | "FieldValueNotSupported"
    | "FieldValueForbidden"
    | "FieldValueTooLong"
    | "FieldValueTooMany"
    | "FieldValueTypeInvalid"
    | "InternalError";
  readonly field: string;
  /** The message without the field, such as `Invalid value: "x": must be positive`. */
  readonly message: string;
}

/** A value inside a field error, as kube-apiserver writes it: texts quoted by Go, all else as Go's JSON. */
function shown(value: unknown): string {
  if (value === null || value === undefined) return "null";
  return typeof value === "string" ? goQuoted(value) : goJson(value);
}

/** Letters that Go writes by a name of their own, within whatever quotes. */
export const GO_ESCAPES: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
};
const ESCAPES: Readonly<Record<string, string>> = { ...GO_ESCAPES, '"': '\\"' };

/** A text in quotes as Go's `%q` writes it. */
export function goQuoted(text: string): string {
  const inner = text.replace(/["\\]|[^\P{C}]|\p{Zl}|\p{Zp}|(?! )\p{Zs}/gu, (letter) => {
    const known = ESCAPES[letter];
    if (known !== undefined) return known;
    const code = letter.codePointAt(0) as number;
    const hex = code.toString(16);
    if (code < 0x80) return `\\x${hex.padStart(2, "0")}`;
    return code < 0x1_0000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
  return `"${inner}"`;
}

/** JSON as Go writes values it knows no type of: every map by the order of its names. */
export function goSorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goSorted).join(",")}]`;
  if (typeof value !== "object" || value === null) return goJson(value ?? null);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${goJson(name)}:${goSorted(member)}`).join(",")}}`;
}

/** JSON as Go writes it, with what could be HTML escaped. */
export const goJson = (value: unknown): string =>
  writeJson(value).replace(
    /[<>&\u2028\u2029]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

export const fieldInvalid = (field: string, value: unknown, detail: string): FieldError => ({
  type: "FieldValueInvalid",
  field,
  message: `Invalid value: ${shown(value)}${detail === "" ? "" : `: ${detail}`}`,
});

export const fieldRequired = (field: string, detail = ""): FieldError => ({
  type: "FieldValueRequired",
  field,
  message: detail === "" ? "Required value" : `Required value: ${detail}`,
});

export const fieldForbidden = (field: string, detail: string): FieldError => ({
  type: "FieldValueForbidden",
  field,
  message: `Forbidden: ${detail}`,
});

export const fieldDuplicate = (field: string, value: unknown): FieldError => ({
  type: "FieldValueDuplicate",
  field,
  message: `Duplicate value: ${shown(value)}`,
});

export const fieldNotFound = (field: string, value: unknown): FieldError => ({
  type: "FieldValueNotFound",
  field,
  message: `Not found: ${shown(value)}`,
});

export const fieldNotSupported = (field: string, value: unknown, supported: readonly string[]): FieldError => ({
  type: "FieldValueNotSupported",
  field,
  message: `Unsupported value: ${shown(value)}: supported values: ${supported.map((v) => JSON.stringify(v)).join(", ")}`,
});

export const fieldTooLong = (field: string, maxLength: number): FieldError => ({
  type: "FieldValueTooLong",
  field,
  message: `Too long: ${maxLength < 0 ? "value is too long" : `may not be more than ${maxLength} ${maxLength === 1 ? "byte" : "bytes"}`}`,
});

export const fieldTooMany = (field: string, actual: number, max: number): FieldError => ({
  type: "FieldValueTooMany",
  field,
  message: `Too many: ${actual}: must have at most ${max} ${max === 1 ? "item" : "items"}`,
});

export const fieldTypeInvalid = (field: string, value: unknown, detail: string): FieldError => ({
  type: "FieldValueTypeInvalid",
  field,
  message: `Invalid value: ${shown(value)}: ${detail}`,
});

/** 422 with one cause a field. */
export function invalid(
  kind: { readonly group: string; readonly kind: string },
  name: string,
  errors: readonly FieldError[],
): ApiError {
  // What is said twice is shown once, and still listed twice.
  const lines = [...new Set(errors.map((error) => `${error.field}: ${error.message}`))];
  const body = lines.length === 1 ? lines[0] : `[${lines.join(", ")}]`;
  const qualifiedKind = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  return apiError(422, "Invalid", `${qualifiedKind} ${goQuoted(name)} is invalid: ${body}`, {
    ...(name === "" ? {} : { name }),
    ...(kind.group === "" ? {} : { group: kind.group }),
    ...(kind.kind === "" ? {} : { kind: kind.kind }),
    causes: errors.map((error) => ({ reason: error.type, message: error.message, field: error.field })),
  });
}

const hasReason =
  (...reasons: readonly string[]) =>
  (error: unknown): error is ApiError =>
    error instanceof ApiError && reasons.includes(error.reason);

export const isNotFound = hasReason("NotFound");
export const isAlreadyExists = hasReason("AlreadyExists");
export const isConflict = hasReason("Conflict");
export const isInvalid = hasReason("Invalid");
export const isForbidden = hasReason("Forbidden");
export const isUnauthorized = hasReason("Unauthorized");
export const isExpired = hasReason("Expired", "Gone");
export const isTooManyRequests = hasReason("TooManyRequests");
export const isTimeout = hasReason("Timeout", "ServerTimeout");
