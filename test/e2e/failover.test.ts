/** Failover in real time on simulated members: eviction by taints, purge modes, tolerations, and who stays where. */
import { afterEach, describe, expect, test } from "vitest";
import { Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { type Client, createClient, retryOnConflict } from "#client";
import type { Fleet } from "#controlplane";
import { aDeployment, aPropagationPolicy, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let plane: Client;
afterEach(() => fleet.stop());

async function startFailoverFleet(members: readonly string[], flags: readonly string[] = []): Promise<void> {
  fleet = await startTestFleet(members, [
    "--feature-gates=Failover=true",
    "--enable-no-execute-taint-eviction=true",
    "--allow-no-execute-taint-policy=true",
    ...flags,
  ]);
  plane = createClient(fleet.controlPlane.transport);
  await eventually(async () =>
    (await plane.list(Cluster)).items.every(
      ({ status, spec }) => status?.resourceSummary !== undefined && (spec?.taints ?? []).length === 0,
    ),
  );
}

const binding = () => plane.get(ResourceBinding, { namespace: "default", name: "web-deployment" });
const targets = async () =>
  ((await binding()).spec.clusters ?? []).map(({ name, replicas }) => `${name}:${replicas}`).sort();
const taint = (name: string, isOn: boolean) =>
  retryOnConflict(async () => {
    const cluster = await plane.get(Cluster, { name });
    const others = (cluster.spec?.taints ?? []).filter(({ key }) => key !== "example.com/failed");
    await plane.update(Cluster, {
      ...cluster,
      spec: {
        ...cluster.spec,
        taints: isOn ? [...others, { key: "example.com/failed", effect: "NoExecute" }] : others,
      },
    } as Cluster);
  });
const allReady = (replicas: number) =>
  eventually(
    async () => (await plane.get(Deployment, { namespace: "default", name: "web" })).status?.readyReplicas === replicas,
  );

describe("a cluster that must be left", () => {
  test("[GF-31] [GF-33] Duplicated with spread 2 of 4: a free cluster takes over, the healthy one stays", async () => {
    await startFailoverFleet(["m1", "m2", "m3", "m4"]);
    await plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", {
        clusterAffinity: { clusterNames: ["m1", "m2", "m3"] },
        spreadConstraints: [{ spreadByField: "cluster", minGroups: 2, maxGroups: 2 }],
        replicaScheduling: { replicaSchedulingType: "Duplicated" },
      }),
    );
    await plane.create(Deployment, aDeployment("web", 2));
    await allReady(4);
    const [first, second] = ((await binding()).spec.clusters ?? []).map(({ name }) => name) as [string, string];
    const uid = (
      await createClient(fleet.members.get(first)?.transport as never).get(Deployment, {
        namespace: "default",
        name: "web",
      })
    ).metadata.uid;
    await taint(second, true);
    const free = ["m1", "m2", "m3"].find((name) => name !== first && name !== second) as string;
    await eventually(async () => (await targets()).join() === [`${first}:2`, `${free}:2`].sort().join());
    await eventually(async () => ((await binding()).spec.gracefulEvictionTasks ?? []).length === 0);
    await eventually(
      async () =>
        (await createClient(fleet.members.get(second)?.transport as never).find(Deployment, {
          namespace: "default",
          name: "web",
        })) === undefined,
    );
    expect(
      (
        await createClient(fleet.members.get(first)?.transport as never).get(Deployment, {
          namespace: "default",
          name: "web",
        })
      ).metadata.uid,
    ).toBe(uid);
    expect((await targets()).some((target) => target.startsWith("m4"))).toBe(false);
  });

  test("[GF-35] [GF-37] [GF-41] static weights 1:2, the first fails: the second gets all, by a task of the taint manager", async () => {
    await startFailoverFleet(["m1", "m2"]);
    await plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", {
        clusterAffinity: { clusterNames: ["m1", "m2"] },
        replicaScheduling: {
          replicaSchedulingType: "Divided",
          replicaDivisionPreference: "Weighted",
          weightPreference: {
            staticWeightList: [
              { targetCluster: { clusterNames: ["m1"] }, weight: 1 },
              { targetCluster: { clusterNames: ["m2"] }, weight: 2 },
            ],
          },
        },
      }),
    );
    await plane.create(Deployment, aDeployment("web", 3));
    await allReady(3);
    expect(await targets()).toEqual(["m1:1", "m2:2"]);
    const seen: string[] = [];
    const stop = plane.watch(
      ResourceBinding,
      { namespace: "default" },
      {
        event: (_type, object) =>
          seen.push(
            ...((object as ResourceBinding).spec.gracefulEvictionTasks ?? []).map(
              ({ fromCluster, reason, producer, replicas }) => `${fromCluster} ${reason} ${producer} ${replicas}`,
            ),
          ),
        closed() {},
      },
    );
    await taint("m1", true);
    await eventually(async () => (await targets()).join() === "m2:3");
    await eventually(async () => ((await binding()).spec.gracefulEvictionTasks ?? []).length === 0);
    stop.stop();
    expect(new Set(seen)).toEqual(new Set(["m1 TaintUntolerated TaintManager 1"]));
  });

  test("a workload that tolerates the taint stays", async () => {
    await startFailoverFleet(["m1", "m2"]);
    await plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", {
        clusterAffinity: { clusterNames: ["m1"] },
        clusterTolerations: [{ key: "example.com/failed", operator: "Exists" }],
      }),
    );
    await plane.create(Deployment, aDeployment("web", 1));
    await allReady(1);
    await taint("m1", true);
    await fleet.controlPlane.manager.whenIdle();
    expect(await targets()).toEqual(["m1:1"]);
  });

  test("[GF-43] without a substitute the old copy stays until its grace period is over", async () => {
    await startFailoverFleet(["m1", "m2"], ["--graceful-eviction-timeout=1s"]);
    await plane.create(PropagationPolicy, aPropagationPolicy("web", { clusterAffinity: { clusterNames: ["m1"] } }));
    await plane.create(Deployment, aDeployment("web", 1));
    await allReady(1);
    await taint("m1", true);
    await eventually(async () => ((await binding()).spec.gracefulEvictionTasks ?? []).length === 1);
    const member = createClient(fleet.members.get("m1")?.transport as never);
    expect(await member.find(Deployment, { namespace: "default", name: "web" })).toBeDefined();
    await eventually(async () => (await member.find(Deployment, { namespace: "default", name: "web" })) === undefined);
  });
});
