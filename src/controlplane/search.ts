import { Secret } from "#apis/kubernetes";
import type { Connect, FrontOutcome, FrontRequest, User } from "#apiserver";
import type { Clock, Logger, Random } from "#base";
import { createClient, withRateLimit } from "#client";
import type { EngineConfig } from "#config";
import { createEventRecorder } from "#controller-runtime";
import { internalError, type Transport } from "#machinery";
import { createMemberPool } from "#member";
import { type Review, type Search, startSearch } from "#search";
import { connectMember } from "./connect-member.ts";

type SearchConfig = Pick<
  EngineConfig,
  | "disableSearch"
  | "disableProxy"
  | "storageInitializationTimeoutMs"
  | "clusterApiQps"
  | "clusterApiBurst"
  | "clusterApiTimeoutMs"
>;

export interface SearchServing {
  readonly config: SearchConfig;
  /** The control plane. */
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** The cluster proxy. */
  readonly proxied: Connect;
  readonly toControlPlane: (request: FrontRequest, user: User) => Promise<FrontOutcome>;
  readonly review: Review;
  readonly inProcess?: ReadonlyMap<string, Transport>;
  /** Whether this process is the one that leads. */
  readonly isLeading: () => boolean;
}

const COMPONENT = "karmada-search";
const CLUSTERS = { group: "cluster.karmada.io", version: "v1alpha1", resource: "clusters" };

/**
 * Search as it runs beside an API server. It has connections to members of its own: every replica answers, also those whose
 * controllers do not run. They are opened when something is registered.
 */
export function serveSearch(serving: SearchServing): Search {
  const { config, transport, clock, random, log, proxied, inProcess } = serving;
  const client = createClient(transport, { fieldManager: COMPONENT });
  const members = createMemberPool({ clock, log });
  const rated = (to: Transport) =>
    withRateLimit(to, { clock, qps: config.clusterApiQps, burst: config.clusterApiBurst });
  const readSecret = (namespace: string, name: string) => client.find(Secret, { namespace, name });
  return startSearch({
    client,
    members,
    connect: (cluster) =>
      connectMember(cluster, readSecret, members, rated, inProcess, { timeoutMs: config.clusterApiTimeoutMs }),
    async toMember(cluster, request, url, user) {
      const path = { ...CLUSTERS, name: cluster, subresource: "proxy" };
      const address = `/apis/${CLUSTERS.group}/${CLUSTERS.version}/clusters/${cluster}/proxy${url}`;
      const outcome = await proxied({ ...request, url: address }, path, user);
      if (outcome === undefined) throw internalError(new Error("the cluster proxy does not answer"));
      return outcome;
    },
    toControlPlane: serving.toControlPlane,
    review: serving.review,
    events: createEventRecorder({ client, clock, random, log, component: COMPONENT }),
    writesStores: serving.isLeading,
    disableSearch: config.disableSearch,
    disableProxy: config.disableProxy,
    initializationMs: config.storageInitializationTimeoutMs,
    clock,
    log: log.with({ component: COMPONENT }),
  });
}
