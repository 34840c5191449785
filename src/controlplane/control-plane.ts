import { isIP } from "node:net";
import { Secret } from "#apis/kubernetes";
import {
  Cluster,
  CLUSTER_NAMESPACE,
  karmadaConversions,
  karmadaCustomResourceDefinitions,
  SYSTEM_NAMESPACE,
} from "#apis/karmada";
import { karmadaAdmission } from "#admission";
import { aggregatedDefinitions, clusterProxy, type ClusterSource } from "#aggregated-apiserver";
import { type FrontRequest, type Listener, type RunningApiServer, startApiServer, type User } from "#apiserver";
import { type Clock, type Logger, type Metrics, type Random, sleep } from "#base";
import type { Pki } from "#certs";
import { type Client, createClient } from "#client";
import type { ServerConfig } from "#config";
import { lead, type Manager, type Turns, type Led } from "#controller-runtime";
import type { MarkNew, TemplateKinds } from "#controllers/detector";
import type { Interpreter } from "#interpreter";
import type { Transport } from "#machinery";
import type { MemberPool } from "#member";
import type { Search } from "#search";
import { builtinPlugins, choosePlugins, createDecisionLog, type DecisionLog } from "#scheduler";
import { servedKinds } from "#simulator";
import { type Backend, startCompaction } from "#store";
import { accessOptions, askedAuthorities } from "./access.ts";
import { karmadaBootstrapRoles } from "./bootstrap-roles.ts";
import { publishClusterInfo } from "./cluster-info.ts";
import { managementEndpoint } from "./cluster-api.ts";
import { addKubernetesControllers } from "./controllers.ts";
import { aggregatedWay } from "./aggregated-kinds.ts";
import { askLeader } from "./ask-leader.ts";
import { answerDecision, type DecisionApiParts } from "./decision-api.ts";
import { type Engine, LEASES, SCHEDULER_LEASE, startEngine } from "./engine.ts";
import { luaSyntaxError } from "./interpretation.ts";
import { serveSearch } from "./search.ts";
import { type PlainListeners, startPlainListeners } from "./plain-listeners.ts";
import { followServing, type Serving } from "./serving.ts";

export interface ControlPlaneOptions {
  readonly config: ServerConfig;
  readonly backend: Backend;
  readonly pki: Pki;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: Metrics;
  readonly metricsText?: () => Promise<string>;
  /** Members of the same process, by the endpoint their Cluster names: reached without HTTP. */
  readonly inProcess?: ReadonlyMap<string, Transport>;
  /** Loads the certificates again, renewed where their end is near; asked twice a day. */
  readonly renewPki?: () => Promise<Pki>;
  /** Whom the controllers share the thread with, besides each other. */
  readonly turns?: Turns;
}

/** A control plane that runs: API server, controllers and scheduler over one store. */
export interface ControlPlane {
  readonly api: RunningApiServer;
  /** The working parts throw on a replica that does not lead. */
  readonly manager: Manager;
  readonly scheduler: Manager;
  readonly members: MemberPool;
  readonly interpreter: Interpreter;
  readonly isLeader: boolean;
  /** Rejects when the controllers could not start after the lead was won. It never resolves. */
  readonly failed: Promise<never>;
  readonly decisions: DecisionLog;
  readonly transport: Transport;
  listen(): Promise<Listener>;
  stop(): Promise<void>;
}

export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { config, clock, random, log, pki, backend } = options;
  checkAdvertised(config.advertiseAddress);
  // A replica that leads only later has its mistakes told now.
  managementEndpoint(config);
  const decisions = createDecisionLog();
  const told = createDecisionLog();
  let client: Client | undefined;
  const ownClient = (): Client => (client ??= createClient(api.transport()));
  let engine: Engine | undefined;
  let leadership: Led | undefined;
  const schedulerLease = { namespace: config.leaderElectResourceNamespace, name: SCHEDULER_LEASE };
  // A replica that does not lead keeps no decisions and asks no estimators; it computes from what is stored.
  const deciding = (): DecisionApiParts => {
    const identity = leadership?.identity ?? "";
    const live = engine?.deciding ?? {};
    const plugins = choosePlugins(config.plugins, [...builtinPlugins, ...(live.pluginHosts ?? [])]);
    const propagatesEmptyWorkloads = config.enableEmptyWorkloadPropagation;
    return {
      ...live,
      decisions,
      told,
      schedulerName: config.schedulerName,
      client: ownClient(),
      clock,
      options: { gates: config.gates, plugins, propagatesEmptyWorkloads },
      ...(leadership === undefined || leadership.isLeader
        ? {}
        : {
            askLeader: (request: FrontRequest, user: User, body: Buffer) =>
              askLeader(
                { api, client: ownClient(), pki: ownPki, lease: schedulerLease, identity },
                request,
                user,
                body,
              ),
          }),
    };
  };
  const asCaller = (request: FrontRequest, user: User) => api.front.handle({ ...request, trustedUser: user });
  const proxied = clusterProxy(clusterSource(ownClient), asCaller);
  let search: Search | undefined;
  // Through another replica a policy may have been written that this one has not seen yet.
  const isOnlyWriter = backend.settle === undefined;
  let mark: MarkNew | undefined;
  let ownPki = pki;
  const access = accessOptions(config, () => pki, clock, log);
  const api: RunningApiServer = await startApiServer({
    backend,
    clock,
    random,
    log,
    admission: karmadaAdmission(random, {
      allowNoExecuteTaintPolicy: config.allowNoExecuteTaintPolicy,
      gates: config.gates,
      client: ownClient,
      clock,
      defaultTolerations: {
        notReadySeconds: config.defaultNotReadyTolerationSeconds,
        unreachableSeconds: config.defaultUnreachableTolerationSeconds,
      },
      luaSyntaxError: luaSyntaxError(),
      ...(isOnlyWriter ? { markNew: (object) => mark?.(object) ?? object } : {}),
    }),
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
    conversions: karmadaConversions,
    aggregated: aggregatedDefinitions(clock, config),
    aggregation: { proxyCertificate: () => ownPki.frontProxy, authority: () => pki.authority.certificate },
    namespaces: [SYSTEM_NAMESPACE, CLUSTER_NAMESPACE],
    bootstrapRoles: karmadaBootstrapRoles,
    ...access,
    ...(options.metrics === undefined ? {} : { measures: options.metrics }),
    ...(options.metricsText === undefined ? {} : { metrics: options.metricsText }),
    connect: async (request, path, user) =>
      (await proxied(request, path, user)) ??
      (await search?.connect(request, path, user)) ??
      answerDecision(deciding(), request, path, user),
  });
  const aggregated = aggregatedWay();
  api.server.remote = aggregated.transport;
  const transport = api.transport();
  const kinds = servedKinds(api);
  const start = (through: Transport): Promise<Engine> =>
    startEngine({
      config,
      transport: through,
      clock,
      random,
      log,
      decisions,
      templates: templateKinds(api),
      marksNew(given) {
        mark = given;
      },
      addOthers: (add) => addKubernetesControllers(add, { config, api, pki, kinds }),
      ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
      ...(options.inProcess === undefined ? {} : { inProcess: options.inProcess }),
      ...(options.turns === undefined ? {} : { turns: options.turns }),
    });
  // Nobody else can write to a store of this process alone: there is no lead to take.
  const isAlone = isOnlyWriter || !config.leaderElect;
  leadership = isAlone
    ? undefined
    : lead({
        transport,
        clock,
        random,
        log,
        config,
        leases: LEASES,
        whenLost: "wait",
        start: async (fenced) => {
          const own = await start(fenced);
          engine = own;
          search?.wake();
          return own;
        },
        ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
      });
  if (isAlone)
    try {
      engine = await start(transport);
    } catch (error) {
      api.stop();
      throw error;
    }
  const working = (): Engine => {
    if (engine === undefined) throw new Error("this replica does not lead: its controllers do not run");
    return engine;
  };
  search = serveSearch({
    config,
    transport,
    clock,
    random,
    log,
    proxied,
    toControlPlane: asCaller,
    review: (wanted) => Promise.resolve(api.authorizer.authorize(wanted)),
    isLeading: () => leadership?.isLeader ?? true,
    ...(options.inProcess === undefined ? {} : { inProcess: options.inProcess }),
  });
  api.setReady(true);
  // Other stores forget by themselves.
  const stopCompaction =
    backend.settle === undefined || config.etcdCompactionIntervalMs === 0
      ? () => undefined
      : startCompaction(backend, { clock, log, intervalMs: config.etcdCompactionIntervalMs });
  let isStopping = false;
  let listener: Listener | undefined;
  let plain: PlainListeners | undefined;
  let serving: Serving | undefined;
  let ownAddress: string | undefined;
  const { renewPki } = options;
  const renewal =
    renewPki === undefined
      ? {}
      : {
          renew: async () => {
            ownPki = await renewPki();
            if (ownAddress !== undefined) aggregated.open(ownAddress, ownPki.admin);
            return ownPki;
          },
        };
  return {
    api,
    get manager() {
      return working().manager;
    },
    get scheduler() {
      return working().scheduler;
    },
    get members() {
      return working().members;
    },
    get interpreter() {
      return working().interpreter;
    },
    get isLeader() {
      return leadership?.isLeader ?? true;
    },
    failed: leadership?.failed ?? new Promise<never>(() => undefined),
    decisions,
    transport,
    async listen() {
      serving = followServing({ config, clock, log, pki, ...renewal, authorities: () => askedAuthorities(access) });
      listener = await api.listen({
        host: config.bindAddress,
        port: config.securePort,
        ...(config.advertiseAddress === undefined ? {} : { advertisedAddress: config.advertiseAddress }),
        ...(leadership === undefined ? {} : { identity: leadership.identity }),
        ...serving.present,
      });
      serving.follow(listener);
      const host = config.bindAddress === "0.0.0.0" ? (config.tlsSans[0] ?? "127.0.0.1") : config.bindAddress;
      const address = `https://${host.includes(":") ? `[${host}]` : host}:${listener.port}`;
      const isAnywhere = config.bindAddress === "0.0.0.0" || config.bindAddress === "::";
      ownAddress = isAnywhere ? `https://127.0.0.1:${listener.port}` : address;
      aggregated.open(ownAddress, ownPki.admin);
      await publishClusterInfo(createClient(transport), address, pki.authority.certificate);
      plain = await startPlainListeners({
        metrics: config.metricsBindAddress,
        health: config.healthProbeBindAddress,
        metricsText: options.metricsText ?? (() => Promise.resolve("")),
        isReady: () => !isStopping,
      });
      return listener;
    },
    async stop() {
      isStopping = true;
      api.setReady(false);
      stopCompaction();
      serving?.stop();
      const withdrawn = api
        .withdraw()
        .catch((error: unknown) => log.warn("this server could not be taken out of those that serve", { error }));
      if (listener !== undefined) await sleep(clock, config.shutdownDelayMs);
      await withdrawn;
      await aggregated.close();
      await listener?.close();
      await search?.stop();
      // A leader gives its lease back through its own API server, so that another replica goes on at once.
      await leadership?.stop();
      if (leadership === undefined) await engine?.stop();
      api.stop();
      await access.audit?.close();
      await plain?.close();
      await backend.close();
    },
  };
}

/** Addresses of Endpoints are for others; what none of them could use is refused by name. */
function checkAdvertised(address: string | undefined): void {
  if (address !== undefined && (isIP(address) === 0 || /^(127\.|0\.0\.0\.0$|::1?$)/.test(address)))
    throw new Error(`--advertise-address: ${JSON.stringify(address)} is no IP address that others can use`);
}

/** Clusters and Secrets as they are stored now. */
function clusterSource(client: () => Client): ClusterSource {
  return {
    cluster: (name) => client().find(Cluster, { name }),
    clusters: async () => (await client().list(Cluster)).items,
    secret: (namespace, name) => client().find(Secret, { namespace, name }),
  };
}

/** Kinds whose objects may be templates: those that can be listed, watched and deleted, in one version each. */
function templateKinds(api: RunningApiServer): TemplateKinds {
  const served = servedKinds(api);
  return {
    ...served,
    find: (apiVersion, kind) => {
      const slash = apiVersion.indexOf("/");
      return api.server.registry.findKind(
        slash < 0 ? "" : apiVersion.slice(0, slash),
        slash < 0 ? apiVersion : apiVersion.slice(slash + 1),
        kind,
      )?.kind;
    },
  };
}
