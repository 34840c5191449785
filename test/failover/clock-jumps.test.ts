/** Somebody sets the machine's clock an hour ahead or back: nothing falls due by it, and nothing waits for it. */
import { afterEach, describe, expect, test } from "vitest";
import { Deployment } from "#apis/kubernetes";
import { Cluster, PropagationPolicy } from "#apis/karmada";
import { aDeployment, aPropagationPolicy, type FailoverFleet, startFailoverFleet } from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

const HOUR_MS = 3_600_000;
const names = ["m1", "m2", "m3"] as const;
const cluster = (name: string) => fleet.plane.get(Cluster, { name });
const ready = async (name: string) =>
  (await cluster(name)).status?.conditions?.find(({ type }) => type === "Ready")?.status;

describe.each([
  ["ahead", HOUR_MS],
  ["back", -HOUR_MS],
])("a clock set an hour %s", (_way, jumpMs) => {
  test("[GF-23] makes no cluster unready, evicts nothing, holds nothing up, and an outage is seen in time", async () => {
    fleet = await startFailoverFleet({
      members: names,
      pull: ["m1"],
      // Rates that are counted in tokens, so that a clock that went back could keep everybody waiting.
      flags: ["--kube-api-qps=50", "--kube-api-burst=60", "--cluster-api-qps=50", "--cluster-api-burst=60"],
    });
    await fleet.addOutagePolicies();
    await fleet.plane.create(
      PropagationPolicy,
      aPropagationPolicy("web", {
        clusterAffinity: { clusterNames: [...names] },
        replicaScheduling: { replicaSchedulingType: "Duplicated" },
      }),
    );
    await fleet.plane.create(Deployment, aDeployment("web", 2));
    const inMember = async (name: string) => (await fleet.copy(name))?.spec?.replicas;
    await fleet.until(async () => (await inMember("m2")) === 2 && (await inMember("m3")) === 2);
    const targets = await fleet.targets();

    fleet.clock.jump(jumpMs);
    await fleet.advance(120_000);
    for (const name of names) {
      expect(await ready(name), name).toBe("True");
      expect((await cluster(name)).spec?.taints ?? [], name).toEqual([]);
    }
    expect([await fleet.targets(), await fleet.tasks()]).toEqual([targets, []]);

    fleet.clock.jump(jumpMs);
    const latest = await fleet.plane.get(Deployment, { namespace: "default", name: "web" });
    await fleet.plane.update(Deployment, { ...latest, spec: { ...latest.spec, replicas: 5 } } as Deployment);
    const tookMs = await fleet.until(async () => (await inMember("m2")) === 5 && (await inMember("m3")) === 5);
    expect(tookMs).toBeLessThan(5_000);

    fleet.simulated("m3").setFaults({ isDown: true });
    await fleet.advance(1_000);
    fleet.clock.jump(jumpMs);
    await fleet.advance(25_000);
    expect(await ready("m3")).toBe("True");
    expect(await fleet.until(async () => (await ready("m3")) === "False")).toBeLessThan(20_000);
    await fleet.agent("m1").kill();
    await fleet.advance(1_000);
    fleet.clock.jump(jumpMs);
    await fleet.advance(30_000);
    expect(await ready("m1")).toBe("True");
    expect(await fleet.until(async () => (await ready("m1")) === "Unknown")).toBeLessThan(25_000);
  });
});
