import type { KeyPair } from "#certs";
import { deepEqual, type Timer } from "#base";
import { ApiError, formatTime, isConflict, isJsonObject, isNotFound, type KubeObject } from "#machinery";
import { type ForwardedAnswer, forwardRequest, type ForwardTarget } from "#network";
import { resolveService, type ServiceTarget } from "../dynamic-admission/service-routing.ts";
import type { ResourceDefinition, User } from "../definition.ts";
import type { FrontOutcome, FrontRequest } from "../http/exchange.ts";
import type { ApiServer } from "../server.ts";
import { API_SERVICES, type ApiService, type Condition, isAvailable } from "./api-service.ts";
import { publishAuthentication } from "./authentication-config.ts";
import { LocalServices, MANAGER } from "./local-services.ts";

const CHECK_MS = 30_000;
const CHECK_AGAIN_MS = 2_000;
const CHECK_TIMEOUT_MS = 6_000;
const REQUEST_MS = 60_000;
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
const AGGREGATOR: User = { name: "system:kube-aggregator", groups: ["system:masters"] };

export interface AggregationOptions {
  /** Proves to aggregated servers that identity headers come from us. */
  readonly proxyCertificate?: () => KeyPair;
  /** PEM of the authority of client certificates, ours among them; published for aggregated servers. */
  readonly authority?: () => string;
}

interface Remote {
  readonly service: ApiService;
  timer: Timer | undefined;
  isChecking: boolean;
  isStale: boolean;
  definitions: readonly ResourceDefinition[];
}

/** The header of who asks, as aggregated servers read it. */
export function identityHeaders(user: User): readonly (readonly [string, string])[] {
  return [
    ["x-remote-user", user.name],
    ...(user.uid === undefined ? [] : [["x-remote-uid", user.uid] as const]),
    ...user.groups.map((group) => ["x-remote-group", group] as const),
    ...Object.entries(user.extra ?? {}).flatMap(([key, values]) =>
      values.map((value) => [`x-remote-extra-${encodeURIComponent(key)}`, value] as const),
    ),
  ];
}

const isIdentity = (name: string) =>
  name === "authorization" || name.startsWith("x-remote-") || name.startsWith("impersonate-");

/**
 * APIServices: local ones for what is served here, remote ones checked, discovered and proxied to as the caller. Groups of
 * aggregated servers that run in this process stay here, whatever an APIService says.
 */
export class Aggregator {
  readonly #server: ApiServer;
  readonly #options: AggregationOptions;
  readonly #remotes = new Map<string, Remote>();
  readonly #stops: (() => void)[] = [];
  #isStopped = false;

  constructor(server: ApiServer, options: AggregationOptions) {
    this.#server = server;
    this.#options = options;
  }

  async start(): Promise<void> {
    const definition = this.#server.registry.find(API_SERVICES.group, API_SERVICES.version, API_SERVICES.resource);
    if (definition === undefined) return;
    const store = this.#server.store(definition);
    await store.load();
    for (const [, { object }] of store.range(undefined)) this.#put(object as ApiService);
    this.#stops.push(
      store.watch({
        event: ({ type, object }) => (type === "DELETED" ? this.#remove(object) : this.#put(object as ApiService)),
        closed() {},
      }),
    );
    for (const [group, resource, nameOf] of [
      ["", "services", (object: KubeObject) => object.metadata.name],
      ["", "endpoints", (object: KubeObject) => object.metadata.name],
      [
        "discovery.k8s.io",
        "endpointslices",
        (object: KubeObject) => object.metadata.labels?.["kubernetes.io/service-name"],
      ],
    ] as const) {
      const followed = this.#server.registry.find(group, "v1", resource);
      if (followed === undefined) continue;
      const event = ({ object }: { readonly object: KubeObject }) =>
        this.#recheck(object.metadata.namespace, nameOf(object));
      this.#stops.push(this.#server.store(followed).watch({ event, closed() {} }));
    }
    const { authority } = this.#options;
    if (authority !== undefined) await publishAuthentication(this.#server, authority());
    this.#stops.push(new LocalServices(this.#server, this.#server.log).start());
  }

  stop(): void {
    this.#isStopped = true;
    for (const stop of this.#stops) stop();
    for (const { timer } of this.#remotes.values()) timer?.cancel();
    this.#remotes.clear();
  }

  #isServedHere(group: string, version: string): boolean {
    return this.#server.registry.all.some(
      ({ kind, origin }) => kind.group === group && kind.version === version && origin !== "remote",
    );
  }

  #put(service: ApiService): void {
    const name = service.metadata.name ?? "";
    const present = this.#remotes.get(name);
    const { spec } = service;
    if (spec?.service === undefined || this.#isServedHere(spec.group ?? "", spec.version ?? "")) {
      if (present !== undefined) this.#remove(service);
      return;
    }
    if (present !== undefined && deepEqual(present.service.spec, spec)) {
      this.#remotes.set(name, Object.assign(present, { service }));
      return;
    }
    if (present !== undefined) this.#remove(present.service);
    const remote: Remote = { service, timer: undefined, isChecking: false, isStale: false, definitions: [] };
    this.#remotes.set(name, remote);
    this.#check(name);
  }

  #remove(service: KubeObject): void {
    const name = service.metadata.name ?? "";
    const remote = this.#remotes.get(name);
    if (remote === undefined) return;
    remote.timer?.cancel();
    this.#remotes.delete(name);
    if (remote.definitions.length > 0) this.#server.registry.remove(remote.definitions);
  }

  #recheck(namespace: string | undefined, service: string | undefined): void {
    for (const [name, { service: own }] of this.#remotes)
      if (own.spec?.service?.name === service && own.spec?.service?.namespace === namespace) this.#check(name);
  }

  #check(name: string): void {
    const remote = this.#remotes.get(name);
    if (remote === undefined || this.#isStopped) return;
    if (remote.isChecking) {
      remote.isStale = true;
      return;
    }
    remote.isChecking = true;
    remote.isStale = false;
    remote.timer?.cancel();
    void this.#checkOnce(remote)
      .catch((error: unknown) => {
        if (!isConflict(error) && !isNotFound(error)) this.#server.log.warn("APIService not checked", { name, error });
        return false;
      })
      .then((isGood) => {
        remote.isChecking = false;
        if (this.#remotes.get(name) !== remote || this.#isStopped) return;
        if (remote.isStale) this.#check(name);
        else remote.timer = this.#server.clock.after(isGood ? CHECK_MS : CHECK_AGAIN_MS, () => this.#check(name));
      });
  }

  async #checkOnce(remote: Remote): Promise<boolean> {
    const { spec = {} } = remote.service;
    let condition: Omit<Condition, "type" | "lastTransitionTime">;
    try {
      const target = await this.#target(spec, AGGREGATOR, `/apis/${spec.group}/${spec.version}`, CHECK_TIMEOUT_MS);
      condition = await this.#discover(remote, target);
    } catch (error) {
      condition = unavailable(error, spec);
    }
    await this.#report(remote, { type: "Available", ...condition });
    return condition.status === "True";
  }

  async #discover(remote: Remote, target: ForwardTarget): Promise<Omit<Condition, "type" | "lastTransitionTime">> {
    const { spec = {} } = remote.service;
    const refuse = (why: string) => ({
      status: "False",
      reason: "FailedDiscoveryCheck",
      message: `failing or missing response from ${target.origin}${target.path}: ${why}`,
    });
    try {
      const answer = await forwardRequest(target, {
        method: "GET",
        rawHeaders: ["accept", "application/json"],
        body: Buffer.alloc(0),
        signal: AbortSignal.timeout(CHECK_TIMEOUT_MS),
      });
      const text = await readAll(answer);
      if (answer.status < 200 || answer.status > 299)
        return refuse(`bad status from ${target.origin}${target.path}: ${answer.status}`);
      const definitions = remoteDefinitions(spec.group ?? "", spec.version ?? "", text);
      if (definitions === undefined) return refuse("the answer is no APIResourceList");
      if (!deepEqual(definitions.map(shape), remote.definitions.map(shape))) {
        if (remote.definitions.length > 0) this.#server.registry.remove(remote.definitions);
        remote.definitions = definitions;
        this.#server.registry.put(definitions);
      }
      return { status: "True", reason: "Passed", message: "all checks passed" };
    } catch (error) {
      return refuse(
        `Get ${JSON.stringify(target.origin + target.path)}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  /** Writes the condition when it says something new. */
  async #report(remote: Remote, condition: Condition): Promise<void> {
    const name = remote.service.metadata.name ?? "";
    if (this.#remotes.get(name) !== remote) return;
    const { status } = remote.service;
    const old = status?.conditions?.find(({ type }) => type === "Available");
    if (
      old !== undefined &&
      old.status === condition.status &&
      old.reason === condition.reason &&
      old.message === condition.message
    )
      return;
    const lastTransitionTime =
      old?.status === condition.status && old.lastTransitionTime !== undefined
        ? old.lastTransitionTime
        : formatTime(this.#server.clock.now());
    const others = (status?.conditions ?? []).filter(({ type }) => type !== "Available");
    await this.#server.transport().send({
      verb: "update",
      ...API_SERVICES,
      name,
      subresource: "status",
      options: { fieldManager: MANAGER },
      body: {
        ...remote.service,
        status: { ...status, conditions: [...others, { ...condition, lastTransitionTime }] },
      } as KubeObject,
    });
  }

  async #target(
    spec: NonNullable<ApiService["spec"]>,
    user: User,
    path: string,
    timeoutMs: number | undefined,
  ): Promise<ForwardTarget> {
    const { namespace = "", name = "", port = 443 } = spec.service ?? {};
    const found: ServiceTarget = await resolveService(this.#server, { namespace, name, port });
    const certificate = this.#options.proxyCertificate?.();
    return {
      origin: `https://${found.serverName}:${port}`,
      connectTo: { host: found.host, port: found.port },
      path,
      headers: identityHeaders(user),
      isDropped: isIdentity,
      tls: {
        serverName: found.serverName,
        ...(spec.caBundle ? { ca: Buffer.from(spec.caBundle, "base64").toString("utf8") } : {}),
        ...(spec.insecureSkipTLSVerify ? { isInsecure: true } : {}),
        ...(certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key }),
      },
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
  }

  /** Where a request goes when another server serves its group; undefined when that is this one. */
  async route(request: FrontRequest, url: URL, user: User): Promise<FrontOutcome | undefined> {
    if (this.#remotes.size === 0) return undefined;
    const match = /^(?:\/openapi\/v3)?\/apis\/([^/]+)\/([^/]+)(?:\/|$)/.exec(url.pathname);
    const remote = match === null ? undefined : this.#remotes.get(`${match[2]}.${match[1]}`);
    if (remote === undefined) return undefined;
    if (!isAvailable(remote.service)) return unavailableAnswer;
    const isLong =
      request.isUpgrade === true ||
      /[?&]watch=(1|true)/.test(url.search) ||
      /\/(log|exec|attach|portforward|proxy)(\/|$)/.test(url.pathname);
    try {
      const target = await this.#target(
        remote.service.spec ?? {},
        user,
        `${url.pathname}${url.search}`,
        isLong ? undefined : REQUEST_MS,
      );
      return { forward: target };
    } catch (error) {
      if (error instanceof ApiError) return unavailableAnswer;
      throw error;
    }
  }
}

const unavailableAnswer: FrontOutcome = {
  status: 503,
  headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
  body: Buffer.from("service unavailable\n"),
};

const shape = ({ kind, verbs, shortNames, categories, subresources, singular }: ResourceDefinition) => ({
  kind,
  verbs,
  shortNames,
  categories,
  subresources,
  singular,
});

/** Why a Service leads nowhere, in kube-aggregator's words. */
function unavailable(error: unknown, { service }: NonNullable<ApiService["spec"]>) {
  const where = `service/${service?.name} in ${JSON.stringify(service?.namespace)}`;
  const message = error instanceof Error ? error.message : String(error);
  if (isNotFound(error)) return { status: "False", reason: "ServiceNotFound", message: `${where} is not present` };
  if (message.startsWith("no service port"))
    return {
      status: "False",
      reason: "ServicePortError",
      message: `${where} is not listening on port ${service?.port ?? 443}`,
    };
  if (message.startsWith("no endpoints"))
    return {
      status: "False",
      reason: "MissingEndpoints",
      message: `endpoints for ${where} have no addresses with port name ""`,
    };
  return { status: "False", reason: "FailedDiscoveryCheck", message };
}

async function readAll(answer: ForwardedAnswer): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

interface ListedResource {
  readonly name: string;
  readonly singularName?: string;
  readonly namespaced?: boolean;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs?: readonly string[];
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

/** What a remote server says it serves, as entries of our own discovery. Nothing of it is stored here. */
function remoteDefinitions(group: string, version: string, text: string): readonly ResourceDefinition[] | undefined {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isJsonObject(list) || list["kind"] !== "APIResourceList" || !Array.isArray(list["resources"])) return undefined;
  const resources = (list["resources"] as readonly unknown[]).filter(
    (one): one is ListedResource & Readonly<Record<string, unknown>> =>
      isJsonObject(one) && typeof one["name"] === "string" && typeof one["kind"] === "string",
  );
  return resources
    .filter(({ name }) => !name.includes("/"))
    .map(
      (resource): ResourceDefinition => ({
        kind: {
          group,
          version,
          kind: resource.kind,
          resource: resource.name,
          namespaced: resource.namespaced === true,
        },
        singular: resource.singularName ?? "",
        shortNames: resource.shortNames ?? [],
        categories: resource.categories ?? [],
        verbs: resource.verbs ?? [],
        subresources: resources
          .filter(({ name }) => name.startsWith(`${resource.name}/`))
          .map((sub) => ({
            name: sub.name.slice(resource.name.length + 1),
            kind: { group: sub.group ?? group, version: sub.version ?? version, kind: sub.kind },
            verbs: sub.verbs ?? [],
          })),
        schema: undefined,
        columns: [],
        storage: { prefix: `/remote/${group}/${version}/${resource.name}/`, version },
        origin: "remote",
        strategy: {},
        hasGeneration: false,
      }),
    );
}
