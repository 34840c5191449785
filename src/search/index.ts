/**
 * Search: objects of many members in one place. What ResourceRegistries register is kept in caches (`cache/`), looked up under
 * `search/cache/PATH` (`search-api/`), and served as if all clusters were one API server under `proxying/ANY/proxy/PATH`
 * (`proxying/`); a registry may have its objects written to OpenSearch as well (`open-search/`). Without a registry nothing
 * runs. It never writes to members by itself.
 */
import type { Cluster } from "#apis/karmada";
import type { Connect } from "#apiserver";
import type { Clock, Logger } from "#base";
import type { EventRecorder } from "#controller-runtime";
import type { Client } from "#client";
import type { Member, MemberPool } from "#member";
import type { Review } from "./access.ts";
import { MemberCaches } from "./cache/member-caches.ts";
import type { CachedKind } from "./cache/plan.ts";
import { openSearchStore } from "./open-search/index.ts";
import { answerProxying, type ProxyingParts } from "./proxying/index.ts";
import { answerSearch } from "./search-api/index.ts";

export type { Review } from "./access.ts";

export interface SearchParts extends Pick<ProxyingParts, "toMember" | "toControlPlane"> {
  /** The control plane. */
  readonly client: Client;
  readonly members: MemberPool;
  /** Opens or finds the connection to a member. */
  readonly connect: (cluster: Cluster) => Promise<Member>;
  readonly review: Review;
  readonly events: EventRecorder;
  /** Whether this process writes to OpenSearch, where several keep the same caches. */
  readonly writesStores: () => boolean;
  readonly disableSearch: boolean;
  readonly disableProxy: boolean;
  /** How long the first requests wait for caches to be filled. */
  readonly initializationMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Search {
  /** Answers for `search` and `proxying`; `undefined` for all else. */
  readonly connect: Connect;
  /** Looks again at what is to be kept and written, soon. */
  wake(): void;
  stop(): Promise<void>;
}

/** Begins to keep what is registered. */
export function startSearch(parts: SearchParts): Search {
  const { client, clock, log, members, disableSearch, disableProxy } = parts;
  const caches = new MemberCaches({
    transport: client.transport,
    members,
    connect: parts.connect,
    openStore: openSearchStore({ client, clock, log, events: parts.events }),
    writesStores: parts.writesStores,
    needsAllNamespaces: !disableSearch,
    clock,
    log,
  });
  const untilMs = clock.monotonicMs() + parts.initializationMs;
  const leftMs = () => untilMs - clock.monotonicMs();
  const whenPlanned = async () => {
    if (leftMs() > 0) await caches.whenPlanned(leftMs());
  };
  const whenFilled = async (kind: Pick<CachedKind, "group" | "version" | "resource">) => {
    await whenPlanned();
    if (leftMs() > 0) await caches.whenTried(kind, leftMs());
  };
  const shared = { caches, review: parts.review, whenFilled };
  caches.start();
  return {
    async connect(request, path, user) {
      if (path.group !== "search.karmada.io" || path.version !== "v1alpha1") return undefined;
      if (path.resource === "search" && !disableSearch && path.name !== undefined)
        return answerSearch(shared, request, path.name, user);
      if (path.resource === "proxying" && !disableProxy && path.subresource === "proxy")
        return answerProxying({ ...parts, ...shared, whenPlanned }, request, user);
      return undefined;
    },
    wake: () => caches.wake(),
    async stop() {
      await caches.stop();
      members.stop();
    },
  };
}
