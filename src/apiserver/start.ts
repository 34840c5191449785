import { hostname } from "node:os";
import { type Clock, type Logger, type Metrics, type Random, sleep } from "#base";
import {
  formatTime,
  isAlreadyExists,
  type KubeObject,
  type RawRequest,
  type RawResponse,
  type Transport,
} from "#machinery";
import { forwardRequest, type ForwardTarget } from "#network";
import type { Backend } from "#store";
import { type AggregationOptions, Aggregator } from "./aggregation/aggregator.ts";
import { withAggregationStrategy } from "./aggregation/api-service.ts";
import type { AdmissionPlugin } from "./admission.ts";
import type { AdmissionConfiguration } from "./admission-configuration.ts";
import type { Auditor } from "./audit/auditor.ts";
import { Authenticator, type AuthenticatorOptions } from "./authentication/authenticator.ts";
import { OidcAuthenticator, type OidcOptions } from "./authentication/oidc.ts";
import type { ServiceAccountKeys } from "./authentication/service-account-tokens.ts";
import { tokenRequest } from "./authentication/token-request.ts";
import { TokenAuthenticator } from "./authentication/tokens.ts";
import type { Authorizer } from "./authorization/attributes.ts";
import { authorizerChain } from "./authorization/authorizers.ts";
import { type BootstrapRoles, reconcileBootstrapRoles } from "./authorization/bootstrap-rbac.ts";
import { certificateAdmission } from "./authorization/certificate-admission.ts";
import { NodeAuthorizer } from "./authorization/node-authorizer.ts";
import { NodePods } from "./authorization/node-references.ts";
import { nodeRestriction } from "./authorization/node-restriction.ts";
import { rbacEscalation } from "./authorization/escalation.ts";
import { RbacAuthorizer } from "./authorization/rbac.ts";
import { reviewDefinitions } from "./authorization/reviews.ts";
import { asApiServer } from "./bootstrap-writes.ts";
import { builtinDefinitions } from "./builtin/definitions.ts";
import { expireEvents } from "./builtin/event-expiry.ts";
import { IdentityLease } from "./builtin/identity-lease.ts";
import { ServiceAllocation, type ServiceRanges } from "./builtin/service-allocation.ts";
import { advertisedAddress, publishKubernetesService } from "./builtin/kubernetes-service.ts";
import { type LiveServer, LiveServers } from "./builtin/live-servers.ts";
import { systemAdmission } from "./builtin/system-admission.ts";
import { CustomResources } from "./custom-resources/custom-resources.ts";
import { type ResourceDefinition, systemUser, type User, type VersionConversion } from "./definition.ts";
import { DynamicAdmission } from "./dynamic-admission/plugin.ts";
import { withAdmissionStrategy } from "./dynamic-admission/strategies.ts";
import { DiscoveryDocuments } from "./discovery/discovery.ts";
import { FlowControl, type FlowOptions } from "./flow/flow-control.ts";
import { reconcileFlowObjects } from "./flow/reconcile.ts";
import { type FrontAnswer, type FrontRequest, wholeBody } from "./http/exchange.ts";
import { Front, type FrontParts } from "./http/front.ts";
import { HealthChecks } from "./http/health.ts";
import { listen, type Listener } from "./http/listener.ts";
import { RequestMeasures } from "./http/measures.ts";
import type { ResourcePath } from "./http/path.ts";
import { OpenApiDocuments } from "./openapi/openapi.ts";
import { ApiServer } from "./server.ts";
import type { Encryption } from "./storage/encryption.ts";
import { PreparedBackend } from "./storage/prepared-backend.ts";
import { moveFormerKeys } from "./storage/former-keys.ts";

export interface StartOptions {
  readonly backend: Backend;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly serviceAccountKeys: ServiceAccountKeys;
  readonly admission?: readonly AdmissionPlugin[];
  /** How the server's own plugins are configured. */
  readonly admissionConfiguration?: AdmissionConfiguration;
  /** CRDs to install or renew at start. */
  readonly customResourceDefinitions?: readonly KubeObject[];
  /** How further versions of custom resources are read and written, by `group/version/resource`. */
  readonly conversions?: ReadonlyMap<string, VersionConversion>;
  /** Kinds of aggregated servers that run in this process. */
  readonly aggregated?: readonly ResourceDefinition[];
  /** Namespaces that must exist beside Kubernetes' own. */
  readonly namespaces?: readonly string[];
  /** Roles and bindings that must exist beside Kubernetes' own. */
  readonly bootstrapRoles?: BootstrapRoles;
  /** Fixed bearer tokens. */
  readonly tokens?: ReadonlyMap<string, User>;
  /** Whose client certificates, proxies and ID tokens are believed beside the tokens of this server. */
  readonly authentication?: Pick<AuthenticatorOptions, "clientAuthority" | "frontProxy" | "allowsAnonymous"> & {
    readonly oidc?: OidcOptions;
  };
  /** How values of resources are kept in the store; default plain. */
  readonly encryption?: Encryption;
  /** Serves APIServices, local and remote; absent where nobody registers further servers. */
  readonly aggregation?: AggregationOptions;
  readonly metrics?: () => Promise<string>;
  /** Where the server's own measurements go; default nowhere. */
  readonly measures?: Metrics;
  readonly audit?: Auditor;
  /** Holds back clients that ask too much (priority and fairness); default nobody. */
  readonly flow?: Pick<FlowOptions, "seatsMax" | "waitMaxMs">;
  readonly connect?: FrontParts["connect"];
  /** Where Services get their addresses and node ports from. */
  readonly serviceRanges?: ServiceRanges;
  /** Whether kubelets get the rights of their node (`--authorization-mode=Node`), and no more. Default false. */
  readonly authorizesNodes?: boolean;
  /** Whether ValidatingAdmissionPolicies are told in their status how their expressions fit their kinds. Default true. */
  readonly checksPolicyTypes?: boolean;
}

/** A running API server, reachable in process at once and over HTTPS after `listen`. */
export interface RunningApiServer {
  readonly server: ApiServer;
  readonly front: Front;
  readonly tokens: TokenAuthenticator;
  readonly rbac: RbacAuthorizer;
  readonly authorizer: Authorizer;
  readonly health: HealthChecks;
  transport(user?: User): Transport;
  listen(options: Parameters<typeof listen>[1]): Promise<Listener>;
  /** Whether `/readyz` says ok; the composition root sets it when its controllers run. */
  setReady(isReady: boolean): void;
  /** All servers of the store this one shares with others, itself included. */
  readonly liveServers: readonly LiveServer[];
  /** Tells clients and other replicas to ask elsewhere from now on. */
  withdraw(): Promise<void>;
  stop(): void;
}

const SYSTEM_PRIORITIES = [
  [
    "system-node-critical",
    2_000_001_000,
    "Used for system critical pods that must not be moved from their current node.",
  ],
  [
    "system-cluster-critical",
    2_000_000_000,
    "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  ],
] as const;
/** Says since when the use of tokens that Secrets hold is looked at. */
const TOKEN_TRACKING = "kube-apiserver-legacy-service-account-token-tracking";
const NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** Starts an API server over a backend: built-in kinds, stored CRDs, default roles and namespaces. */
export async function startApiServer(options: StartOptions): Promise<RunningApiServer> {
  const { encryption, clock, random, log } = options;
  const { prepare } = encryption ?? {};
  const backend = prepare === undefined ? options.backend : new PreparedBackend(options.backend, prepare);
  await encryption?.start?.();
  const server = new ApiServer({
    backend,
    clock,
    random,
    log,
    ...(options.admission === undefined ? {} : { admission: options.admission }),
    ...(options.conversions === undefined ? {} : { conversions: options.conversions }),
    ...(options.encryption === undefined ? {} : { encryption: options.encryption }),
    ...(options.measures === undefined ? {} : { measures: options.measures }),
  });
  const rbac = new RbacAuthorizer(server);
  const nodePods = options.authorizesNodes === true ? new NodePods(server) : undefined;
  const authorizer = authorizerChain(nodePods === undefined ? [rbac] : [new NodeAuthorizer(nodePods), rbac]);
  const { oidc, ...known } = options.authentication ?? {};
  let listenAuthority = "";
  const issuer = oidc === undefined ? undefined : new OidcAuthenticator(oidc);
  const tokens = new TokenAuthenticator(server, {
    keys: options.serviceAccountKeys,
    ...(options.tokens === undefined ? {} : { fixed: options.tokens }),
    ...(issuer === undefined ? {} : { oidc: issuer }),
  });
  const authenticator = new Authenticator({ clientAuthority: () => listenAuthority, ...known, tokens, now: Date.now });
  server.registry.put([
    ...builtinDefinitions().map((definition) => withAggregationStrategy(withAdmissionStrategy(definition), clock)),
    ...reviewDefinitions(rbac, authorizer, tokens, () => clock.now()),
    ...(options.aggregated ?? []),
  ]);
  server.connect.set("/serviceaccounts/token", tokenRequest(server, tokens));
  const services = new ServiceAllocation(server, options.serviceRanges);
  server.admission.push(
    ...systemAdmission(server, options.admissionConfiguration),
    rbacEscalation(rbac, authorizer),
    ...certificateAdmission(authorizer),
    ...(nodePods === undefined ? [] : [nodeRestriction({ pods: nodePods, authorizer })]),
  );
  const aggregator = options.aggregation === undefined ? undefined : new Aggregator(server, options.aggregation);
  const dynamic = new DynamicAdmission(server, authorizer, options.measures, options.checksPolicyTypes);
  // Last, as in kube-apiserver: what webhooks ask for is allocated as well.
  server.admission.push(dynamic, services);
  let isReady = false;
  const health = new HealthChecks();
  // A store elsewhere that is gone comes back by itself: starting this process anew would only take longer.
  health.add("etcd", () => backend.revision > 0 && backend.failure === undefined, ["livez"]);
  health.add("etcd", () => isStoreWell(backend, clock, log), ["healthz", "readyz"]);
  if (encryption?.isWell !== undefined) health.add("kms-providers", encryption.isWell, ["healthz", "readyz"]);
  health.add("poststarthook/start-controllers", () => isReady, ["readyz"]);
  let listener: Listener | undefined;
  const flow =
    options.flow === undefined
      ? undefined
      : new FlowControl(server, {
          ...options.flow,
          clock,
          ...(options.measures === undefined ? {} : { metrics: options.measures }),
        });
  const discovery = new DiscoveryDocuments(server.registry);
  const front = new Front({
    server,
    authenticator,
    authorizer,
    tokens,
    health,
    discovery,
    openapi: new OpenApiDocuments(discovery),
    address: () => (listener === undefined ? "" : `127.0.0.1:${listener.port}`),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
    ...(options.connect === undefined ? {} : { connect: options.connect }),
    ...(options.audit === undefined ? {} : { audit: options.audit }),
    ...(options.measures === undefined ? {} : { measures: new RequestMeasures(options.measures) }),
    ...(flow === undefined ? {} : { flow }),
    ...(aggregator === undefined ? {} : { aggregate: (request, url, user) => aggregator.route(request, url, user) }),
  });
  server.raw = async (request: RawRequest, user: User) => {
    const body = request.body === undefined ? Buffer.alloc(0) : Buffer.from(request.body as Uint8Array);
    const asked: FrontRequest = {
      method: request.method,
      url: request.path,
      headers: lowerCased(request.headers ?? {}),
      body: () => Promise.resolve(body),
      trustedUser: user,
    };
    const answer = await front.handle(asked);
    if ("forward" in answer) return forwardWhole(answer.forward, request, answer.sent ?? body);
    if ("stream" in answer || "accept" in answer)
      return { status: 400, headers: {}, body: Buffer.from("watches are not answered here") };
    return { status: answer.status, headers: flat(answer.headers), body: wholeBody(answer) };
  };
  const customResources = new CustomResources(server);
  await moveFormerKeys(backend, options.aggregated ?? [], options.encryption, log);
  await Promise.all([bootstrap(server, options), services.start()]);
  await customResources.start();
  await installDefinitions(server, options.customResourceDefinitions ?? []);
  // Whoever asks first is to find them served.
  await customResources.whenSettled();
  await rbac.load();
  await nodePods?.load();
  await flow?.start();
  await dynamic.start();
  await aggregator?.start();
  const stopExpiry = expireEvents(server);
  let live: LiveServers | undefined;
  let identityLease: IdentityLease | undefined;
  return {
    server,
    front,
    tokens,
    rbac,
    authorizer,
    health,
    transport: (user = systemUser) => server.transport(user),
    async listen(listenOptions) {
      listenAuthority = listenOptions.clientAuthority;
      listener = await listen(front, listenOptions);
      const { port } = listener;
      const address =
        listenOptions.advertisedAddress ??
        advertisedAddress(listenOptions.host, options.serviceRanges?.addresses?.[0]?.family);
      const publish = (all: readonly { readonly address?: string; readonly port: number }[]) =>
        publishKubernetesService(
          { ...server.transport(systemUser), send: asApiServer(server) },
          all.flatMap((one) => (one.address === undefined ? [] : [{ address: one.address, port: one.port }])),
          port,
        );
      const own = { port, ...(address === undefined ? {} : { address }) };
      identityLease = new IdentityLease({
        server,
        clock,
        random,
        log,
        hostname: hostname(),
        address: `${address ?? listenOptions.host}:${port}`,
      });
      await identityLease.start();
      const { identity } = listenOptions;
      if (identity === undefined) {
        await publish([own]);
        return listener;
      }
      const host = /^(0\.0\.0\.0|::)$/.test(listenOptions.host) ? (address ?? "127.0.0.1") : listenOptions.host;
      const reached = `https://${host.includes(":") ? `[${host}]` : host}:${port}`;
      live = new LiveServers({ backend, clock, log, own: { ...own, identity, server: reached }, changed: publish });
      await live.start();
      return listener;
    },
    get liveServers() {
      return live?.all ?? [];
    },
    async withdraw() {
      identityLease?.stop();
      await live?.stop();
    },
    setReady(value) {
      isReady = value;
    },
    stop() {
      stopExpiry();
      identityLease?.stop();
      services.stop();
      dynamic.stop();
      aggregator?.stop();
      void issuer?.close();
      server.stop();
      encryption?.stop?.();
    },
  };
}

/** How long a store may take to answer before the server is not ready; kube-apiserver's time. */
const STORE_ANSWER_MS = 2_000;

/** Whether the store can be used now: one that others write to is asked. */
async function isStoreWell(backend: Backend, clock: Clock, log: Logger): Promise<boolean> {
  if (backend.revision <= 0 || backend.failure !== undefined) return false;
  const settling = backend.settle?.();
  if (settling === undefined) return true;
  const abort = new AbortController();
  const late = sleep(clock, STORE_ANSWER_MS, abort.signal).then(() => `no answer within ${STORE_ANSWER_MS / 1000} s`);
  const failure = settling.then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  const reason = await Promise.race([failure, late]);
  abort.abort();
  if (reason !== undefined) log.warn("the store cannot be used", { reason });
  return reason === undefined;
}

const FORWARDED_BYTES_MAX = 256 * 1024 * 1024;

/** Sends a request of this process on to another server and reads the whole answer. */
async function forwardWhole(target: ForwardTarget, request: RawRequest, body: Buffer): Promise<RawResponse> {
  const rawHeaders = Object.entries({ "content-length": String(body.length), ...request.headers }).flat();
  const answer = await forwardRequest(target, {
    method: request.method,
    rawHeaders,
    body,
    signal: request.signal ?? new AbortController().signal,
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > FORWARDED_BYTES_MAX) throw new Error(`the answer is larger than ${FORWARDED_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return { status: answer.status, headers: flat(answer.headers), body: Buffer.concat(chunks) };
}

const lowerCased = (headers: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(headers).map(([key, value]) => [key.toLowerCase(), value]));
const flat = (headers: Readonly<Record<string, string | string[]>>) =>
  Object.fromEntries(
    Object.entries(headers).map(([key, value]) => [key, Array.isArray(value) ? value.join(", ") : value]),
  );

async function createUnlessThere(
  server: ApiServer,
  resource: { group: string; version: string; resource: string; namespace?: string },
  body: KubeObject,
): Promise<void> {
  const definition = server.registry.find(resource.group, resource.version, resource.resource);
  if (definition === undefined) return;
  const store = server.store(definition);
  await store.load();
  if (
    store.get(
      resource.namespace === undefined ? (body.metadata.name ?? "") : `${resource.namespace}/${body.metadata.name}`,
    ) !== undefined
  )
    return;
  try {
    await asApiServer(server)({ verb: "create", ...resource, body });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/** Namespaces, roles and bindings that every Kubernetes API server has. */
async function bootstrap(server: ApiServer, options: StartOptions): Promise<void> {
  await Promise.all(
    [...NAMESPACES, ...(options.namespaces ?? [])].map((name) =>
      createUnlessThere(
        server,
        { group: "", version: "v1", resource: "namespaces" },
        { apiVersion: "v1", kind: "Namespace", metadata: { name } },
      ),
    ),
  );
  await createUnlessThere(server, { group: "", version: "v1", resource: "configmaps", namespace: "kube-system" }, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: TOKEN_TRACKING, namespace: "kube-system" },
    data: { since: formatTime(server.clock.now()).slice(0, "2026-01-01".length) },
  } as unknown as KubeObject);
  await Promise.all(
    SYSTEM_PRIORITIES.map(([name, value, description]) =>
      createUnlessThere(server, { group: "scheduling.k8s.io", version: "v1", resource: "priorityclasses" }, {
        apiVersion: "scheduling.k8s.io/v1",
        kind: "PriorityClass",
        metadata: { name },
        value,
        description,
      } as unknown as KubeObject),
    ),
  );
  await reconcileFlowObjects(server);
  await reconcileBootstrapRoles(server, options.bootstrapRoles);
}

async function installDefinitions(server: ApiServer, definitions: readonly KubeObject[]): Promise<void> {
  const transport = server.transport();
  const address = { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" };
  await Promise.all(
    definitions.map(async (body) => {
      const name = body.metadata.name ?? "";
      try {
        await transport.send({ verb: "create", ...address, body });
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
        const present = await transport.send({ verb: "get", ...address, name });
        await transport.send({
          verb: "update",
          ...address,
          name,
          body: { ...present, spec: (body as { spec?: unknown }).spec } as KubeObject,
        });
      }
    }),
  );
}

export type { FrontAnswer, FrontRequest, ResourcePath };
