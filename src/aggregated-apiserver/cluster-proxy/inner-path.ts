import { posix } from "node:path";

/** What is asked of the member: the path behind `…/proxy`, taken apart as an API server does. */
export interface InnerRequest {
  /** Path as sent, still encoded; empty when nothing stands behind `proxy`. */
  readonly path: string;
  /** With its question mark, or empty. */
  readonly search: string;
  readonly isResource: boolean;
  /** `get`, `list`, `watch`, `create`, … for resources. */
  readonly verb: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

const PROXY = /^\/apis\/cluster\.karmada\.io\/v1alpha1\/clusters\/[^/]+\/proxy(\/[^?]*)?(\?.*)?$/;
const LONG_SUBRESOURCES = new Set(["attach", "exec", "proxy", "log", "portforward"]);

/** Reads the inner request out of the whole URL; a query parameter named `path` decides nothing. */
export function innerRequest(method: string, url: string): InnerRequest {
  const match = PROXY.exec(url.replace(/^https?:\/\/[^/]*/, ""));
  const path = match?.[1] ?? "";
  const search = match?.[2] ?? "";
  const parts = path.split("/").filter(Boolean);
  const start = parts[0] === "api" ? 2 : parts[0] === "apis" ? 3 : Number.POSITIVE_INFINITY;
  const rest = parts.slice(start);
  const isOldWatch = rest[0] === "watch";
  if (isOldWatch) rest.shift();
  if (rest[0] === "namespaces" && rest.length > 2) rest.splice(0, 2);
  const [resource, name, subresource] = rest;
  const wantsWatch = isOldWatch || /^(1|true|t)$/i.test(new URLSearchParams(search).get("watch") ?? "");
  const verbs: Readonly<Record<string, string>> = {
    GET: wantsWatch ? "watch" : name === undefined ? "list" : "get",
    HEAD: name === undefined ? "list" : "get",
    POST: "create",
    PUT: "update",
    PATCH: "patch",
    DELETE: name === undefined ? "deletecollection" : "delete",
  };
  return {
    path,
    search,
    isResource: resource !== undefined,
    verb: verbs[method] ?? method.toLowerCase(),
    name,
    subresource,
  };
}

/** Whether a request may take as long as it likes. */
export const isLongRunning = ({ verb, subresource }: InnerRequest): boolean =>
  verb === "watch" || (subresource !== undefined && LONG_SUBRESOURCES.has(subresource));

/** The path of a member's endpoint joined with the inner one; a slash at the end stays. */
export function joinPaths(prefix: string, path: string): string {
  const joined = posix.join("/", prefix, path);
  return path.endsWith("/") && !joined.endsWith("/") ? `${joined}/` : joined;
}
