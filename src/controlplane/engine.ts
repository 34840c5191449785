import { Secret } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import { type Clock, exponentialBackoff, type Logger, type Metrics, type Random } from "#base";
import { createInformers, withRateLimit, restMetrics } from "#client";
import type { EngineConfig } from "#config";
import { createManager, type Manager, PATIENT, type Turn, Turns } from "#controller-runtime";
import { deschedulerController } from "#controllers/descheduler";
import type { MarkNew, TemplateKinds } from "#controllers/detector";
import { connectEstimators } from "#estimator";
import type { Interpreter } from "#interpreter";
import { objectKey, type Transport } from "#machinery";
import { createMemberPool, type Member, type MemberPool } from "#member";
import { assembleScheduler, type DecisionLog, type LiveParts, type PlaceNew, schedulerController } from "#scheduler";
import { StoreError } from "#store";
import { spendMemory } from "./burst.ts";
import { followManagement, managementEndpoint } from "./cluster-api.ts";
import { connectMember } from "./connect-member.ts";
import { type AddController, addKarmadaControllers, controllerAdder } from "./controllers.ts";
import { createInterpretation } from "./interpretation.ts";
import { schedulerOptionsOf } from "./programs.ts";
import { discoveryOf, pluginUrl } from "./scheduling.ts";

/**
 * Locks of controllers and scheduler together, by the names upstream's programs take (wire): another controller manager, or
 * another scheduler of that name, must not work beside ours.
 */
export const SCHEDULER_LEASE = "karmada-scheduler";
export const LEASES = ["karmada-controller-manager", SCHEDULER_LEASE];

export interface EngineOptions {
  readonly config: EngineConfig;
  /** The API server with Karmada's kinds: in process, or any other over HTTP. */
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: Metrics;
  readonly decisions: DecisionLog;
  /** Kinds whose objects may be templates. */
  readonly templates: TemplateKinds;
  /** Takes how new templates are marked as they are created, for an API server in this process. */
  readonly marksNew?: (mark: MarkNew) => void;
  /** Members of the same process, by the endpoint their Cluster names: reached without HTTP. */
  readonly inProcess?: ReadonlyMap<string, Transport>;
  /** Whom the controllers share the thread with, besides each other. */
  readonly turns?: Turns;
  /** Whether the API server is another's, and admission a webhook of it; default false. */
  readonly isGuest?: boolean;
  /** Adds what the API server needs beside Karmada's controllers; an existing cluster has its own. */
  readonly addOthers?: (add: AddController) => void;
}

/** Controllers and scheduler at work on one API server. */
export interface Engine {
  readonly manager: Manager;
  readonly scheduler: Manager;
  readonly members: MemberPool;
  readonly interpreter: Interpreter;
  /** What a decision may ask besides objects: estimators and users' plugins. */
  readonly deciding: LiveParts;
  stop(): Promise<void>;
}

/** Starts everything that works on objects; resolves when all of it runs. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { config, transport, clock, random, log, decisions, templates } = options;
  const management = managementEndpoint(config);
  let refuse: (error: Error) => void = () => undefined;
  // Caches would wait for ever for a list that an entry of the store spoils.
  const unreadable = new Promise<never>((_resolve, reject) => {
    refuse = reject;
  });
  unreadable.catch(() => undefined);
  const informers = createInformers(transport, {
    clock,
    log,
    onError(error) {
      if (error instanceof StoreError && error.code === "STORE_UNREADABLE") refuse(error);
    },
  });
  const members = createMemberPool({
    clock,
    log,
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  });
  const ratedBy = (qps: number, burst: number) => (to: Transport) => withRateLimit(to, { clock, qps, burst });
  const turns =
    options.turns ?? new Turns(options.inProcess === undefined ? PATIENT : undefined, undefined, spendMemory);
  const shared = {
    transport: ratedBy(config.kubeApiQps, config.kubeApiBurst)(transport),
    backoff: exponentialBackoff({ baseMs: config.rateLimiterBaseDelayMs, maxMs: config.rateLimiterMaxDelayMs }),
    ...(config.rateLimiterQps > 0
      ? { retryRate: { perSecond: config.rateLimiterQps, burst: config.rateLimiterBucketSize } }
      : {}),
    clock,
    random,
    log,
    informers,
    turns,
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
    plugins: config.interpreterPlugins.map((given) => pluginUrl(given, "--interpreter-plugin")),
  });
  const { interpreter } = interpretation;
  const rated = ratedBy(config.clusterApiQps, config.clusterApiBurst);
  const asking = {
    timeoutMs: config.clusterApiTimeoutMs,
    // What members say is read like reports are written: after the burst that makes them say it.
    inTurn: (turn: Turn) => turns.ask(turn, "background"),
    ...(options.metrics === undefined ? {} : { measure: restMetrics(options.metrics) }),
  };
  const readSecret = async (namespace: string, name: string) =>
    informers.of(Secret).get(objectKey(namespace, name)) ?? (await manager.client.find(Secret, { namespace, name }));
  const connect = (cluster: Cluster): Promise<Member> =>
    connectMember(cluster, readSecret, members, rated, options.inProcess, asking);
  let place: PlaceNew | undefined;
  const adder = controllerAdder(config, manager);
  options.addOthers?.(adder.add);
  addKarmadaControllers(adder.add, {
    config,
    manager,
    members,
    interpreter,
    templates,
    ...(options.marksNew === undefined ? {} : { marksNew: options.marksNew }),
    placeNew: (binding) => place?.(binding),
    connect,
    isGuest: options.isGuest ?? false,
  });
  adder.refuseMissing();
  const estimators =
    config.enableSchedulerEstimator || config.enableDescheduler
      ? connectEstimators({
          clock,
          log,
          gates: config.gates,
          timeoutMs: config.schedulerEstimatorTimeoutMs,
          members,
          remote: { informers, client: scheduler.client, options: discoveryOf(config, clock) },
        })
      : undefined;
  const assembled = await assembleScheduler({
    clock,
    log,
    gates: config.gates,
    decisions,
    pluginUrls: config.schedulerPlugins.map((given) => pluginUrl(given, "--scheduler-plugin")),
    ...(estimators === undefined || !config.enableSchedulerEstimator ? {} : { estimatorPool: estimators.pool }),
    placesNew(given) {
      place = given;
    },
  });
  scheduler.add(schedulerController, { deps: assembled.deps, options: schedulerOptionsOf(config, clock) });
  if (config.enableDescheduler && estimators !== undefined)
    manager.add(deschedulerController, { deps: { estimators: estimators.pool }, options: config });
  let clusterApi: { stop(): Promise<void> } | undefined;
  const stop = async () => {
    await clusterApi?.stop();
    await members.stopAfter(Promise.all([manager.stop(), scheduler.stop()]));
    assembled.stop();
    estimators?.stop();
    await interpretation.stop();
    informers.stop();
  };
  informers.start();
  const starting = interpretation.start().then(() => Promise.all([manager.start(), scheduler.start()]));
  try {
    await Promise.race([starting, unreadable]);
  } catch (error) {
    starting.catch(() => undefined);
    // Whoever waits for a cache waits no longer.
    informers.stop();
    await stop();
    throw error;
  }
  if (management !== undefined)
    clusterApi = followManagement(() => managementEndpoint(config) ?? management, {
      plane: manager.client,
      clusters: informers.of(Cluster),
      clock,
      random,
      log: log.with({ controller: "cluster-api" }),
    });
  return {
    manager,
    scheduler,
    members,
    interpreter,
    deciding: assembled.deps,
    stop,
  };
}
