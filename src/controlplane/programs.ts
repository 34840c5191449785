import {
  type Backoff,
  type Clock,
  exponentialBackoff,
  type Logger,
  type Metrics,
  type Random,
  sleep,
  TokenBucket,
} from "#base";
import { withRateLimit } from "#client";
import type { DeschedulerConfig, EstimatorConfig, SchedulerConfig } from "#config";
import { createManager, lead, type Manager } from "#controller-runtime";
import { deschedulerController } from "#controllers/descheduler";
import { connectEstimators, type EstimatorServer, type ServerSecurity, serveMember } from "#estimator";
import type { Transport } from "#machinery";
import { assembleScheduler, createDecisionLog, schedulerController } from "#scheduler";
import { reportDecisions } from "./decision-report.ts";
import { startPlainListeners } from "./plain-listeners.ts";
import { discoveryOf, fileOf, pluginUrl } from "./scheduling.ts";
import { followedPair } from "./serving.ts";

/** What a program that is not the server is given. */
export interface ProgramOptions<C> {
  readonly config: C;
  /** The control plane's API; the member's for the estimator. */
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly metricsText: () => Promise<string>;
}

export interface Program {
  /** Rejects when the program cannot go on, such as one that lost its lease. It never resolves. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

interface Rates {
  readonly kubeApiQps: number;
  readonly kubeApiBurst: number;
}

const rated = ({ config, transport, clock }: ProgramOptions<Rates>): Transport =>
  withRateLimit(transport, { clock, qps: config.kubeApiQps, burst: config.kubeApiBurst });

type Listening = Pick<SchedulerConfig, "metricsBindAddress" | "healthProbeBindAddress">;

const listenersOf = ({ config, metricsText }: ProgramOptions<Listening>) =>
  startPlainListeners({
    metrics: config.metricsBindAddress,
    health: config.healthProbeBindAddress,
    metricsText,
    isReady: () => true,
  });

async function started(manager: Manager): Promise<Manager> {
  await manager.start();
  return manager;
}

/** Longest wait for estimators before the first pass. */
const FIRST_DIALS_MS = 5_000;

/** `flotilla scheduler`: a scheduler of its own beside a control plane, such as one by another name. */
export async function startScheduler(options: ProgramOptions<SchedulerConfig>): Promise<Program> {
  const { config, clock, random, log, metrics } = options;
  const { gates } = config;
  const manager = createManager({
    transport: rated(options),
    clock,
    random,
    log,
    metrics,
    component: "karmada-scheduler",
  });
  const estimators = config.enableSchedulerEstimator
    ? connectEstimators({
        clock,
        log,
        gates,
        timeoutMs: config.schedulerEstimatorTimeoutMs,
        remote: { informers: manager.informers, client: manager.client, options: discoveryOf(config, clock) },
      })
    : undefined;
  const report = reportDecisions(createDecisionLog(), { transport: options.transport, clock, logger: log });
  const assembled = await assembleScheduler({
    clock,
    log,
    gates,
    decisions: report.log,
    pluginUrls: config.schedulerPlugins.map((given) => pluginUrl(given, "--scheduler-plugin")),
    ...(estimators === undefined ? {} : { estimatorPool: estimators.pool }),
  });
  manager.add(schedulerController, { deps: assembled.deps, options: schedulerOptionsOf(config, clock) });
  const plain = await listenersOf(options);
  manager.informers.start();
  // A first pass that asks nobody would place by sums alone; one that waits for ever would place nothing.
  const tried = async () => {
    if (estimators !== undefined) await Promise.race([estimators.tried(), sleep(clock, FIRST_DIALS_MS)]);
  };
  const program = lead({
    ...options,
    leases: [config.leaderElectResourceName],
    whenLost: "fail",
    start: () => tried().then(() => started(manager)),
  });
  return {
    failed: program.failed,
    async stop() {
      await program.stop();
      await manager.stop();
      report.stop();
      assembled.stop();
      estimators?.stop();
      await plain.close();
    },
  };
}

const PASSES_WITH_PLUGINS = 8;
/** Failures that come back in a second where the flag leaves it open, as upstream's (wire). */
const PLAIN_RETRIES_PER_SECOND = 10;

/** Waits of a queue without priorities: by object, and of all failures together by a bucket. */
function plainBackoffOf(
  config: Pick<
    SchedulerConfig,
    "rateLimiterBaseDelayMs" | "rateLimiterMaxDelayMs" | "rateLimiterQps" | "rateLimiterBucketSize"
  >,
  clock: Clock,
): Backoff {
  const own = exponentialBackoff({ baseMs: config.rateLimiterBaseDelayMs, maxMs: config.rateLimiterMaxDelayMs });
  const perSecond = config.rateLimiterQps > 0 ? config.rateLimiterQps : PLAIN_RETRIES_PER_SECOND;
  const bucket = new TokenBucket({ clock, perSecond, burst: config.rateLimiterBucketSize });
  return (failures) => Math.max(own(failures), bucket.reserveMs());
}

/** Options of the scheduler's controller, from flags. */
export const schedulerOptionsOf = (
  config: Pick<
    SchedulerConfig,
    | "schedulerName"
    | "plugins"
    | "enableEmptyWorkloadPropagation"
    | "unclaimedBindings"
    | "schedulerPlugins"
    | "rateLimiterBaseDelayMs"
    | "rateLimiterMaxDelayMs"
    | "rateLimiterQps"
    | "rateLimiterBucketSize"
  >,
  clock: Clock,
) => ({
  schedulerName: config.schedulerName,
  plugins: config.plugins,
  enableEmptyWorkloadPropagation: config.enableEmptyWorkloadPropagation,
  unclaimedBindings: config.unclaimedBindings,
  // Users' plugins answer one pass after the other: many passes waiting for them would be in nobody's order of priority.
  ...(config.schedulerPlugins.length === 0 ? {} : { concurrentWrites: PASSES_WITH_PLUGINS }),
  plainBackoff: plainBackoffOf(config, clock),
});

/** `flotilla descheduler`: takes replicas that found no node off their clusters. */
export async function startDescheduler(options: ProgramOptions<DeschedulerConfig>): Promise<Program> {
  const { config, clock, random, log, metrics } = options;
  const component = "karmada-descheduler";
  const manager = createManager({ transport: rated(options), clock, random, log, metrics, component });
  const estimators = connectEstimators({
    clock,
    log,
    gates: new Set(),
    timeoutMs: config.schedulerEstimatorTimeoutMs,
    remote: { informers: manager.informers, client: manager.client, options: discoveryOf(config, clock) },
  });
  manager.add(deschedulerController, { deps: { estimators: estimators.pool }, options: config });
  const plain = await listenersOf(options);
  const program = lead({ ...options, leases: [component], whenLost: "fail", start: () => started(manager) });
  return {
    failed: program.failed,
    async stop() {
      await program.stop();
      await manager.stop();
      estimators.stop();
      await plain.close();
    },
  };
}

/** `flotilla estimator`: answers over gRPC how much fits into one member. Resolves when it answers. */
export async function startEstimator(
  options: ProgramOptions<EstimatorConfig>,
): Promise<Program & { readonly port: number }> {
  const { config, clock, log, metrics } = options;
  const certificate = fileOf("grpc-auth-cert-file", config.grpcAuthCertFile, clock);
  const key = fileOf("grpc-auth-key-file", config.grpcAuthKeyFile, clock);
  if ((certificate === undefined) !== (key === undefined))
    throw new Error("--grpc-auth-cert-file and --grpc-auth-key-file must be given together");
  const clientAuthority = fileOf("grpc-client-ca-file", config.grpcClientCaFile, clock);
  if (clientAuthority !== undefined && certificate === undefined)
    throw new Error("--grpc-client-ca-file needs --grpc-auth-cert-file and --grpc-auth-key-file");
  const pair =
    certificate === undefined || key === undefined ? undefined : followedPair("grpc-auth-cert-file", certificate, key);
  const securityOf = (own: NonNullable<typeof pair>): ServerSecurity => ({
    ...own(),
    ...(clientAuthority === undefined ? {} : { clientAuthority: clientAuthority() }),
    skipsClientVerify: config.insecureSkipGrpcClientVerify,
  });
  const server = await serveMember({
    cluster: config.clusterName,
    transport: rated(options),
    clock,
    log,
    metrics,
    gates: config.gates,
    host: config.bindAddress,
    port: config.serverPort,
    ...(pair === undefined ? {} : { security: securityOf(pair) }),
  });
  const ended = new AbortController();
  if (pair !== undefined) void renewing(server, () => securityOf(pair), clock, log, ended.signal);
  const plain = await listenersOf(options);
  return {
    port: server.port,
    failed: new Promise<never>(() => undefined),
    async stop() {
      ended.abort();
      await server.stop();
      await plain.close();
    },
  };
}

const LOOK_AGAIN_MS = 10_000;

/** Hands a server what its files say now, whenever they say something new. */
async function renewing(
  server: EstimatorServer,
  read: () => ServerSecurity,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  let present = JSON.stringify(read());
  for (;;) {
    await sleep(clock, LOOK_AGAIN_MS, signal);
    if (signal.aborted) return;
    const next = read();
    if (JSON.stringify(next) === present) continue;
    present = JSON.stringify(next);
    server.renew(next);
    log.info("answers with other certificates");
  }
}
