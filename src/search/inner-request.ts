import { type Attributes, attributesOf, type FrontRequest, parseResourcePath, urlOf, type User } from "#apiserver";

/** A request that stands behind an address of search: taken apart as if it had been sent by itself. */
export interface InnerRequest {
  /** Path and query as sent, still encoded. */
  readonly url: string;
  readonly query: URLSearchParams;
  /** What is wanted of which resource; absent for paths that address none. */
  readonly wanted?: Attributes;
  readonly namespace?: string;
  readonly name?: string;
}

const ADDRESS = /^\/apis\/search\.karmada\.io\/v1alpha1\/(search|proxying)\/[^/?]+(.*)$/;
const PROXY = /^\/proxy(?=$|[/?])/;

/** Reads the inner request out of the whole URL; `undefined` where the address itself is written in another way than ours. */
export function innerRequest(request: FrontRequest, user: User): InnerRequest | undefined {
  const [, address, behind = ""] = ADDRESS.exec(request.url.replace(/^https?:\/\/[^/]*/, "")) ?? [];
  if (address === undefined || (address === "proxying" && !PROXY.test(behind))) return undefined;
  const rest = address === "proxying" ? behind.replace(PROXY, "") : behind;
  const url = rest.startsWith("/") ? rest : `/${rest}`;
  const read = urlOf(url);
  const path = parseResourcePath(read.pathname);
  const head = { url, query: read.searchParams };
  if (path === undefined) return head;
  const { namespace, name } = path;
  return {
    ...head,
    wanted: attributesOf(request, read, path, user),
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
  };
}
