import { Secret } from "#apis/kubernetes";
import { type Cluster, karmadaConversions, karmadaCustomResourceDefinitions } from "#apis/karmada";
import { karmadaAdmission } from "#admission";
import { aggregatedDefinitions } from "#aggregated-apiserver";
import { type Listener, type RunningApiServer, startApiServer } from "#apiserver";
import { type Clock, exponentialBackoff, type Logger, type Metrics, type Random } from "#base";
import type { Pki } from "#certs";
import { type Client, createClient, createHttpTransport, createInformers, withRateLimit } from "#client";
import type { ServerConfig } from "#config";
import { karmadaBootstrapRoles } from "./bootstrap-roles.ts";
import { publishClusterInfo } from "./cluster-info.ts";
import { addControllers } from "./controllers.ts";
import { createInterpretation } from "./interpretation.ts";
import { schedulerOptionsOf } from "./programs.ts";
import { discoveryOf, pluginUrl } from "./scheduling.ts";
import { type PlainListeners, startPlainListeners } from "./plain-listeners.ts";
import { createManager, type Manager, Turns } from "#controller-runtime";
import { deschedulerController } from "#controllers/descheduler";
import { connectEstimators } from "#estimator";
import { createLuaEngine, type Interpreter } from "#interpreter";
import { objectKey, type Transport } from "#machinery";
import { createMemberPool, type Member, type MemberPool } from "#member";
import { assembleScheduler, createDecisionLog, type DecisionLog, schedulerController } from "#scheduler";
import { servedKinds } from "#simulator";
import type { Backend } from "#store";
import type { TemplateKinds } from "#controllers/detector";

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
  /** Whom the controllers share the thread with, besides each other. */
  readonly turns?: Turns;
}

/** A control plane that runs: API server, controllers and scheduler over one store. */
export interface ControlPlane {
  readonly api: RunningApiServer;
  readonly manager: Manager;
  readonly scheduler: Manager;
  readonly members: MemberPool;
  readonly decisions: DecisionLog;
  readonly interpreter: Interpreter;
  readonly transport: Transport;
  listen(): Promise<Listener>;
  stop(): Promise<void>;
}

export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { config, clock, random, log, pki, backend } = options;
  let admissionClient: Client | undefined;
  const api: RunningApiServer = await startApiServer({
    backend,
    clock,
    random,
    log,
    serviceAccountKeys: pki.serviceAccount,
    admission: karmadaAdmission(random, {
      allowNoExecuteTaintPolicy: config.allowNoExecuteTaintPolicy,
      gates: config.gates,
      client: () => (admissionClient ??= createClient(api.transport())),
      clock,
      defaultTolerations: {
        notReadySeconds: config.defaultNotReadyTolerationSeconds,
        unreachableSeconds: config.defaultUnreachableTolerationSeconds,
      },
      luaSyntaxError: luaSyntaxError(),
    }),
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
    conversions: karmadaConversions,
    aggregated: aggregatedDefinitions(clock),
    namespaces: ["karmada-system", "karmada-cluster"],
    bootstrapRoles: karmadaBootstrapRoles,
    ...(options.metricsText === undefined ? {} : { metrics: options.metricsText }),
  });
  const transport = api.transport();
  const informers = createInformers(transport, { clock, log });
  const members = createMemberPool({ clock, log });
  const templates = templateKinds(api);
  const ratedBy = (qps: number, burst: number) => (to: Transport) => withRateLimit(to, { clock, qps, burst });
  const shared = {
    transport: ratedBy(config.kubeApiQps, config.kubeApiBurst)(transport),
    backoff: exponentialBackoff({ baseMs: config.rateLimiterBaseDelayMs, maxMs: config.rateLimiterMaxDelayMs }),
    clock,
    random,
    log,
    informers,
    turns: options.turns ?? new Turns(),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  };
  const manager = createManager({ ...shared, component: "karmada-controller-manager" });
  const scheduler = createManager({ ...shared, component: "karmada-scheduler" });
  const interpretation = createInterpretation({
    informers,
    clock,
    random,
    log,
    events: () => manager.events.from("resource-interpreter"),
    plugins: config.interpreterPlugins.map(pluginUrl),
  });
  const { interpreter } = interpretation;
  const rated = ratedBy(config.clusterApiQps, config.clusterApiBurst);
  const connect = (cluster: Cluster): Promise<Member> =>
    connectMember(cluster, manager, members, rated, options.inProcess);
  addControllers({ config, manager, members, interpreter, templates, connect, api, pki, kinds: servedKinds(api) });
  const decisions = createDecisionLog();
  const estimators =
    config.enableSchedulerEstimator || config.enableDescheduler
      ? connectEstimators({
          clock,
          log,
          gates: config.gates,
          timeoutMs: config.schedulerEstimatorTimeoutMs,
          members,
          remote: { informers, client: scheduler.client, options: discoveryOf(config) },
        })
      : undefined;
  const assembled = await assembleScheduler({
    clock,
    log,
    gates: config.gates,
    decisions,
    pluginUrls: config.schedulerPlugins.map(pluginUrl),
    ...(estimators === undefined || !config.enableSchedulerEstimator ? {} : { estimatorPool: estimators.pool }),
  });
  scheduler.add(schedulerController, { deps: assembled.deps, options: schedulerOptionsOf(config) });
  if (config.enableDescheduler && estimators !== undefined)
    manager.add(deschedulerController, { deps: { estimators: estimators.pool }, options: config });
  informers.start();
  await interpretation.start();
  await Promise.all([manager.start(), scheduler.start()]);
  api.setReady(true);
  let isStopping = false;
  let listener: Listener | undefined;
  let plain: PlainListeners | undefined;
  return {
    api,
    manager,
    scheduler,
    members,
    decisions,
    interpreter,
    transport,
    async listen() {
      listener = await api.listen({
        host: config.bindAddress,
        port: config.securePort,
        certificate: pki.server.certificate,
        key: pki.server.key,
        clientAuthority: pki.authority.certificate,
      });
      const host = config.bindAddress === "0.0.0.0" ? (config.tlsSans[0] ?? "127.0.0.1") : config.bindAddress;
      const address = `https://${host.includes(":") ? `[${host}]` : host}:${listener.port}`;
      await publishClusterInfo(manager.client, address, pki.authority.certificate);
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
      await listener?.close();
      await Promise.all([manager.stop(), scheduler.stop()]);
      assembled.stop();
      estimators?.stop();
      await interpretation.stop();
      informers.stop();
      members.stop();
      api.stop();
      await plain?.close();
      await backend.close();
    },
  };
}

/** What is wrong with the text of a Lua script, as admission asks it; nothing is run. */
function luaSyntaxError(): (script: string) => string | undefined {
  const engine = createLuaEngine({ now: () => 0 });
  return (script) => {
    try {
      engine.check(script);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
}

/** Kinds whose objects may be templates: stored ones that can be listed, watched and deleted, in one version each. */
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

/** Opens the member a Cluster names: within the process where it is one of ours, over HTTPS otherwise. */
async function connectMember(
  cluster: Cluster,
  manager: Manager,
  members: MemberPool,
  rated: (transport: Transport) => Transport,
  inProcess: ReadonlyMap<string, Transport> | undefined,
): Promise<Member> {
  const name = cluster.metadata.name ?? "";
  const spec = cluster.spec as NonNullable<Cluster["spec"]>;
  const endpoint = spec.apiEndpoint ?? "";
  if (endpoint === "") throw new Error(`the api endpoint of cluster ${name} is empty`);
  const own = inProcess?.get(endpoint);
  if (own !== undefined)
    return members.connect({
      name,
      fingerprint: `in-process ${endpoint} ${cluster.metadata.uid}`,
      open: () => ({ transport: rated(own) }),
    });
  if (spec.secretRef === undefined) throw new Error(`cluster ${name} does not have a secret`);
  const { namespace, name: secretName } = spec.secretRef;
  const secret =
    manager.informers.of(Secret).get(objectKey(namespace, secretName)) ??
    (await manager.client.find(Secret, { namespace, name: secretName }));
  if (secret === undefined) throw new Error(`secrets ${JSON.stringify(secretName)} not found`);
  const read = (key: string) => Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
  const token = read("token");
  if (token === "") throw new Error(`the secret of cluster ${name} has no token`);
  const certificateAuthority = read("caBundle");
  const isInsecure = spec.insecureSkipTLSVerification === true;
  if (certificateAuthority === "" && !isInsecure) throw new Error(`the secret of cluster ${name} has no caBundle`);
  const proxyHeaders = Object.fromEntries(Object.entries((spec.proxyHeader ?? {}) as Readonly<Record<string, string>>));
  const fingerprint = JSON.stringify([endpoint, token, certificateAuthority, isInsecure, spec.proxyURL, proxyHeaders]);
  return members.connect({
    name,
    fingerprint,
    open: () => {
      const transport = createHttpTransport({
        server: endpoint,
        token,
        ...(isInsecure ? { insecureSkipTlsVerify: true } : { certificateAuthority }),
        ...(spec.proxyURL === undefined ? {} : { proxyUrl: spec.proxyURL, proxyHeaders }),
        userAgent: "karmada-controller-manager",
      });
      return { transport: rated(transport), close: () => transport.close() };
    },
  });
}
