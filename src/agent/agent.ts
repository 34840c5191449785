import { type Clock, exponentialBackoff, type Logger, type Metrics, type Random } from "#base";
import { Cluster, executionNamespace, Work } from "#apis/karmada";
import { createClient, createInformers, type Informers, withRateLimit } from "#client";
import { type AgentConfig, isControllerWanted } from "#config";
import { createManager, type EventRecorder, lead, type Manager } from "#controller-runtime";
import { certRotation } from "#controllers/cert-rotation";
import { clusterStatus } from "#controllers/cluster-status";
import { execution } from "#controllers/execution";
import { workStatus } from "#controllers/work-status";
import type { Interpreter } from "#interpreter";
import type { ResourceKind, Transport } from "#machinery";
import { createMemberPool } from "#member";
import type { PlaneConnection } from "./plane-connection.ts";
import { identify, NotThisMember, registerCluster } from "./registration.ts";

export interface AgentOptions {
  readonly config: AgentConfig;
  readonly plane: PlaneConnection;
  /** The member the agent runs in. */
  readonly member: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Makes the interpreter, which follows the control plane's customizations. */
  readonly interpretation: (given: { readonly informers: Informers; readonly events: () => EventRecorder }) => {
    readonly interpreter: Interpreter;
    start(): Promise<void>;
    stop(): Promise<void>;
  };
}

/** An agent that runs. */
export interface Agent {
  /** Rejects when it cannot go on: the member cannot be registered, or another agent took over. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

/** Starts an agent: it waits for its lease, registers the member and then looks after it. */
export function startAgent(options: AgentOptions): Agent {
  const { config, plane, clock, random, log, metrics } = options;
  const transport = withRateLimit(plane.transport, { clock, qps: config.kubeApiQps, burst: config.kubeApiBurst });
  const own = config.clusterName;
  const space = executionNamespace(own);
  const scope = (kind: ResourceKind) =>
    kind.resource === Work.resource
      ? { namespace: space }
      : kind.resource === Cluster.resource
        ? { fieldSelector: `metadata.name=${own}` }
        : {};
  const informers = createInformers(transport, { clock, log, scope });
  const members = createMemberPool({ clock, log });
  const memberClient = createClient(options.member, { fieldManager: "karmada-agent" });
  const manager = createManager({
    transport,
    informers,
    clock,
    random,
    log,
    metrics,
    backoff: exponentialBackoff({ baseMs: config.rateLimiterBaseDelayMs, maxMs: config.rateLimiterMaxDelayMs }),
    ...(config.rateLimiterQps > 0
      ? { retryRate: { perSecond: config.rateLimiterQps, burst: config.rateLimiterBucketSize } }
      : {}),
    component: "karmada-agent",
  });
  const rated = withRateLimit(options.member, { clock, qps: config.clusterApiQps, burst: config.clusterApiBurst });
  const connect = () =>
    members.connect({ name: own, fingerprint: "own", open: () => ({ transport: rated, isForeign: true }) });
  const interpretation = options.interpretation({
    informers,
    events: () => manager.events.from("resource-interpreter"),
  });
  addControllers(manager, options, members, connect, memberClient, interpretation.interpreter);
  const work = {
    async start() {
      const parties = { plane: createClient(transport, { fieldManager: "karmada-agent" }), member: memberClient };
      await registerCluster(config, { ...parties, clock, log });
      connect();
      informers.start();
      await interpretation.start();
      await manager.start();
      log.info("the agent looks after its member", { cluster: own });
    },
    async stop() {
      await manager.stop();
      await interpretation.stop();
    },
  };
  const begin = () =>
    lead({
      transport,
      config,
      clock,
      random,
      log,
      metrics,
      leases: [`karmada-agent-${own}`],
      whenLost: "fail",
      // The rest ends with the agent, whether or not it ever led.
      start: () => work.start().then(() => ({ stop: () => manager.stop() })),
    });
  let led: ReturnType<typeof begin> | undefined;
  let isStopping = false;
  // The agent of another cluster must not wait for the lead of this name, and take it one day only to be refused.
  const begun = identify(own, {
    plane: createClient(transport, { fieldManager: "karmada-agent" }),
    member: memberClient,
  })
    .catch((error: unknown) => {
      if (error instanceof NotThisMember) throw error;
      log.warn("the cluster's name could not be checked yet", { cluster: own, error });
    })
    .then(() => {
      if (!isStopping) led = begin();
    });
  const failed = begun.then(() => led?.failed ?? new Promise<never>(() => undefined));
  failed.catch(() => undefined);
  return {
    failed,
    async stop() {
      isStopping = true;
      await begun.catch(() => undefined);
      await members.stopAfter(led?.stop() ?? Promise.resolve());
      await work.stop();
      informers.stop();
    },
  };
}

function addControllers(
  manager: Manager,
  { config, plane }: AgentOptions,
  members: ReturnType<typeof createMemberPool>,
  connect: () => ReturnType<typeof members.connect>,
  member: ReturnType<typeof createClient>,
  interpreter: Interpreter,
): void {
  const own = config.clusterName;
  const isWanted = (name: string) => isControllerWanted(config.controllers, name);
  if (isWanted(clusterStatus.name))
    manager.add(clusterStatus, {
      deps: { members, connect: () => Promise.resolve(connect()), gates: config.gates, own },
      options: config,
    });
  if (isWanted(execution.name)) manager.add(execution, { deps: { members, interpreter, own }, options: config });
  if (isWanted(workStatus.name)) manager.add(workStatus, { deps: { members, interpreter }, options: config });
  if (isWanted(certRotation.name))
    manager.add(certRotation, { deps: { member, own, rotated: (text) => plane.use(text) }, options: config });
}
