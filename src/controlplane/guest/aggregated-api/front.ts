import { Transform } from "node:stream";
import { parse } from "yaml";
import { clusterProxy, type ClusterSource } from "#aggregated-apiserver";
import {
  type Attributes,
  attributesOf,
  type Connect,
  type FrontAnswer,
  type FrontOutcome,
  type FrontProxyAuthenticator,
  type FrontRequest,
  parseResourcePath,
  refusal,
  type ResourcePath,
  urlOf,
  type User,
} from "#apiserver";
import type { Clock, Logger } from "#base";
import type { KubeconfigEndpoint } from "#certs";
import type { Client } from "#client";
import { ApiError, apiError, forbidden, internalError, type KubeObject, type ResourceKind } from "#machinery";
import type { ForwardTarget } from "#network";
import type { Search } from "#search";
import type { SearchServing } from "../../search.ts";
import { type Group, inKeptVersion, KEPT, SPOKEN, SpokenVersion } from "./kept-version.ts";

const rootOf = (group: Group) => `/apis/${group}/${SPOKEN}`;
const keptRootOf = (group: Group) => `/apis/${group}/${KEPT}`;
const schemaOf = (group: Group) => `/openapi/v3${rootOf(group)}`;

/** What is answered here and by no CRD, as discovery lists it; each by the name of its kind. */
const ADDRESSES = {
  "clusters/proxy": { kind: "ClusterProxyOptions", verbs: ["create", "delete", "get", "patch", "update"] },
  search: { kind: "Search", verbs: ["get"] },
  proxying: { kind: "Proxying", verbs: ["create", "delete", "get", "patch", "update"] },
} as const;
export type Address = keyof typeof ADDRESSES;

/** Groups that are served, with what of each is answered here. */
export type ServedGroups = ReadonlyMap<Group, readonly Address[]>;

interface Review extends KubeObject {
  readonly spec: object;
  readonly status?: { readonly allowed?: boolean; readonly reason?: string };
}
const SubjectAccessReview: ResourceKind<Review> = {
  group: "authorization.k8s.io",
  version: "v1",
  kind: "SubjectAccessReview",
  resource: "subjectaccessreviews",
  namespaced: false,
};

/** The ways search needs. */
type SearchWays = Pick<SearchServing, "proxied" | "toControlPlane" | "review">;

export interface AggregatedApiParts {
  /** The API server behind whose APIServices this stands: it keeps the objects. */
  readonly endpoint: () => KubeconfigEndpoint;
  readonly client: Client;
  readonly source: ClusterSource;
  readonly groups: ServedGroups;
  /** Begins search, where it is served. */
  readonly startSearch?: (ways: SearchWays) => Search;
  /** Knows the API server's front proxy; nobody else is answered. */
  readonly callers: () => FrontProxyAuthenticator;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Groups behind APIServices of another API server: `clusters/NAME/proxy`, `search` and `proxying` are answered here, everything
 * else goes back to that API server as the caller, in the version it keeps the objects in.
 */
export class AggregatedApi {
  readonly #parts: AggregatedApiParts;
  readonly #proxied: Connect;
  readonly #search: Search | undefined;

  constructor(parts: AggregatedApiParts) {
    this.#parts = parts;
    const toControlPlane = (request: FrontRequest, user: User): Promise<FrontOutcome> =>
      Promise.resolve({ forward: this.#toServer(request.url, user) });
    this.#proxied = clusterProxy(parts.source, toControlPlane);
    this.#search = parts.startSearch?.({
      proxied: this.#proxied,
      toControlPlane,
      review: (wanted) => this.#review(wanted),
    });
  }

  async stop(): Promise<void> {
    await this.#search?.stop();
  }

  async handle(request: FrontRequest): Promise<FrontOutcome> {
    try {
      return await this.#answer(request);
    } catch (error) {
      const { status } = error instanceof ApiError ? error : internalError(error);
      if (!(error instanceof ApiError)) this.#parts.log.error("request failed", { error });
      return json(status.code ?? 500, status);
    }
  }

  async #answer(request: FrontRequest): Promise<FrontOutcome> {
    const url = urlOf(request.url);
    const { pathname } = url;
    if (/^\/(readyz|livez|healthz)$/.test(pathname)) return text(200, "ok");
    const user = this.#parts.callers().authenticate(request.headers, request.peer ?? [], this.#parts.clock.now());
    if (user === undefined) throw apiError(401, "Unauthorized", "Unauthorized");
    const groups = [...this.#parts.groups.keys()];
    const path = parseResourcePath(pathname);
    if (path !== undefined && this.#answersItself(path)) {
      await this.#mustBeAllowed(attributesOf(request, url, path, user));
      const outcome = (await this.#proxied(request, path, user)) ?? (await this.#search?.connect(request, path, user));
      if (outcome !== undefined) return outcome;
    }
    if (request.isUpgrade) throw apiError(400, "BadRequest", "only members take upgrades");
    if (pathname === "/openapi/v3")
      return json(200, {
        paths: Object.fromEntries(
          groups.map((group) => [rootOf(group).slice(1), { serverRelativeURL: schemaOf(group) }]),
        ),
      });
    for (const group of groups) {
      const root = rootOf(group);
      if (pathname === schemaOf(group)) return this.#openapi(group);
      if (pathname === root || pathname === `${root}/`) return this.#discovery(group);
      if (pathname.startsWith(`${root}/`)) return this.#kept(request, user, group);
    }
    throw apiError(404, "NotFound", "the server could not find the requested resource");
  }

  /** Whether a path leads beyond objects that the API server keeps. */
  #answersItself({ group, resource, subresource }: ResourcePath): boolean {
    if (subresource === undefined) return false;
    const addresses = this.#parts.groups.get(group as Group) ?? [];
    return addresses.some((address) => address === resource || address === `${resource}/${subresource}`);
  }

  async #review({ user, ...wanted }: Attributes): Promise<{ readonly isAllowed: boolean; readonly reason: string }> {
    const { group, version, resource, subresource, namespace, name, verb } = wanted;
    const { status } = await this.#parts.client.create(SubjectAccessReview, {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      metadata: {},
      spec: {
        user: user.name,
        groups: user.groups,
        ...(user.uid === undefined ? {} : { uid: user.uid }),
        ...(user.extra === undefined ? {} : { extra: user.extra }),
        resourceAttributes: { group, version, resource, subresource, namespace, name, verb },
      },
    });
    return { isAllowed: status?.allowed === true, reason: "" };
  }

  async #mustBeAllowed(wanted: Attributes): Promise<void> {
    if ((await this.#review(wanted)).isAllowed) return;
    const { group, resource, name } = wanted;
    throw forbidden({ group, resource }, name, refusal(wanted));
  }

  async #raw(path: string): Promise<FrontAnswer> {
    const { status, body } = await this.#parts.client.transport.raw({ method: "GET", path });
    return { status, headers: { "content-type": "application/json" }, body: Buffer.from(body) };
  }

  async #discovery(group: Group): Promise<FrontAnswer> {
    const { status, body } = await this.#raw(keptRootOf(group));
    if (status !== 200) return { status, headers: { "content-type": "application/json" }, body };
    const list = JSON.parse(body.toString("utf8")) as { readonly resources?: readonly object[] };
    const own = (this.#parts.groups.get(group) ?? []).map((name) => ({
      name,
      // Parts of kinds have no name for one of them.
      singularName: name.includes("/") ? "" : name,
      namespaced: false,
      ...ADDRESSES[name],
    }));
    return json(200, { ...list, groupVersion: `${group}/${SPOKEN}`, resources: [...(list.resources ?? []), ...own] });
  }

  async #openapi(group: Group): Promise<FrontAnswer> {
    const answer = await this.#raw(`/openapi/v3${keptRootOf(group)}`);
    return { ...answer, body: Buffer.from(answer.body.toString("utf8").replaceAll(KEPT, SPOKEN)) };
  }

  /** Sends a request for objects on to where they are kept. */
  async #kept(request: FrontRequest, user: User, group: Group): Promise<FrontOutcome> {
    const body = await request.body();
    const sent = body.length === 0 ? body : inKeptVersion(jsonOf(body), group);
    const target = this.#toServer(keptRootOf(group) + request.url.slice(rootOf(group).length), user);
    const spoken = new SpokenVersion(group);
    const isLengthOther = sent.length !== body.length;
    return {
      forward: {
        ...target,
        isDropped: (name) => target.isDropped?.(name) === true || (isLengthOther && name === "content-length"),
      },
      sent,
      rewrite: new Transform({
        transform: (chunk: Buffer, _encoding, done) => done(null, spoken.take(chunk)),
        flush: (done) => done(null, spoken.end()),
      }),
    };
  }

  /** The API server, asked with our own credentials as the caller. */
  #toServer(url: string, user: User): ForwardTarget {
    const endpoint = this.#parts.endpoint();
    const server = new URL(endpoint.server);
    const credentials =
      endpoint.token !== undefined
        ? `Bearer ${endpoint.token}`
        : endpoint.username !== undefined
          ? `Basic ${Buffer.from(`${endpoint.username}:${endpoint.password ?? ""}`).toString("base64")}`
          : undefined;
    return {
      origin: server.origin,
      path: server.pathname.replace(/\/$/, "") + url,
      headers: [
        ["host", server.host],
        ["impersonate-user", user.name],
        ...(user.uid === undefined ? [] : [["impersonate-uid", user.uid] as const]),
        ...user.groups.map((group) => ["impersonate-group", group] as const),
        ...Object.entries(user.extra ?? {}).flatMap(([key, values]) =>
          values.map((value) => [`impersonate-extra-${encodeURIComponent(key)}`, value] as const),
        ),
        ...(credentials === undefined ? [] : [["authorization", credentials] as const]),
      ],
      // What is packed cannot be read over.
      isDropped: (name) =>
        name === "authorization" ||
        name === "accept-encoding" ||
        name.startsWith("x-remote-") ||
        name.startsWith("impersonate-"),
      tls: {
        ...(endpoint.certificateAuthority === undefined ? {} : { ca: endpoint.certificateAuthority }),
        ...(endpoint.clientCertificate === undefined ? {} : { cert: endpoint.clientCertificate }),
        ...(endpoint.clientKey === undefined ? {} : { key: endpoint.clientKey }),
        ...(endpoint.tlsServerName === undefined ? {} : { serverName: endpoint.tlsServerName }),
        ...(endpoint.insecureSkipTlsVerify === true ? { isInsecure: true } : {}),
      },
      ...(endpoint.proxyUrl === undefined ? {} : { proxy: { url: endpoint.proxyUrl } }),
    };
  }
}

/** A body as JSON; YAML, as server-side apply sends it, is written anew. What cannot be read is left to the API server. */
function jsonOf(body: Buffer): Buffer {
  const first = body.toString("latin1", 0, 64).trimStart()[0];
  if (first === "{" || first === "[") return body;
  try {
    return Buffer.from(JSON.stringify(parse(body.toString("utf8"), { version: "1.1" })));
  } catch {
    return body;
  }
}

const text = (status: number, words: string): FrontAnswer => ({
  status,
  headers: { "content-type": "text/plain; charset=utf-8" },
  body: Buffer.from(words),
});
const json = (status: number, value: unknown): FrontAnswer => ({
  status,
  headers: { "content-type": "application/json" },
  body: Buffer.from(JSON.stringify(value)),
});
