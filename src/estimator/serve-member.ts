import { Deployment, Node, Pod, ReplicaSet, ResourceQuota } from "#apis/kubernetes";
import type { Clock, Logger, Metrics } from "#base";
import { createInformers } from "#client";
import type { Transport } from "#machinery";
import { type EstimatorServer, type ServerSecurity, startEstimatorServer } from "./grpc/server.ts";
import { createMemberEstimator } from "./member-estimator.ts";

export interface ServeMemberOptions {
  /** `--cluster-name`. */
  readonly cluster: string;
  /** The member's API. */
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: Metrics;
  readonly gates: ReadonlySet<string>;
  readonly host?: string;
  /** `--server-port`; default 10352. */
  readonly port?: number;
  readonly security?: ServerSecurity;
}

/** The estimator as a program of its own: fills caches of one member, then serves. `stop` ends both. */
export async function serveMember(options: ServeMemberOptions): Promise<EstimatorServer> {
  const { transport, clock, log, gates, ...serving } = options;
  const informers = createInformers(transport, { clock, log });
  informers.start();
  const estimator = createMemberEstimator({
    cache: (kind) => informers.of(kind),
    clock,
    gates,
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
  });
  // Only questions about unschedulable replicas wait for these.
  informers.of(Deployment);
  informers.of(ReplicaSet);
  await Promise.all([
    informers.of(Node).whenSynced(),
    informers.of(Pod).whenSynced(),
    ...(gates.has("ResourceQuotaEstimate") ? [informers.of(ResourceQuota).whenSynced()] : []),
  ]);
  const server = await startEstimatorServer({ ...serving, log, estimator });
  return {
    port: server.port,
    renew: (security) => server.renew(security),
    async stop() {
      await server.stop();
      estimator.close?.();
      informers.stop();
    },
  };
}
