/** Application failover in virtual time: unhealthy copies, purge modes, state that goes along, and resources that stay. */
import { afterEach, describe, expect, test } from "vitest";
import { Deployment } from "#apis/kubernetes";
import { OverridePolicy, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import { aDeployment, aPropagationPolicy, type FailoverFleet, startFailoverFleet } from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

const STATEFUL = ["--feature-gates=Failover=true,StatefulFailoverInjection=true"];
const oneOf = (...names: string[]) => ({
  clusterAffinity: { clusterNames: names },
  replicaScheduling: { replicaSchedulingType: "Duplicated" },
  spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }],
});
const application = (more: object) => ({
  propagateDeps: true,
  failover: { application: { decisionConditions: { tolerationSeconds: 30 }, ...more } },
});
const rules = (...list: (readonly [string, string])[]) => ({
  statePreservation: { rules: list.map(([aliasLabelName, jsonPath]) => ({ aliasLabelName, jsonPath })) },
});

async function deploy(placement: object, more: object, replicas = 3): Promise<string> {
  await fleet.plane.create(PropagationPolicy, aPropagationPolicy("web", placement, "default", more));
  await fleet.plane.create(Deployment, aDeployment("web", replicas));
  await fleet.until(async () => {
    const { spec, status } = await fleet.binding();
    const names = (spec.clusters ?? []).map(({ name }) => name);
    return (
      names.length > 0 &&
      names.every((name) =>
        status?.aggregatedStatus?.some(({ clusterName, health }) => clusterName === name && health === "Healthy"),
      )
    );
  });
  return ((await fleet.binding()).spec.clusters ?? []).map(({ name }) => name).join();
}
/** Gives the copies in some clusters an image that never starts. */
const breakIn = async (...clusterNames: string[]) => {
  await fleet.plane.create(OverridePolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "OverridePolicy",
    metadata: { namespace: "default", name: `break-${clusterNames.join("-")}` },
    spec: {
      resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment" }],
      overrideRules: [
        {
          targetCluster: { clusterNames },
          overriders: {
            plaintext: [{ path: "/spec/template/spec/containers/0/image", operator: "replace", value: "fake/never:1" }],
          },
        },
      ],
    },
  } as unknown as OverridePolicy);
};
const unhealthy = (cluster: string) =>
  fleet.until(async () =>
    (await fleet.binding()).status?.aggregatedStatus?.some(
      ({ clusterName, health }) => clusterName === cluster && health === "Unhealthy",
    ),
  );
const clusters = async () => ((await fleet.binding()).spec.clusters ?? []).map(({ name }) => name).join();
const task = async () => (await fleet.binding()).spec.gracefulEvictionTasks?.[0];
const other = (name: string) => (name === "m1" ? "m2" : "m1");

describe("a copy that is unhealthy", () => {
  test("[RN-4] [DR-5] E4 §20.6 FO-2 FO-3 FO-4: after 30 s it moves; the old copy goes when the new one is healthy", async () => {
    fleet = await startFailoverFleet();
    const first = await deploy(oneOf("m1", "m2"), application({ purgeMode: "Gracefully", gracePeriodSeconds: 30 }));
    await breakIn(first);
    await unhealthy(first);
    const ms = await fleet.until(async () => (await task()) !== undefined);
    expect(ms / 1000).toBeGreaterThanOrEqual(30);
    expect(ms / 1000).toBeLessThanOrEqual(31);
    await fleet.advance(0);
    expect(await task()).toMatchObject({
      fromCluster: first,
      purgeMode: "Gracefully",
      reason: "ApplicationFailure",
      producer: "resource-binding-application-failover-controller",
      gracePeriodSeconds: 30,
      replicas: 3,
    });
    expect(await clusters()).toBe(other(first));
    expect(await fleet.copy(first)).toBeDefined();
    await fleet.until(async () => (await fleet.copy(first)) === undefined, 20_000);
    expect(await fleet.eventsOf("Deployment", "web")).toContain(
      `Normal EvictWorkloadFromClusterSucceed Evict from cluster ${first} succeed.`,
    );
  });

  test("E5 §20.6: when the new copy is no better, the old one goes after its grace period and never before 40 s", async () => {
    fleet = await startFailoverFleet();
    const first = await deploy(oneOf("m1", "m2"), application({ purgeMode: "Gracefully", gracePeriodSeconds: 10 }));
    await breakIn("m1", "m2");
    await unhealthy(first);
    const ms = await fleet.until(async () => (await fleet.copy(first)) === undefined);
    expect(ms / 1000).toBeGreaterThanOrEqual(39);
    expect(ms / 1000).toBeLessThanOrEqual(43);
  });

  test("E6 FO-4: purgeMode Never leaves the old copy to a person", async () => {
    fleet = await startFailoverFleet();
    const first = await deploy(oneOf("m1", "m2"), application({ purgeMode: "Never" }));
    await breakIn(first);
    await unhealthy(first);
    await fleet.advance(3_600_000);
    expect(await clusters()).toBe(other(first));
    expect(await task()).toMatchObject({ fromCluster: first, purgeMode: "Never", suppressDeletion: true });
    expect(await fleet.copy(first)).toBeDefined();
  });

  test("FO-2: health in time, and a restart, start the wait anew", async () => {
    fleet = await startFailoverFleet();
    const first = await deploy(oneOf("m1", "m2"), application({ purgeMode: "Directly" }));
    await breakIn(first);
    await unhealthy(first);
    await fleet.advance(25_000);
    await fleet.plane.delete(OverridePolicy, { namespace: "default", name: `break-${first}` });
    await fleet.until(async () =>
      (await fleet.binding()).status?.aggregatedStatus?.every(({ health }) => health === "Healthy"),
    );
    await fleet.advance(60_000);
    expect(await clusters()).toBe(first);
    await breakIn(first);
    await unhealthy(first);
    await fleet.advance(20_000);
    await fleet.restart();
    await fleet.advance(20_000);
    expect(await clusters()).toBe(first);
    await fleet.advance(15_000);
    expect(await clusters()).toBe(other(first));
  });
});

describe("state that goes along", () => {
  test("[RN-5] [RN-7] [RN-8] [RN-9] [RN-10] [RN-11] [RN-12] [RN-16] E7 S16 S20 FO-7 FO-8 FO-9: labels are on the new copy, made only after the old one is gone, as long as the task lives", async () => {
    fleet = await startFailoverFleet({ flags: STATEFUL });
    const first = await deploy(
      oneOf("m1", "m2", "m3"),
      application({
        purgeMode: "Directly",
        ...rules(["test-alias", "{.replicas}"], ["text", "gen-{.observedGeneration}"], ["test-alias", "{.replicas}"]),
      }),
    );
    const seen: string[] = [];
    const stops = [...fleet.members.keys()].map((name) =>
      fleet.member(name).watch(
        Deployment,
        { namespace: "default" },
        {
          event: (type, object) => {
            if (type !== "MODIFIED") seen.push(`${type} ${name} ${object.metadata.labels?.["test-alias"] ?? "-"}`);
          },
          closed() {},
        },
      ),
    );
    seen.length = 0;
    await breakIn("m1", "m2", "m3");
    await unhealthy(first);
    await fleet.until(async () => (await task()) !== undefined);
    await fleet.until(async () => (await clusters()) !== "");
    const second = await clusters();
    await fleet.until(async () => (await fleet.copy(second)) !== undefined);
    const evicted = await task();
    expect(evicted).toMatchObject({ purgeMode: "Directly", clustersBeforeFailover: [first] });
    expect(evicted?.preservedLabelState).toEqual({ "test-alias": "4", text: "gen-2" });
    expect((await fleet.copy(second))?.metadata.labels?.["test-alias"]).toBe("4");
    const sequence = seen.filter((text) => text.includes(` ${first} `) || text.includes(` ${second} `));
    expect(sequence.slice(-2)).toEqual([`DELETED ${first} -`, `ADDED ${second} 4`]);
    // The next failover carries only what its own task holds.
    await fleet.until(async () => (await fleet.binding()).spec.gracefulEvictionTasks?.length === 2, 120_000);
    const last = (await fleet.binding()).spec.gracefulEvictionTasks?.[1];
    expect(last).toMatchObject({ fromCluster: second, clustersBeforeFailover: [second] });
    // When the tasks are over, so are the labels.
    await fleet.plane.delete(OverridePolicy, { namespace: "default", name: "break-m1-m2-m3" });
    await fleet.until(async () => (await fleet.binding()).spec.gracefulEvictionTasks === undefined, 1_200_000);
    const now = await clusters();
    await fleet.advance(5_000);
    expect((await fleet.copy(now))?.metadata.labels?.["test-alias"]).toBeUndefined();
    for (const stop of stops) stop.stop();
  });

  test("[RN-16] S17: with the gate off the application moves, without label and without record", async () => {
    fleet = await startFailoverFleet();
    const first = await deploy(
      oneOf("m1", "m2"),
      application({ purgeMode: "Directly", ...rules(["a", "{.replicas}"]) }),
    );
    await breakIn("m1", "m2");
    await unhealthy(first);
    await fleet.until(async () => (await task()) !== undefined);
    await fleet.until(async () => (await fleet.copy(other(first))) !== undefined);
    expect(await task()).not.toHaveProperty("preservedLabelState");
    expect(await task()).not.toHaveProperty("clustersBeforeFailover");
    expect((await fleet.copy(other(first)))?.metadata.labels).not.toHaveProperty("a");
  });

  test("[RN-17] S18: an application in two clusters moves without labels", async () => {
    fleet = await startFailoverFleet({ flags: STATEFUL });
    await deploy(
      { ...oneOf("m1", "m2", "m3"), spreadConstraints: [{ spreadByField: "cluster", minGroups: 2, maxGroups: 2 }] },
      application({ purgeMode: "Directly", ...rules(["a", "{.replicas}"]) }),
    );
    await breakIn("m1", "m3");
    await unhealthy("m1");
    await fleet.until(async () => (await fleet.copy("m3")) !== undefined);
    expect(await task()).toMatchObject({ fromCluster: "m1", preservedLabelState: { a: "4" } });
    expect((await fleet.copy("m3"))?.metadata.labels).not.toHaveProperty("a");
  });

  test("[RN-18] S19: purgeMode Gracefully records the state and does not inject it", async () => {
    fleet = await startFailoverFleet({ flags: STATEFUL });
    const first = await deploy(
      oneOf("m1", "m2"),
      application({ purgeMode: "Gracefully", gracePeriodSeconds: 600, ...rules(["a", "{.replicas}"]) }),
    );
    await breakIn("m1", "m2");
    await unhealthy(first);
    await fleet.until(async () => (await fleet.copy(other(first))) !== undefined);
    expect((await task())?.preservedLabelState).toEqual({ a: "4" });
    expect((await fleet.copy(other(first)))?.metadata.labels).not.toHaveProperty("a");
  });

  test("S21 D-13: a path that finds nothing holds the move and says so until it does; a value that can be no label is left out", async () => {
    fleet = await startFailoverFleet({ flags: STATEFUL });
    const first = await deploy(
      oneOf("m1", "m2"),
      application({ purgeMode: "Directly", ...rules(["a", "{.collisionCount}"], ["b", "{.replicas} of many"]) }),
    );
    await breakIn(first);
    await unhealthy(first);
    await fleet.advance(120_000);
    expect(await clusters()).toBe(first);
    expect((await fleet.eventsOf("ResourceBinding", "web-deployment")).join("\n")).toContain(
      "Warning EvictWorkloadFromClusterFailed state of a cannot be read by {.collisionCount}: collisionCount is not found",
    );
    const binding = await fleet.binding();
    const application2 = binding.spec.failover?.application;
    await fleet.plane.update(ResourceBinding, {
      ...binding,
      spec: {
        ...binding.spec,
        failover: {
          application: { ...application2, ...rules(["a", "{.replicas}"], ["b", "{.replicas} of many"]) },
        },
      },
    } as ResourceBinding);
    await fleet.until(async () => (await clusters()) === other(first), 1_000_000);
    expect((await task())?.preservedLabelState).toEqual({ a: "4" });
    expect((await fleet.eventsOf("ResourceBinding", "web-deployment")).join("\n")).toContain(
      'Warning StateNotPreserved b: "4 of many" can be no label value',
    );
  });

  test("E3 FO-9 D-2: an outage carries state as well, once the cluster cannot be waited for", async () => {
    fleet = await startFailoverFleet({ flags: STATEFUL });
    const first = await deploy(oneOf("m1", "m2"), {
      failover: { cluster: { purgeMode: "Directly", ...rules(["test-alias", "{.replicas}"]) } },
    });
    await fleet.addOutagePolicies();
    fleet.simulated(first).setFaults({ isDown: true });
    await fleet.until(async () => (await fleet.copy(other(first))) !== undefined, 120_000);
    expect((await fleet.copy(other(first)))?.metadata.labels?.["test-alias"]).toBe("3");
    expect(await task()).toMatchObject({ producer: "TaintManager", preservedLabelState: { "test-alias": "3" } });
    expect(await task()).not.toHaveProperty("clustersBeforeFailover");
  });

  test("D-12: a copy that never reported is evicted without state after a bounded number of tries", async () => {
    fleet = await startFailoverFleet({ flags: STATEFUL });
    await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", oneOf("m1"), "default", {
        failover: { cluster: { purgeMode: "Directly", ...rules(["a", "{.replicas}"]) } },
      }),
    );
    fleet.simulated("m1").setFaults({ isDown: true });
    await fleet.plane.create(Deployment, aDeployment("web", 1));
    await fleet.until(async () => (await clusters()) === "m1");
    await fleet.taint("m1", true);
    await fleet.until(async () => (await task()) !== undefined, 60_000);
    expect(await task()).not.toHaveProperty("preservedLabelState");
  });
});

describe("resources that stay", () => {
  const more = { preserveResourcesOnDeletion: true };
  const both = { clusterAffinity: { clusterNames: ["m1", "m2"] } };

  test("[RN-19] [RN-20] [RN-21] [RN-22] [RN-24] S22 CL-22: deleting the template removes the Works and leaves the copies, without our marks; by default they go", async () => {
    fleet = await startFailoverFleet();
    await deploy(both, more);
    await fleet.plane.delete(Deployment, { namespace: "default", name: "web" });
    await fleet.advance(60_000);
    expect([await fleet.work("m1"), await fleet.work("m2")]).toEqual([undefined, undefined]);
    for (const name of ["m1", "m2"]) {
      const { labels = {}, annotations = {} } = (await fleet.copy(name))?.metadata ?? {};
      expect(labels["app"]).toBe("test");
      expect([...Object.keys(labels), ...Object.keys(annotations)].filter((key) => key.includes("karmada.io"))).toEqual(
        [],
      );
    }
    await fleet.stop();
    fleet = await startFailoverFleet();
    await deploy(both, {});
    await fleet.plane.delete(Deployment, { namespace: "default", name: "web" });
    await fleet.advance(60_000);
    expect([await fleet.copy("m1"), await fleet.copy("m2")]).toEqual([undefined, undefined]);
  });

  test("[RN-23] S23: deleting only the policy touches neither template nor copies", async () => {
    fleet = await startFailoverFleet();
    await deploy(both, more);
    const before = await Promise.all(["m1", "m2"].map((name) => fleet.copy(name)));
    await fleet.plane.delete(PropagationPolicy, { namespace: "default", name: "web" });
    await fleet.advance(60_000);
    expect(await fleet.plane.find(Deployment, { namespace: "default", name: "web" })).toBeDefined();
    expect((await Promise.all(["m1", "m2"].map((name) => fleet.copy(name)))).map((copy) => copy?.metadata.uid)).toEqual(
      before.map((copy) => copy?.metadata.uid),
    );
    expect((await fleet.plane.list(Work, { namespace: "karmada-es-m1" })).items.length).toBeGreaterThan(0);
  });

  test("D-14: preserved resources are for the deletion of the template; a failover still removes the copy that is left", async () => {
    fleet = await startFailoverFleet();
    const first = await deploy(oneOf("m1", "m2"), more);
    await fleet.taint(first, true);
    await fleet.until(async () => (await fleet.tasks()).length === 1);
    await fleet.until(async () => (await fleet.tasks()).length === 0);
    await fleet.advance(10_000);
    expect(await fleet.copy(first)).toBeUndefined();
    expect(await fleet.copy(other(first))).toBeDefined();
  });
});
