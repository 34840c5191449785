import { Cluster, SYSTEM_NAMESPACE } from "#apis/karmada";
import { Service } from "#apis/kubernetes";
import { type Clock, exponentialBackoff, type Logger, type Timer } from "#base";
import type { Client, Informers } from "#client";
import type { ClusterEstimator, MutableEstimatorPool } from "../pool.ts";
import { type ClientSecurity, dialEstimator } from "./client.ts";

export interface DiscoveryOptions {
  /** `--scheduler-estimator-service-namespace`; default `karmada-system`. */
  readonly namespace?: string;
  /** `--scheduler-estimator-service-prefix`; default `karmada-scheduler-estimator`. */
  readonly prefix?: string;
  /** `--scheduler-estimator-port`; default 10352. */
  readonly port?: number;
  /** `--disable-scheduler-estimator-in-pull-mode`; default false. */
  readonly skipsPullMode?: boolean;
  /** Asked before each dial, and now and then: where it says something else, all are dialled anew. */
  readonly security?: () => ClientSecurity;
}

const DEFAULTS = { namespace: SYSTEM_NAMESPACE, prefix: "karmada-scheduler-estimator", port: 10_352 };
const LOOK_AGAIN_MS = 10_000;
const RETRY = exponentialBackoff({ baseMs: 1_000, maxMs: 60_000 });

interface Port {
  readonly port: number;
  readonly targetPort?: number | string;
}

/** Addresses of a cluster's estimator, to be tried in order. Throws for a Service that names none. */
export function estimatorAddresses(
  cluster: string,
  service: Service | undefined,
  options: DiscoveryOptions = {},
): readonly string[] {
  const { namespace, prefix, port } = { ...DEFAULTS, ...options };
  const name = `${prefix}-${cluster}`;
  if (service === undefined)
    return [`${name}.${namespace}.svc.cluster.local:${port}`, `${name}.${namespace}.svc:${port}`];
  const { type = "ClusterIP", externalName, ports = [] } = service.spec ?? {};
  if (type !== "ExternalName") throw new Error(`unsupported service type "${type}"`);
  const found = (ports as readonly Port[]).find((one) => one.port === port);
  if (found === undefined || typeof found.targetPort !== "number")
    throw new Error(`service ${namespace}/${name} has no port ${port} with a number as target port`);
  return [`${externalName}:${found.targetPort}`];
}

/** Keeps a pool connected to the estimators of all clusters, until stopped. Connections that stand are kept. */
export function followEstimators(given: {
  readonly informers: Informers;
  readonly client: Client;
  readonly pool: MutableEstimatorPool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly options?: DiscoveryOptions;
}): {
  /** Resolves when every cluster known at the start has been tried once. */
  tried(): Promise<void>;
  stop(): void;
} {
  const { informers, client, pool, clock, log, options = {} } = given;
  const { namespace, prefix } = { ...DEFAULTS, ...options };
  const clusters = informers.of(Cluster);
  const waiting = new Map<string, Timer>();
  const dialling = new Set<string>();
  /** Connections that stand, with what they were dialled with. */
  const standing = new Map<string, { readonly estimator: ClusterEstimator; readonly security: string }>();
  const textOf = () => JSON.stringify(options.security?.() ?? {});
  let isStopped = false;

  /** Whether a cluster is answered for, and would be dialled no other way. */
  const isSettled = (name: string): boolean => {
    const own = standing.get(name);
    return pool.has(name) && (own === undefined || !pool.holds(name, own.estimator) || own.security === textOf());
  };

  async function connect(name: string, failures: number): Promise<void> {
    if (isStopped || dialling.has(name) || isSettled(name)) return;
    dialling.add(name);
    waiting.get(name)?.cancel();
    waiting.delete(name);
    try {
      const service = await client.find(Service, { namespace, name: `${prefix}-${name}` });
      const security = options.security?.();
      const estimator = await dialEstimator({
        addresses: estimatorAddresses(name, service, options),
        cluster: name,
        ...(security === undefined ? {} : { security }),
      });
      // Its member may have connected to this process meanwhile, which answers without the network.
      if (isStopped || isSettled(name) || clusters.get(name) === undefined) estimator.close?.();
      else {
        pool.set(name, estimator);
        standing.set(name, { estimator, security: JSON.stringify(security ?? {}) });
      }
    } catch (error) {
      log.debug("could not reach a cluster's estimator", { cluster: name, error });
      if (!isStopped && clusters.get(name) !== undefined)
        waiting.set(
          name,
          clock.after(RETRY(failures), () => void connect(name, failures + 1)),
        );
    } finally {
      dialling.delete(name);
    }
  }

  const first: Promise<void>[] = [];
  const consider = async (cluster: Cluster): Promise<void> => {
    if (options.skipsPullMode && cluster.spec.syncMode === "Pull") return;
    await connect(cluster.metadata.name ?? "", 0);
  };
  const release = clusters.handle({
    add: (cluster, isInitial) => {
      const trying = consider(cluster);
      if (isInitial) first.push(trying);
    },
    update: (cluster, old) => {
      if (cluster.metadata.generation !== old.metadata.generation) void consider(cluster);
    },
    delete: ({ metadata: { name = "" } }) => {
      waiting.get(name)?.cancel();
      waiting.delete(name);
      standing.delete(name);
      pool.delete(name);
    },
  });
  let timer: Timer | undefined;
  const lookLater = (): void => {
    timer = clock.after(LOOK_AGAIN_MS, () => {
      // The old connection serves until the new one stands.
      for (const name of standing.keys()) void connect(name, 0);
      lookLater();
    });
  };
  if (options.security !== undefined) lookLater();
  return {
    async tried() {
      await clusters.whenSynced();
      await Promise.all(first.splice(0));
    },
    stop() {
      isStopped = true;
      timer?.cancel();
      release();
      for (const timer of waiting.values()) timer.cancel();
      waiting.clear();
    },
  };
}
