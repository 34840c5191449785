import { fnv1a32 } from "#base";
import { EXECUTION_NAMESPACE_PREFIX } from "./well-known.ts";

/** Names derived from other names (wire): clients and Karmada's CLI compute them too. */

const SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789";

/** The 32-bit FNV-1a hash of a text, in decimal digits replaced by letters that spell no words. */
export function safeHash(text: string): string {
  return [...String(fnv1a32(text))].map((digit) => SAFE_LETTERS[digit.charCodeAt(0) % SAFE_LETTERS.length]).join("");
}

const NAME_MAX = 253;

/** Cuts a name that would be too long and makes it unique by a hash; names that fit stay as they are. */
function fitted(name: string): string {
  if (name.length <= NAME_MAX) return name;
  return withHash(name, safeHash(name));
}

/** Name of the (Cluster)ResourceBinding of a template. */
export function bindingName(kind: string, name: string): string {
  return fitted(`${name.replaceAll(":", ".")}-${kind}`.toLowerCase());
}

/** Name of the Work that carries an object; `namespace` is empty for cluster-scoped ones. */
export function workName(kind: string, name: string, namespace: string): string {
  const readable = name.replaceAll(":", ".").toLowerCase();
  const hashed = namespace === "" ? `${readable}-${kind}` : `${namespace}-${readable}-${kind}`;
  const hash = safeHash(hashed.toLowerCase());
  return withHash(readable, hash);
}

/** Joins a readable part and its hash; only a part too long for both is cut, and never behind a dot or hyphen. */
function withHash(readable: string, hash: string): string {
  const room = NAME_MAX - hash.length - 1;
  return `${readable.length <= room ? readable : readable.slice(0, room).replace(/[-.]+$/, "")}-${hash}`;
}

/** The suffix of the `depended-by-` label for a binding. */
export function bindingReferenceKey(namespace: string | undefined, name: string): string {
  return safeHash(namespace ? `${namespace}/${name}` : name);
}

/** Namespace of a cluster's Works. */
export function executionNamespace(cluster: string): string {
  return `${EXECUTION_NAMESPACE_PREFIX}${cluster}`;
}

/** The cluster an execution namespace belongs to; `undefined` for any other namespace. */
export function clusterOfExecutionNamespace(namespace: string | undefined): string | undefined {
  return namespace?.startsWith(EXECUTION_NAMESPACE_PREFIX)
    ? namespace.slice(EXECUTION_NAMESPACE_PREFIX.length)
    : undefined;
}

/** Name of a policy that a command makes for one object. */
export function autoPolicyName(namespace: string, name: string, apiVersion: string, kind: string): string {
  const groupVersion = apiVersion.includes("/") ? apiVersion : `/${apiVersion}`;
  return withHash(name.replaceAll(":", ".").toLowerCase(), safeHash(`${namespace}${groupVersion}, Kind=${kind}`));
}
