import type { Deployment } from "#apis/kubernetes";
import { type Cluster, clusterOfExecutionNamespace, type ResourceBinding, type Work } from "#apis/karmada";
import type { KubeObject } from "#machinery";
import type { Backend, BackendChange } from "#store";
import type { FailoverFleet } from "#testing";

/** One change of an object: absent before its creation, and after its end. */
export interface Change<T> {
  readonly before: T | undefined;
  readonly now: T | undefined;
}

/** Everything as it stands, kept in step with each single write, whoever leads and whatever is cut off. */
export interface Chronicle {
  readonly bindings: ReadonlyMap<string, ResourceBinding>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly templates: ReadonlyMap<string, Deployment>;
  /** Works of Deployments by `cluster name`. */
  readonly works: ReadonlyMap<string, Work>;
  /** Copies in members by `cluster name`, as the member itself knows them. */
  readonly copies: ReadonlyMap<string, Deployment>;
  onBinding(react: (name: string, change: Change<ResourceBinding>) => void): void;
  onWork(react: (cluster: string, name: string, change: Change<Work>) => void): void;
  onCluster(react: (name: string, change: Change<Cluster>) => void): void;
  /** Looks into the member that stands behind a cluster's name from now on, and forgets the copies of the one before. */
  followMember(cluster: string): void;
  stop(): void;
}

type Source = Pick<Backend, "revision" | "list" | "watch">;
type Put = Omit<BackendChange, "previous">;

/** The name of the workload a Work carries. */
const workloadOf = (work: Work): string => {
  const [manifest] = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
  return manifest?.kind === "Deployment" ? (manifest.metadata.name ?? "") : "";
};

export function keepChronicle(fleet: FailoverFleet): Chronicle {
  const stops: (() => void)[] = [];
  const follow = <T extends KubeObject>(
    source: Source,
    prefix: string,
    keyOf: (object: T) => string,
    into: Map<string, T>,
    tell: (key: string, change: Change<T>) => void,
  ) => {
    const byStoreKey = new Map<string, string>();
    const take = ({ type, key: at, value }: Put, react: typeof tell): void => {
      const now = type === "put" ? (JSON.parse(Buffer.from(value ?? []).toString()) as T) : undefined;
      const key = now === undefined ? (byStoreKey.get(at) ?? "") : keyOf(now);
      if (key === "") return;
      const before = into.get(key);
      if (now === undefined) {
        into.delete(key);
        byStoreKey.delete(at);
      } else {
        into.set(key, now);
        byStoreKey.set(at, key);
      }
      react(key, { before, now });
    };
    // A store keeps few of its past changes: what was there before is read, and what comes meanwhile waits for it.
    let early: Put[] | undefined = [];
    let isStopped = false;
    const watch = source.watch(prefix, source.revision, {
      changes(list) {
        if (early !== undefined) early.push(...list);
        else for (const change of list) take(change, tell);
      },
      closed(error) {
        if (error !== undefined && !isStopped) throw error;
      },
    });
    const stop = () => {
      isStopped = true;
      watch.stop();
    };
    void source.list(prefix).then(({ entries, revision }) => {
      if (isStopped) return;
      for (const entry of entries) take({ type: "put", ...entry }, () => undefined);
      const later = early?.filter((change) => change.revision > revision) ?? [];
      early = undefined;
      for (const change of later) take(change, tell);
    });
    stops.push(stop);
    return stop;
  };
  const bindings = new Map<string, ResourceBinding>();
  const clusters = new Map<string, Cluster>();
  const templates = new Map<string, Deployment>();
  const works = new Map<string, Work>();
  const copies = new Map<string, Deployment>();
  const bindingReactions: Parameters<Chronicle["onBinding"]>[0][] = [];
  const workReactions: Parameters<Chronicle["onWork"]>[0][] = [];
  const clusterReactions: Parameters<Chronicle["onCluster"]>[0][] = [];
  const { store } = fleet;
  follow<Cluster>(store, "/registry/cluster.karmada.io/clusters/", nameOf, clusters, (name, change) => {
    for (const react of clusterReactions) react(name, change);
  });
  follow<Deployment>(store, "/registry/deployments/", nameOf, templates, () => undefined);
  follow<Work>(
    store,
    "/registry/work.karmada.io/works/",
    (work) => {
      const name = workloadOf(work);
      return name === "" ? "" : `${clusterOfExecutionNamespace(work.metadata.namespace)} ${name}`;
    },
    works,
    (key, change) => {
      const [cluster = "", name = ""] = key.split(" ");
      for (const react of workReactions) react(cluster, name, change);
    },
  );
  follow<ResourceBinding>(
    store,
    "/registry/work.karmada.io/resourcebindings/",
    ({ spec }) => (spec.resource.kind === "Deployment" ? spec.resource.name : ""),
    bindings,
    (name, change) => {
      for (const react of bindingReactions) react(name, change);
    },
  );
  const ends = new Map<string, () => void>();
  const followMember = (cluster: string) => {
    ends.get(cluster)?.();
    for (const key of [...copies.keys()]) if (key.startsWith(`${cluster} `)) copies.delete(key);
    const { backend } = fleet.simulated(cluster).api.server;
    const isOurs = ({ metadata }: Deployment) => metadata.labels?.["karmada.io/managed"] === "true";
    const keyOf = (copy: Deployment) => (isOurs(copy) ? `${cluster} ${copy.metadata.name}` : "");
    ends.set(
      cluster,
      follow<Deployment>(backend, "/registry/deployments/", keyOf, copies, () => undefined),
    );
  };
  for (const cluster of fleet.members.keys()) followMember(cluster);
  return {
    bindings,
    clusters,
    templates,
    works,
    copies,
    onBinding: (react) => bindingReactions.push(react),
    onWork: (react) => workReactions.push(react),
    onCluster: (react) => clusterReactions.push(react),
    followMember,
    stop: () => {
      for (const stop of stops) stop();
    },
  };
}

function nameOf({ metadata }: KubeObject): string {
  return metadata.name ?? "";
}
