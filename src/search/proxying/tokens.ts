import { badRequest, isJsonObject } from "#machinery";

/**
 * What several clusters' resource versions and pages are called together (wire): texts that are the same bytes for the same
 * content, whoever wrote them.
 */

/** Resource versions of several clusters. `isZero` stands for `0` in every one: whatever a cache holds. */
export interface Versions {
  readonly isZero: boolean;
  readonly of: ReadonlyMap<string, string>;
}

const NO_VERSIONS: Versions = { isZero: false, of: new Map() };

/** The part of one cluster; empty where it has none. */
export const versionOf = ({ isZero, of }: Versions, cluster: string): string =>
  isZero ? "0" : (of.get(cluster) ?? "");

/** The same with another part for one cluster. */
export function withVersion({ of }: Versions, cluster: string, version: string | undefined): Versions {
  const next = new Map(of);
  if (version === undefined || version === "") next.delete(cluster);
  else next.set(cluster, version);
  return { isZero: false, of: next };
}

const encoded = (json: string): string => Buffer.from(json).toString("base64url");

/** The JSON behind a text; `undefined` where there is none. */
function decoded(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** By the order of clusters' names; not from an object, whose numeric names would come first. */
export function encodeVersions({ isZero, of }: Versions): string {
  if (isZero) return "0";
  if (of.size === 0) return "";
  const parts = [...of].sort(([one], [other]) => (one < other ? -1 : 1));
  return encoded(
    `{${parts.map(([cluster, version]) => `${JSON.stringify(cluster)}:${JSON.stringify(version)}`).join(",")}}`,
  );
}

/** What cannot be read stands for none, as upstream takes it. */
export function decodeVersions(text: string | undefined): Versions {
  if (text === "0") return { isZero: true, of: new Map() };
  return readVersions(text ?? "") ?? NO_VERSIONS;
}

/** The versions a text names; `undefined` for a text that is something else, such as the version of one cluster. */
export function readVersions(text: string): Versions | undefined {
  const parts = text === "" ? undefined : decoded(text);
  if (parts === undefined) return undefined;
  const entries = Object.entries(parts).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return { isZero: false, of: new Map(entries) };
}

/** Where a list goes on: in a cluster, after the page its own token names, or from its beginning. */
export interface Continuation {
  /** Versions of all clusters when the list began. */
  readonly versions: string;
  readonly cluster: string;
  readonly token: string;
}

export function encodeContinuation(next: Continuation | undefined): string {
  if (next === undefined || next.cluster === "") return "";
  const { versions: rv, cluster, token } = next;
  return encoded(
    JSON.stringify({ ...(rv === "" ? {} : { rv }), cluster, ...(token === "" ? {} : { continue: token }) }),
  );
}

/** Throws 400 for a text that is none: a client that began anew without knowing would see objects twice. */
export function decodeContinuation(text: string | undefined): Continuation | undefined {
  if (text === undefined || text === "") return undefined;
  const { rv = "", cluster, continue: token = "" } = decoded(text) ?? {};
  if (typeof rv !== "string" || typeof cluster !== "string" || cluster === "" || typeof token !== "string")
    throw badRequest("continue key is not valid: it was not given by this list");
  return { versions: rv, cluster, token };
}
