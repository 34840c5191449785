import type { Component, ReplicaRequirements } from "#apis/karmada";
import type { Clock, Logger } from "#base";
import type { AssumedWorkload } from "./general.ts";

/** The workload a question is about. */
export interface ObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

/** What one question carries besides its subject. */
export interface Asking {
  /** The workload asked for, for the estimator's log. */
  readonly object?: ObjectRef | undefined;
  readonly assumed?: readonly AssumedWorkload[];
  readonly signal: AbortSignal;
}

/** Answers for one member cluster, in process or over the network. −1 means: it does not know. */
export interface ClusterEstimator {
  maxReplicas(requirements: ReplicaRequirements | undefined, asking: Asking): Promise<number> | number;
  maxSets(components: readonly Component[], namespace: string | undefined, asking: Asking): Promise<number> | number;
  unschedulableReplicas(workload: ObjectRef, thresholdMs: number, asking: Asking): Promise<number> | number;
  close?(): void;
}

/** Does not know: the cluster is left out of the minimum over estimators. */
export const UNKNOWN = -1;

export interface FanOut {
  readonly clusters: readonly string[];
  readonly object?: ObjectRef;
  /** Workloads placed a moment ago, by cluster. */
  readonly assumed?: ReadonlyMap<string, readonly AssumedWorkload[]>;
}

/**
 * Asks the accurate estimators of many clusters at once, under one deadline. A cluster whose estimator is missing, slow
 * or failing answers −1; the others keep their answers (docs/decisions/0504).
 */
export interface EstimatorPool {
  maxReplicas(requirements: ReplicaRequirements | undefined, of: FanOut): Promise<ReadonlyMap<string, number>>;
  maxSets(
    components: readonly Component[],
    namespace: string | undefined,
    of: FanOut,
  ): Promise<ReadonlyMap<string, number>>;
  unschedulableReplicas(workload: ObjectRef, thresholdMs: number, of: FanOut): Promise<ReadonlyMap<string, number>>;
  /** Whether any cluster has an estimator: without one there is nothing to wait for. */
  readonly isEmpty: boolean;
}

export interface PoolOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** One deadline for all clusters of a question; default 3 s. */
  readonly timeoutMs?: number;
}

/** A pool whose members come and go with the clusters. */
export interface MutableEstimatorPool extends EstimatorPool {
  /** Sets the estimator of a cluster, closing the one it had. */
  set(cluster: string, estimator: ClusterEstimator): void;
  delete(cluster: string): void;
  has(cluster: string): boolean;
  /** Whether it is this very one that answers for a cluster. */
  holds(cluster: string, estimator: ClusterEstimator): boolean;
  close(): void;
}

const DEFAULT_TIMEOUT_MS = 3_000;

export function createEstimatorPool({ clock, log, timeoutMs = DEFAULT_TIMEOUT_MS }: PoolOptions): MutableEstimatorPool {
  const members = new Map<string, ClusterEstimator>();

  async function ask(
    of: FanOut,
    one: (estimator: ClusterEstimator, asking: Asking) => Promise<number> | number,
  ): Promise<ReadonlyMap<string, number>> {
    const answers = new Map<string, number>();
    const waiting: Promise<void>[] = [];
    const abort = new AbortController();
    let settle: () => void = () => undefined;
    const deadline = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const fail = (cluster: string, error: unknown) => {
      if (!abort.signal.aborted) log.warn("an estimator gave no answer", { cluster, error });
    };
    for (const cluster of of.clusters) {
      answers.set(cluster, UNKNOWN);
      const estimator = members.get(cluster);
      if (estimator === undefined) continue;
      const asking: Asking = { object: of.object, assumed: of.assumed?.get(cluster) ?? [], signal: abort.signal };
      try {
        const answer = one(estimator, asking);
        if (typeof answer === "number") answers.set(cluster, checked(answer));
        else
          waiting.push(
            answer.then(
              (value) => {
                if (!abort.signal.aborted) answers.set(cluster, checked(value));
              },
              (error: unknown) => fail(cluster, error),
            ),
          );
      } catch (error) {
        fail(cluster, error);
      }
    }
    if (waiting.length > 0) {
      const timer = clock.after(timeoutMs, settle);
      await Promise.race([Promise.all(waiting), deadline]);
      timer.cancel();
      abort.abort();
    }
    return answers;
  }

  return {
    maxReplicas: (requirements, of) => ask(of, (estimator, asking) => estimator.maxReplicas(requirements, asking)),
    maxSets: (components, namespace, of) =>
      ask(of, (estimator, asking) => estimator.maxSets(components, namespace, asking)),
    unschedulableReplicas: (workload, thresholdMs, of) =>
      ask(of, (estimator, asking) => estimator.unschedulableReplicas(workload, thresholdMs, asking)),
    get isEmpty() {
      return members.size === 0;
    },
    set(cluster, estimator) {
      if (members.get(cluster) !== estimator) members.get(cluster)?.close?.();
      members.set(cluster, estimator);
    },
    delete(cluster) {
      members.get(cluster)?.close?.();
      members.delete(cluster);
    },
    has: (cluster) => members.has(cluster),
    holds: (cluster, estimator) => members.get(cluster) === estimator,
    close() {
      for (const estimator of members.values()) estimator.close?.();
      members.clear();
    },
  };
}

/** An answer that is no whole number, or below −1, is none. */
function checked(value: number): number {
  return Number.isInteger(value) && value >= UNKNOWN ? value : UNKNOWN;
}
