import { badRequest } from "#machinery";
import type { Attributes } from "../authorization/attributes.ts";
import type { User } from "../definition.ts";
import type { FrontRequest } from "./exchange.ts";
import { booleanOf } from "./options.ts";
import type { ResourcePath } from "./path.ts";

/** What a request for resources wants, in the words of who may. */
export function attributesOf(
  request: Pick<FrontRequest, "method">,
  url: URL,
  path: ResourcePath,
  user: User,
): Attributes {
  const isNamed = path.name !== undefined;
  const wantsWatch = booleanOf(url.searchParams, "watch") === true;
  const isWatch = !isNamed && wantsWatch;
  const verbs: Readonly<Record<string, string>> = {
    GET: isWatch ? "watch" : isNamed ? "get" : "list",
    HEAD: isNamed ? "get" : "list",
    POST: "create",
    PUT: "update",
    PATCH: "patch",
    DELETE: isNamed ? "delete" : "deletecollection",
  };
  // A path that says it is a watch is one by any method.
  const verb = path.isWatch === true ? "watch" : (verbs[request.method] ?? request.method.toLowerCase());
  const isSelection = verb === "list" || verb === "watch" || verb === "deletecollection";
  const selects = isSelection ? selectedFields(url.searchParams.get("fieldSelector")) : undefined;
  return {
    user,
    verb,
    group: path.group,
    version: path.version,
    resource: path.resource,
    subresource: path.subresource ?? "",
    namespace: path.namespace ?? (path.group === "" && path.resource === "namespaces" ? (path.name ?? "") : ""),
    // Rights on single names hold for lists and watches that select one name.
    name: path.name ?? (verb === "deletecollection" ? "" : (selects?.["metadata.name"] ?? "")),
    ...(selects === undefined ? {} : { selects }),
  };
}

/** The requirements of a field selector that name one value; `undefined` without any. */
function selectedFields(selector: string | null): Readonly<Record<string, string>> | undefined {
  const found = (selector ?? "").split(",").flatMap((part) => {
    const [, field, value] = /^([^=!\\]+)==?([^=!\\]+)$/.exec(part.trim()) ?? [];
    return field === undefined || value === undefined ? [] : [[field, value] as const];
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

function isReadable(pathname: string): boolean {
  try {
    decodeURIComponent(pathname);
    return true;
  } catch {
    return false;
  }
}

/** A path whose bytes are letters: what is none becomes the sign for that, so that nothing is found there. */
function readable(pathname: string): string {
  const bytes = pathname.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString("utf8").split("/").map(encodeURIComponent).join("/");
}

/** Reads a request's target. Throws 400 on one that cannot be read. */
export function urlOf(target: string): URL {
  try {
    const url = new URL(target.startsWith("/") ? `http://localhost${target}` : target);
    if (!url.pathname.includes("%")) return url;
    if (!/%(?![0-9a-f]{2})/i.test(url.pathname) && !isReadable(url.pathname)) url.pathname = readable(url.pathname);
    decodeURIComponent(url.pathname);
    return url;
  } catch {
    throw badRequest("the path of the request cannot be read: it must be percent-encoded UTF-8");
  }
}
