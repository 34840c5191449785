import { type Clock, systemClock, type Timer } from "#base";
import { apiError, parseApiVersion, type ResourceKind, type Status, ApiError, type Transport } from "#machinery";

/** One resource an API server serves. */
export interface DiscoveredResource extends ResourceKind {
  readonly singular: string;
  readonly verbs: readonly string[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly subresources: readonly string[];
  /** Whether this is the group's preferred version. */
  readonly isPreferred: boolean;
}

/** What an API server serves, and the groups whose discovery failed (stale aggregated servers). */
export interface Discovery {
  readonly resources: readonly DiscoveredResource[];
  readonly failedGroupVersions: readonly string[];
}

const AGGREGATED =
  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

interface AggregatedList {
  readonly kind: string;
  readonly items?: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions?: readonly {
      readonly version: string;
      readonly freshness?: string;
      readonly resources?: readonly {
        readonly resource: string;
        readonly responseKind?: { readonly kind?: string };
        readonly scope: string;
        readonly singularResource?: string;
        readonly verbs?: readonly string[];
        readonly shortNames?: readonly string[];
        readonly categories?: readonly string[];
        readonly subresources?: readonly { readonly subresource: string }[];
      }[];
    }[];
  }[];
}

interface ResourceList {
  readonly groupVersion: string;
  readonly resources?: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly singularName?: string;
    readonly verbs?: readonly string[];
    readonly shortNames?: readonly string[];
    readonly categories?: readonly string[];
  }[];
}

interface GroupList {
  readonly groups?: readonly {
    readonly name: string;
    readonly versions: readonly { readonly groupVersion: string; readonly version: string }[];
    readonly preferredVersion?: { readonly version: string };
  }[];
}

/**
 * How long one group may take where groups are asked one by one: an aggregated server that is silent is taken for one that
 * failed, and does not hold up what the others serve.
 */
const GROUP_TIMEOUT_MS = 10_000;

export interface DiscoverOptions {
  readonly signal?: AbortSignal | undefined;
  /** Measures how long a group takes; default the system's. */
  readonly clock?: Clock;
}

/** Asks a server what it serves: by aggregated discovery, or group by group where that is not offered. */
export async function discover(
  transport: Transport,
  { signal, clock = systemClock }: DiscoverOptions = {},
): Promise<Discovery> {
  const [core, groups] = await Promise.all([
    getJson(transport, "/api", AGGREGATED, signal),
    getJson(transport, "/apis", AGGREGATED, signal),
  ]);
  const isAggregated = (body: unknown): body is AggregatedList =>
    (body as AggregatedList | undefined)?.kind === "APIGroupDiscoveryList";
  if (isAggregated(core) && isAggregated(groups)) return fromAggregated([core, groups]);
  return fromClassic(transport, groups as GroupList, clock, signal);
}

/** What `ask` gives, or a failure when it takes too long; the request is given up then. */
async function withinTime<T>(
  clock: Clock,
  signal: AbortSignal | undefined,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  let timer: Timer | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = clock.after(GROUP_TIMEOUT_MS, () => {
      reject(new Error(`no answer within ${GROUP_TIMEOUT_MS / 1000} s`));
      abort.abort();
    });
  });
  const limited = signal === undefined ? abort.signal : AbortSignal.any([abort.signal, signal]);
  try {
    return await Promise.race([ask(limited), late]);
  } finally {
    timer?.cancel();
  }
}

async function getJson(
  transport: Transport,
  path: string,
  accept: string,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const answer = await transport.raw({ method: "GET", path, headers: { accept }, ...(signal && { signal }) });
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder().decode(answer.body));
  } catch (error) {
    throw apiError(
      answer.status,
      "InternalError",
      `GET ${path}: the answer ${answer.status} is no JSON: ${String(error)}`,
    );
  }
  if (answer.status !== 200) {
    if ((body as Status | undefined)?.kind === "Status") throw new ApiError(body as Status);
    throw apiError(answer.status, "Unknown", `GET ${path}: the server answered ${answer.status}`);
  }
  return body;
}

function fromAggregated(lists: readonly AggregatedList[]): Discovery {
  const resources: DiscoveredResource[] = [];
  const failedGroupVersions: string[] = [];
  for (const group of lists.flatMap((list) => list.items ?? [])) {
    const name = group.metadata?.name ?? "";
    for (const [at, { version, freshness, resources: served }] of (group.versions ?? []).entries()) {
      if (freshness === "Stale") {
        failedGroupVersions.push(name === "" ? version : `${name}/${version}`);
        continue;
      }
      for (const resource of served ?? [])
        resources.push({
          group: name,
          version,
          resource: resource.resource,
          kind: resource.responseKind?.kind ?? "",
          namespaced: resource.scope === "Namespaced",
          singular: resource.singularResource ?? "",
          verbs: resource.verbs ?? [],
          shortNames: resource.shortNames ?? [],
          categories: resource.categories ?? [],
          subresources: (resource.subresources ?? []).map((subresource) => subresource.subresource),
          isPreferred: at === 0,
        });
    }
  }
  return { resources, failedGroupVersions };
}

async function fromClassic(
  transport: Transport,
  groups: GroupList,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<Discovery> {
  const wanted: { readonly groupVersion: string; readonly isPreferred: boolean }[] = [
    { groupVersion: "v1", isPreferred: true },
  ];
  for (const group of groups.groups ?? [])
    for (const { groupVersion, version } of group.versions)
      wanted.push({ groupVersion, isPreferred: version === (group.preferredVersion?.version ?? version) });
  const resources: DiscoveredResource[] = [];
  const failedGroupVersions: string[] = [];
  await Promise.all(
    wanted.map(async ({ groupVersion, isPreferred }) => {
      try {
        const path = groupVersion === "v1" ? "/api/v1" : `/apis/${groupVersion}`;
        const list = (await withinTime(clock, signal, (limited) =>
          getJson(transport, path, "application/json", limited),
        )) as ResourceList;
        const all = list.resources ?? [];
        for (const resource of all) {
          if (resource.name.includes("/")) continue;
          resources.push({
            ...parseApiVersion(groupVersion),
            resource: resource.name,
            kind: resource.kind,
            namespaced: resource.namespaced,
            singular: resource.singularName ?? "",
            verbs: resource.verbs ?? [],
            shortNames: resource.shortNames ?? [],
            categories: resource.categories ?? [],
            subresources: all
              .filter((other) => other.name.startsWith(`${resource.name}/`))
              .map((other) => other.name.slice(resource.name.length + 1)),
            isPreferred,
          });
        }
      } catch {
        failedGroupVersions.push(groupVersion);
      }
    }),
  );
  return { resources, failedGroupVersions };
}
