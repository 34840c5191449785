/** What the scheduler does with clusters that are evicted from, come back, or leave too little room (failover.md §8). */
import { afterEach, expect, test } from "vitest";
import { Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { aDeployment, aPropagationPolicy, type FailoverFleet, startFailoverFleet } from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

const duplicated = (...names: string[]) => ({
  clusterAffinity: { clusterNames: names },
  replicaScheduling: { replicaSchedulingType: "Duplicated" },
});
const divided = (more: object, ...names: string[]) => ({
  clusterAffinity: { clusterNames: names },
  replicaScheduling: { replicaSchedulingType: "Divided", ...more },
});
const dynamic = { replicaDivisionPreference: "Weighted", weightPreference: { dynamicWeight: "AvailableReplicas" } };

async function deploy(placement: object, replicas = 3, name = "web", cpu = "100m"): Promise<void> {
  await fleet.plane.create(
    PropagationPolicy,
    aPropagationPolicy(name, placement, "default", {
      resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }],
    }),
  );
  const made = aDeployment(name, replicas);
  const labels = { workload: name };
  const containers = [{ name: "app", image: "nginx:1.29", resources: { requests: { cpu } } }];
  await fleet.plane.create(Deployment, {
    ...made,
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
  } as unknown as Deployment);
  await fleet.until(async () => (await fleet.targets(name)) !== "");
  await fleet.advance(10_000);
}
const edit = (change: (binding: ResourceBinding) => object, name = "web") =>
  retryOnConflict(async () => {
    const binding = await fleet.binding(name);
    await fleet.plane.update(ResourceBinding, {
      ...binding,
      spec: { ...binding.spec, ...change(binding) },
    } as ResourceBinding);
  });
/** A third party's task for a cluster, which is taken out of the binding with it. */
const evict = (from: string, more: object = {}, name = "web") =>
  edit(
    ({ spec }) => ({
      clusters: (spec.clusters ?? []).filter((target) => target.name !== from),
      gracefulEvictionTasks: [
        ...(spec.gracefulEvictionTasks ?? []),
        { fromCluster: from, reason: "Maintenance", producer: "somebody", purgeMode: "Gracefully", ...more },
      ],
    }),
    name,
  );
const scheduled = async (name = "web") =>
  (await fleet.binding(name)).status?.conditions?.find(({ type }) => type === "Scheduled");
const passes = async (name = "web") => {
  const { metadata, status } = await fleet.binding(name);
  return {
    generation: metadata.generation,
    observed: status?.schedulerObservedGeneration,
    at: status?.lastScheduledTime,
  };
};

test("SC-1 SC-8 SC-10: with no cluster left the targets are empty, the condition counts who is in the process of eviction, nothing is tried again until something happens, and the pass is not recorded as seen", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  await deploy(duplicated("m1"));
  const before = await passes();
  expect(before.observed).toBe(before.generation);
  await evict("m1", { gracePeriodSeconds: 1_200 });
  await fleet.advance(1_000);
  expect(await scheduled()).toMatchObject({
    status: "False",
    reason: "NoClusterFit",
    message:
      "0/2 clusters are available: 1 cluster(s) did not match the placement cluster affinity constraint, 1 cluster(s) is in the process of eviction.",
  });
  expect(await fleet.targets()).toBe("");
  const failed = await passes();
  expect([failed.observed, failed.at]).toEqual([before.observed, before.at]);
  expect(failed.generation).toBeGreaterThan(before.generation ?? 0);
  const { processed } = fleet.controlPlane.scheduler;
  await fleet.advance(600_000);
  expect(fleet.controlPlane.scheduler.processed).toBe(processed);
  // Room elsewhere is an event: the pass is made, and made again for the generation its own result brought about.
  await retryOnConflict(async () => {
    const policy = await fleet.plane.get(PropagationPolicy, { namespace: "default", name: "web" });
    await fleet.plane.update(PropagationPolicy, {
      ...policy,
      spec: { ...policy.spec, placement: duplicated("m1", "m2") },
    } as PropagationPolicy);
  });
  await fleet.advance(1_000);
  expect(await fleet.targets()).toBe("m2:3");
  const done = await passes();
  expect(done.observed).toBe(done.generation);
  expect(Date.parse(String(done.at))).toBeGreaterThan(Date.parse(String(before.at)));
});

test("SC-8: of several affinity groups the later ones are tried before the targets are given up", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  const clusterAffinities = [
    { affinityName: "home", clusterNames: ["m1"] },
    { affinityName: "away", clusterNames: ["m2"] },
  ];
  await deploy({ clusterAffinities, replicaScheduling: { replicaSchedulingType: "Duplicated" } });
  expect(await fleet.targets()).toBe("m1:3");
  await evict("m1", { gracePeriodSeconds: 1_200 });
  await fleet.advance(1_000);
  expect(await fleet.targets()).toBe("m2:3");
  expect((await fleet.binding()).status?.schedulerObservingAffinityName).toBe("away");
});

test("SC-3: among candidates the present cluster stays, then more room counts, then the name", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
  const one = { spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }] };
  await deploy({ ...duplicated("m1", "m2", "m3"), ...one });
  expect(await fleet.targets()).toBe("m1:3");
  // It takes room of its own cluster, so that the others have more, and stays where it is all the same.
  await deploy(duplicated("m1", "m2"), 20, "filler", "1");
  await deploy({ ...duplicated("m1", "m2", "m3"), ...one }, 3, "next", "2");
  expect(await fleet.targets("next")).toBe("m3:3");
  const { at } = await passes();
  await fleet.plane.patch(Deployment, { namespace: "default", name: "web" }, "application/merge-patch+json", {
    spec: { replicas: 4 },
  });
  await fleet.advance(5_000);
  expect(await fleet.targets()).toBe("m1:4");
  expect((await passes()).at).not.toBe(at);
});

test("SC-4: placement, replicas, a trigger or a cluster that leaves place a divided workload anew; any other change is only seen; a duplicated one is placed anew in any case", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2"] });
  await deploy(divided(dynamic, "m1", "m2"), 4);
  await deploy(duplicated("m1"), 2, "twin");
  const look = async (name: string, change: () => Promise<unknown>) => {
    const before = await passes(name);
    await fleet.advance(2_000);
    await change();
    await fleet.advance(2_000);
    const after = await passes(name);
    expect(after.observed, "every change is seen").toBe(after.generation);
    return after.at !== before.at;
  };
  const harmless = (name: string) => () => edit(() => ({ conflictResolution: "Overwrite" }), name);
  expect(await look("web", harmless("web"))).toBe(false);
  expect(await look("twin", harmless("twin"))).toBe(true);
  expect(await look("web", () => edit(() => ({ replicas: 5 })))).toBe(true);
  expect(
    await look("web", () =>
      edit(() => ({ rescheduleTriggeredAt: new Date(fleet.clock.now()).toISOString().slice(0, 19).concat("Z") })),
    ),
  ).toBe(true);
  expect(await look("web", () => edit(() => ({ placement: divided(dynamic, "m1", "m2", "m3") })))).toBe(true);
  expect(await look("web", () => fleet.plane.delete(Cluster, { name: "m2" }))).toBe(true);
  expect(await fleet.targets()).toBe("m1:5");
});

test("SC-7: divided by room, the clusters that are left keep what they have and take what is missing; without room for it everything stays as it is", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
  // Two replicas a node, three nodes a cluster; an empty node counts for one, by the models of resources.
  await deploy(divided(dynamic, "m1", "m2", "m3"), 6, "web", "4");
  expect(await fleet.targets()).toBe("m1:2,m2:2,m3:2");
  await evict("m3", { gracePeriodSeconds: 60 });
  await fleet.advance(1_000);
  expect(await fleet.targets()).toBe("m1:3,m2:3");
  await fleet.advance(120_000);
  // Nothing moves back by itself (SC-9), though m3 has all the room.
  expect([await fleet.targets(), await fleet.tasks()]).toEqual(["m1:3,m2:3", []]);
  for (const [name, cluster] of [
    ["full-3a", "m3"],
    ["full-3b", "m3"],
    ["full-1", "m1"],
  ] as const)
    await deploy(divided(dynamic, cluster), 3, name, "4");
  await evict("m2", { gracePeriodSeconds: 1_200 });
  await fleet.advance(1_000);
  expect(await fleet.targets()).toBe("m1:3");
  expect(await scheduled()).toMatchObject({ status: "False", reason: "Unschedulable" });
});

test("SC-9: without spread constraints a duplicated workload goes back when the taint is gone, a divided one does not; records of the failover count for nothing", async () => {
  fleet = await startFailoverFleet({ members: ["m1", "m2", "m3"] });
  await deploy(duplicated("m1", "m2"));
  await deploy(divided(dynamic, "m1", "m2"), 4, "shared");
  await fleet.taint("m2", true);
  await fleet.until(async () => (await fleet.targets()) === "m1:3" && (await fleet.tasks()).length === 0, 120_000);
  expect(await fleet.targets("shared")).toBe("m1:4");
  await fleet.taint("m2", false);
  await fleet.until(async () => (await fleet.targets()) === "m1:3,m2:3", 60_000);
  await fleet.advance(600_000);
  expect(await fleet.targets("shared")).toBe("m1:4");
  // Where it was before, and what it takes along, neither draws it anywhere nor keeps it away.
  await deploy(
    {
      ...duplicated("m1", "m2", "m3"),
      spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }],
    },
    1,
    "mover",
  );
  const [home = ""] = (await fleet.targets("mover")).split(":");
  const [next = ""] = ["m1", "m2", "m3"].filter((name) => name !== home);
  await evict(
    home,
    { purgeMode: "Directly", clustersBeforeFailover: ["m1", "m2", "m3"], preservedLabelState: { state: "kept" } },
    "mover",
  );
  await fleet.advance(1_000);
  expect(await fleet.targets("mover")).toBe(`${next}:1`);
});
