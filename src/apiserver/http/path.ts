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
  else if (parts[0] === "apis" && parts.length >= 4) [group, version, at] = [parts[1] as string, parts[2] as string, 3];
  else return undefined;
  const rest = parts.slice(at);
  const isWatch = rest[0] === "watch" && rest.length > 1;
  if (isWatch) rest.shift();
  const head = { group, version, ...(isWatch ? { isWatch: true as const } : {}) };
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
    return { ...head, namespace, resource, ...(name === undefined ? {} : { name }), ...tail(subresource, more) };
  }
  const [resource, name, subresource, ...more] = rest as [string, string?, string?, ...string[]];
  return { ...head, resource, ...(name === undefined ? {} : { name }), ...tail(subresource, more) };
}

function tail(subresource: string | undefined, more: readonly string[]) {
  return subresource === undefined ? {} : { subresource, ...(more.length === 0 ? {} : { rest: more.join("/") }) };
}
