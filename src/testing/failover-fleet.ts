import type { Deployment, Event as EventObject } from "#apis/kubernetes";
import { Deployment as DeploymentKind, Event } from "#apis/kubernetes";
import { Cluster, ClusterTaintPolicy, executionNamespace, ResourceBinding, Work } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { startVirtualFleet, type VirtualFleet, type VirtualFleetOptions } from "./virtual-fleet.ts";

/** A virtual fleet with cluster failover switched on, and short words for what failover is about. */
export interface FailoverFleet extends VirtualFleet {
  binding(name?: string): Promise<ResourceBinding>;
  /** Targets as `m1:3`, sorted. */
  targets(name?: string): Promise<string>;
  /** Tasks as `m2 Gracefully TaintUntolerated TaintManager 3`. */
  tasks(name?: string): Promise<readonly string[]>;
  /** Adds or takes away a NoExecute taint, as a person does. */
  taint(cluster: string, isOn: boolean, key?: string): Promise<void>;
  /** The Deployment in a member, if it is there. */
  copy(cluster: string, name?: string): Promise<Deployment | undefined>;
  work(cluster: string, name?: string): Promise<Work | undefined>;
  /** Events about an object as `Type Reason Message`. */
  eventsOf(kind: string, name: string): Promise<readonly string[]>;
  /** The two ClusterTaintPolicies that turn an outage into NoExecute taints. */
  addOutagePolicies(): Promise<void>;
}

export const FAILOVER_FLAGS = [
  "--feature-gates=Failover=true",
  "--enable-no-execute-taint-eviction=true",
  "--allow-no-execute-taint-policy=true",
];

export async function startFailoverFleet(options: VirtualFleetOptions = {}): Promise<FailoverFleet> {
  const fleet = await startVirtualFleet({ ...options, flags: [...FAILOVER_FLAGS, ...(options.flags ?? [])] });
  const at = { namespace: "default" };
  const binding = (name = "web") => fleet.plane.get(ResourceBinding, { ...at, name: `${name}-deployment` });
  const added = {
    binding,
    async targets(name?: string) {
      const { spec } = await binding(name);
      return (spec.clusters ?? [])
        .map((target) => `${target.name}:${target.replicas ?? 0}`)
        .sort()
        .join();
    },
    async tasks(name?: string) {
      return ((await binding(name)).spec.gracefulEvictionTasks ?? []).map(
        ({ fromCluster, purgeMode, reason, producer, replicas }) =>
          `${fromCluster} ${purgeMode} ${reason} ${producer} ${replicas ?? 0}`,
      );
    },
    async taint(cluster: string, isOn: boolean, key = "fail-test") {
      await retryOnConflict(async () => {
        const present = await fleet.plane.get(Cluster, { name: cluster });
        const others = (present.spec?.taints ?? []).filter((taint) => taint.key !== key);
        const taints = isOn ? [...others, { key, effect: "NoExecute" }] : others;
        await fleet.plane.update(Cluster, { ...present, spec: { ...present.spec, taints } } as Cluster);
      });
    },
    copy: (cluster: string, name = "web") => fleet.member(cluster).find(DeploymentKind, { ...at, name }),
    async work(cluster: string, name = "web") {
      const { items } = await fleet.plane.list(Work, { namespace: executionNamespace(cluster) });
      return items.find(({ metadata }) => metadata.name?.startsWith(`${name}-`));
    },
    async eventsOf(kind: string, name: string) {
      const { items } = await fleet.plane.list(Event);
      return (items as readonly EventObject[])
        .filter(({ involvedObject }) => involvedObject.kind === kind && involvedObject.name === name)
        .map(({ type, reason, message }) => `${type} ${reason} ${message}`);
    },
    async addOutagePolicies() {
      const policy = (name: string, status: string, others: readonly string[], key: string) =>
        fleet.plane.create(ClusterTaintPolicy, {
          apiVersion: "policy.karmada.io/v1alpha1",
          kind: "ClusterTaintPolicy",
          metadata: { name },
          spec: {
            addOnConditions: [{ conditionType: "Ready", operator: "In", statusValues: [status] }],
            removeOnConditions: [{ conditionType: "Ready", operator: "In", statusValues: others }],
            taints: [{ key: `cluster.karmada.io/${key}`, effect: "NoExecute" }],
          },
        } as unknown as ClusterTaintPolicy);
      await policy("a", "False", ["True", "Unknown"], "not-ready");
      await policy("b", "Unknown", ["True", "False"], "unreachable");
    },
  };
  // The fleet's own properties are read through, so that a restart shows.
  return Object.setPrototypeOf(added, fleet) as FailoverFleet;
}
