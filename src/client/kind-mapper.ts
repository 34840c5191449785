import type { Clock } from "#base";
import { apiVersionOf, type GroupVersionKind, parseApiVersion, type Transport } from "#machinery";
import { discover, type DiscoveredResource } from "./discovery.ts";

/** Finds the resource that serves a kind, from discovery that is kept and renewed when something is missing. */
export interface KindMapper {
  /** What is known without asking. */
  known(apiVersion: string, kind: string): DiscoveredResource | undefined;
  /** Asks the server when the kind is unknown, though not more often than every few seconds. */
  find(apiVersion: string, kind: string, signal?: AbortSignal): Promise<DiscoveredResource | undefined>;
  /** Everything known; asks first when nothing is. */
  all(signal?: AbortSignal): Promise<readonly DiscoveredResource[]>;
  /** Everything that was known last, without asking. */
  readonly served: readonly DiscoveredResource[];
  /** Asks now. */
  refresh(signal?: AbortSignal): Promise<void>;
  /** Group versions that did not answer at the last asking. */
  readonly failedGroupVersions: readonly string[];
}

/** A kind that is missing is asked for again after this time at the earliest, so that a typo costs no storm. */
const MISSING_RETRY_MS = 2_000;

const mapKey = ({ group, version, kind }: GroupVersionKind) => `${group}/${version}/${kind}`;

export function createKindMapper(transport: Transport, clock: Clock): KindMapper {
  let byKind: ReadonlyMap<string, DiscoveredResource> = new Map<string, DiscoveredResource>();
  let resources: readonly DiscoveredResource[] = [];
  let failed: readonly string[] = [];
  let askedMs = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | undefined;

  const refresh = (signal?: AbortSignal): Promise<void> => {
    asking ??= (async () => {
      try {
        const found = await discover(transport, { signal, clock });
        // A group that does not answer at present serves what it served before.
        const silent = new Set(found.failedGroupVersions);
        const remembered = resources.filter((resource) => silent.has(apiVersionOf(resource)));
        resources = [...found.resources, ...remembered];
        byKind = new Map(resources.map((resource) => [mapKey(resource), resource]));
        failed = found.failedGroupVersions;
        askedMs = clock.monotonicMs();
      } finally {
        asking = undefined;
      }
    })();
    return asking;
  };
  const known = (apiVersion: string, kind: string) => byKind.get(mapKey({ ...parseApiVersion(apiVersion), kind }));

  return {
    known,
    async find(apiVersion, kind, signal) {
      const present = known(apiVersion, kind);
      if (present !== undefined) return present;
      if (clock.monotonicMs() - askedMs >= MISSING_RETRY_MS) await refresh(signal);
      return known(apiVersion, kind);
    },
    async all(signal) {
      if (askedMs === Number.NEGATIVE_INFINITY) await refresh(signal);
      return resources;
    },
    get served() {
      return resources;
    },
    refresh,
    get failedGroupVersions() {
      return failed;
    },
  };
}
