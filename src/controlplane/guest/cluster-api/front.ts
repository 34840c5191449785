import { Transform } from "node:stream";
import { parse } from "yaml";
import { clusterProxy, type ClusterSource } from "#aggregated-apiserver";
import {
  type FrontAnswer,
  type FrontOutcome,
  type FrontProxyAuthenticator,
  type FrontRequest,
  parseResourcePath,
  type User,
} from "#apiserver";
import type { Clock, Logger } from "#base";
import type { KubeconfigEndpoint } from "#certs";
import type { Client } from "#client";
import { ApiError, apiError, forbidden, internalError, type KubeObject, type ResourceKind } from "#machinery";
import type { ForwardTarget } from "#network";
import { GROUP, inKeptVersion, KEPT, SPOKEN, SpokenVersion } from "./kept-version.ts";

const ROOT = `/apis/${GROUP}/${SPOKEN}`;
const KEPT_ROOT = `/apis/${GROUP}/${KEPT}`;
const OPENAPI = `/openapi/v3${ROOT}`;
const VERBS: Readonly<Record<string, string>> = {
  GET: "get",
  HEAD: "get",
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};
const PROXY_RESOURCE = {
  name: "clusters/proxy",
  singularName: "",
  namespaced: false,
  kind: "ClusterProxyOptions",
  verbs: ["create", "delete", "get", "patch", "update"],
};

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

export interface ClusterApiParts {
  /** The API server behind whose APIService this stands: it keeps the Clusters. */
  readonly endpoint: () => KubeconfigEndpoint;
  readonly client: Client;
  readonly source: ClusterSource;
  /** Knows the API server's front proxy; nobody else is answered. */
  readonly callers: () => FrontProxyAuthenticator;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Group `cluster.karmada.io` behind an APIService of another API server: `clusters/NAME/proxy` goes to members, everything
 * else back to that API server as the caller, in the version it keeps Clusters in.
 */
export class ClusterApi {
  readonly #parts: ClusterApiParts;
  readonly #proxied: ReturnType<typeof clusterProxy>;

  constructor(parts: ClusterApiParts) {
    this.#parts = parts;
    this.#proxied = clusterProxy(parts.source, (request, user) =>
      Promise.resolve({ forward: this.#toServer(request.url, user) }),
    );
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
    const { pathname } = new URL(request.url, "https://localhost");
    if (/^\/(readyz|livez|healthz)$/.test(pathname)) return text(200, "ok");
    const user = this.#parts.callers().authenticate(request.headers, request.peer ?? [], this.#parts.clock.now());
    if (user === undefined) throw apiError(401, "Unauthorized", "Unauthorized");
    const path = parseResourcePath(pathname);
    if (path?.group === GROUP && path.resource === "clusters" && path.subresource === "proxy") {
      await this.#mustBeAllowed(user, VERBS[request.method] ?? request.method.toLowerCase(), path.name ?? "");
      const outcome = await this.#proxied(request, path, user);
      if (outcome !== undefined) return outcome;
    }
    if (request.isUpgrade) throw apiError(400, "BadRequest", "only clusters/proxy takes upgrades");
    if (pathname === "/openapi/v3") return json(200, { paths: { [ROOT.slice(1)]: { serverRelativeURL: OPENAPI } } });
    if (pathname === OPENAPI) return this.#openapi();
    if (pathname === ROOT || pathname === `${ROOT}/`) return this.#discovery();
    if (pathname.startsWith(`${ROOT}/`)) return this.#kept(request, user);
    throw apiError(404, "NotFound", "the server could not find the requested resource");
  }

  async #mustBeAllowed(user: User, verb: string, name: string): Promise<void> {
    const { status } = await this.#parts.client.create(SubjectAccessReview, {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      metadata: {},
      spec: {
        user: user.name,
        groups: user.groups,
        ...(user.uid === undefined ? {} : { uid: user.uid }),
        ...(user.extra === undefined ? {} : { extra: user.extra }),
        resourceAttributes: { group: GROUP, version: SPOKEN, resource: "clusters", subresource: "proxy", name, verb },
      },
    });
    if (status?.allowed === true) return;
    const why = `User ${JSON.stringify(user.name)} cannot ${verb} resource "clusters/proxy" in API group ${JSON.stringify(GROUP)} at the cluster scope`;
    throw forbidden({ group: GROUP, resource: "clusters" }, name, why);
  }

  async #raw(path: string): Promise<FrontAnswer> {
    const { status, body } = await this.#parts.client.transport.raw({ method: "GET", path });
    return { status, headers: { "content-type": "application/json" }, body: Buffer.from(body) };
  }

  async #discovery(): Promise<FrontAnswer> {
    const { status, body } = await this.#raw(KEPT_ROOT);
    if (status !== 200) return { status, headers: { "content-type": "application/json" }, body };
    const list = JSON.parse(body.toString("utf8")) as { readonly resources?: readonly object[] };
    return json(200, {
      ...list,
      groupVersion: `${GROUP}/${SPOKEN}`,
      resources: [...(list.resources ?? []), PROXY_RESOURCE],
    });
  }

  async #openapi(): Promise<FrontAnswer> {
    const answer = await this.#raw(`/openapi/v3${KEPT_ROOT}`);
    return { ...answer, body: Buffer.from(answer.body.toString("utf8").replaceAll(KEPT, SPOKEN)) };
  }

  /** Sends a request for Clusters on to where they are kept. */
  async #kept(request: FrontRequest, user: User): Promise<FrontOutcome> {
    const body = await request.body();
    const sent = body.length === 0 ? body : inKeptVersion(jsonOf(body));
    const target = this.#toServer(KEPT_ROOT + request.url.slice(ROOT.length), user);
    const spoken = new SpokenVersion();
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
