import type { ResourceAddress } from "#machinery";

/** A request path that addresses resources, taken apart. */
export interface ResourcePath extends ResourceAddress {
  /** What stands behind a connect-style subresource, such as `proxy/api/v1/pods`. */
  readonly rest?: string;
  /** Whether the path is of the old form `/api/v1/watch/…`. */
  readonly isWatch?: true;
}

/** Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`; `undefined` for paths that address no resource. */
export function parseResourcePath(path: string): ResourcePath | undefined {
  // An encoded slash separates as a plain one does: what is asked about must be what is answered.
  const parts = decodeURIComponent(path).split("/").slice(1);
  if (parts[parts.length - 1] === "") parts.pop();
  let at: number;
  let group: string;
  let version: string;
  if (parts[0] === "api" && parts.length >= 3) [group, version, at] = ["", parts[1] as string, 2];
  else if (parts[0] === "apis" && parts[1] !== "" && parts.length >= 4)
    [group, version, at] = [parts[1] as string, parts[2] as string, 3];
  else return undefined;
  const rest = parts.slice(at);
  const isWatch = rest[0] === "watch" && rest.length > 1;
  if (isWatch) rest.shift();
  const found: Mutable<ResourcePath> = { group, version, resource: "" };
  if (isWatch) found.isWatch = true;
  if (
    rest[0] === "namespaces" &&
    rest.length >= 3 &&
    !(rest.length === 3 && (rest[2] === "status" || rest[2] === "finalize"))
  ) {
    const [, namespace, resource, name, subresource, ...more] = rest as [
      string,
      string,
      string,
      string?,
      string?,
      ...string[],
    ];
    found.namespace = namespace;
    return addressed(found, resource, name, subresource, more);
  }
  const [resource, name, subresource, ...more] = rest as [string, string?, string?, ...string[]];
  return addressed(found, resource, name, subresource, more);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Member by member: every request has one, and all should have one shape. */
function addressed(
  found: Mutable<ResourcePath>,
  resource: string,
  name: string | undefined,
  subresource: string | undefined,
  more: readonly string[],
): ResourcePath {
  found.resource = resource;
  if (name !== undefined) found.name = name;
  if (subresource !== undefined) {
    found.subresource = subresource;
    if (more.length > 0) found.rest = more.join("/");
  }
  return found;
}
