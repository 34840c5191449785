import { isJsonObject } from "#machinery";

/** Where a key manager is, and how long it may take. */
export interface KmsOptions {
  readonly name: string;
  /** `unix:///path`, or `unix:///@name` for an abstract socket. */
  readonly endpoint: string;
  readonly timeoutMs: number;
}

const TIMEOUT_MS = 3_000;
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Reads a `kms` provider of an encryption configuration. Throws with the field that is wrong. */
export function readKms(value: unknown, path: string): KmsOptions {
  const refuse = (field: string, why: string) => new Error(`encryption configuration: ${path}${field}: ${why}`);
  if (!isJsonObject(value)) throw refuse("", "Required value");
  const { apiVersion = "v1", name, endpoint, timeout, cachesize } = value;
  if (apiVersion === "v1")
    throw refuse(
      ".apiVersion",
      "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead",
    );
  if (apiVersion !== "v2")
    throw refuse(
      ".apiVersion",
      `Invalid value: ${JSON.stringify(apiVersion)}: unsupported apiVersion for KMS provider, only v2 is supported`,
    );
  if (typeof name !== "string" || name === "") throw refuse(".name", "Required value: the name is a required field");
  if (name.includes(":"))
    throw refuse(".name", `Invalid value: ${JSON.stringify(name)}: KMS provider name must not contain ":"`);
  if (cachesize !== undefined)
    throw refuse(".cachesize", `Invalid value: ${JSON.stringify(cachesize)}: cachesize is not supported in v2`);
  if (typeof endpoint !== "string" || endpoint === "")
    throw refuse(".endpoint", "Required value: endpoint is a required field");
  if (!endpoint.startsWith("unix://"))
    throw refuse(
      ".endpoint",
      `Invalid value: ${JSON.stringify(endpoint)}: unsupported scheme for KMS provider, only unix is supported`,
    );
  const timeoutMs = timeout === undefined ? TIMEOUT_MS : durationMs(timeout);
  if (timeoutMs === undefined || timeoutMs <= 0)
    throw refuse(".timeout", `Invalid value: ${JSON.stringify(timeout)}: should be a positive value`);
  return { name, endpoint, timeoutMs };
}

/** Reads `3s` or `1m30s`. */
function durationMs(text: unknown): number | undefined {
  if (typeof text !== "string" || !/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) return undefined;
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce(
    (sum, [, amount, unit = ""]) => sum + Number(amount) * (UNITS_MS[unit] ?? 0),
    0,
  );
}
