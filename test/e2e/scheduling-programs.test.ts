/** Estimators, descheduler and schedulers as programs of their own beside a control plane, over gRPC and leases. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { Deployment, Lease, Node, Service } from "#apis/kubernetes";
import { seededRandom, silentLogger, silentMetrics, systemClock } from "#base";
import { type Client, createClient } from "#client";
import { deschedulerFlags, estimatorFlags, type FlagTable, readFlags, schedulerFlags } from "#config";
import { type Fleet, type Program, startDescheduler, startEstimator, startScheduler } from "#controlplane";
import { type EstimatorServer, startEstimatorServer } from "#estimator";
import { aDeployment, aPropagationPolicy, eventually, startTestFleet } from "#testing";

let fleet: Fleet;
let client: Client;
let port: number;
let hanging: EstimatorServer;
const programs: Program[] = [];

const quiet = ["--metrics-bind-address=0", "--health-probe-bind-address=0"];
const parts = {
  clock: systemClock,
  random: seededRandom(7),
  log: silentLogger,
  metrics: silentMetrics,
  metricsText: () => Promise.resolve(""),
};
const config = <T extends FlagTable>(table: T, ...words: readonly string[]) => readFlags(table, [...words, ...quiet]);

/** The Service that tells where a cluster's estimator is, as upstream's deployments outside the host cluster have it. */
const announce = (cluster: string, targetPort: number) =>
  client.create(Service, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "karmada-system", name: `est-${cluster}` },
    spec: { type: "ExternalName", externalName: "127.0.0.1", ports: [{ name: "grpc", port: 9443, targetPort }] },
  } as Service);

beforeAll(async () => {
  // The server's own scheduler must leave these bindings alone; a third member has no estimator at all.
  fleet = await startTestFleet();
  client = createClient(fleet.controlPlane.transport);
  const estimator = await startEstimator({
    ...parts,
    config: config(estimatorFlags, "--cluster-name=member1", "--server-port=0", "--bind-address=127.0.0.1"),
    transport: (fleet.members.get("member1") as NonNullable<ReturnType<Fleet["members"]["get"]>>).transport,
  });
  programs.push(estimator);
  port = estimator.port;
  const never = () => new Promise<number>(() => undefined);
  hanging = await startEstimatorServer({
    cluster: "member2",
    estimator: { maxReplicas: never, maxSets: never, unschedulableReplicas: never },
    log: silentLogger,
    host: "127.0.0.1",
    port: 0,
  });
  await announce("member1", port);
  await announce("member2", hanging.port);
  const estimatorWords = [
    "--scheduler-estimator-port=9443",
    "--scheduler-estimator-service-prefix=est",
    "--scheduler-estimator-timeout=300ms",
  ];
  programs.push(
    await startScheduler({
      ...parts,
      config: config(
        schedulerFlags,
        "--scheduler-name=accurate",
        "--enable-scheduler-estimator",
        "--leader-elect-resource-name=accurate",
        // The general estimator then answers from sums, which are easily wrong.
        "--feature-gates=CustomizedClusterResourceModeling=false",
        ...estimatorWords,
      ),
      transport: fleet.controlPlane.transport,
    }),
    await startDescheduler({
      ...parts,
      config: config(
        deschedulerFlags,
        "--descheduling-interval=300ms",
        "--unschedulable-threshold=100ms",
        ...estimatorWords,
      ),
      transport: fleet.controlPlane.transport,
    }),
  );
});
afterAll(async () => {
  await Promise.all(programs.map((program) => program.stop()));
  await hanging.stop();
  await fleet.stop();
});

async function place(name: string, replicas: number, cpu: string, clusters: readonly string[], schedulerName: string) {
  const policy = aPropagationPolicy(
    name,
    {
      clusterAffinity: { clusterNames: clusters },
      replicaScheduling: {
        replicaSchedulingType: "Divided",
        replicaDivisionPreference: "Weighted",
        weightPreference: { dynamicWeight: "AvailableReplicas" },
      },
    },
    "default",
    { schedulerName },
  );
  await client.create(PropagationPolicy, {
    ...policy,
    spec: { ...policy.spec, resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }] },
  });
  const deployment = aDeployment(name, replicas);
  const labels = { workload: name };
  await client.create(Deployment, {
    ...deployment,
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: "app", image: "nginx:1.29", resources: { requests: { cpu } } }] },
      },
    },
  } as Deployment);
}

const bindingOf = (name: string) => client.find(ResourceBinding, { namespace: "default", name: `${name}-deployment` });
const targetsOf = (name: string, isWanted: (replicas: ReadonlyMap<string, number>) => boolean) =>
  eventually(async () => {
    const targets = (await bindingOf(name))?.spec.clusters ?? [];
    const replicas = new Map(targets.map((target) => [target.name, target.replicas ?? 0]));
    return isWanted(replicas) ? replicas : undefined;
  });

describe("scheduling programs", () => {
  it("[O-2] several schedulers by name; estimators found by Service and asked over gRPC, one that hangs degrades only its own cluster", async () => {
    // Three nodes of 8 cpu hold three of 5 cpu; the sums say four. member1 knows better, member2 hangs, member3 has none.
    await place("accurate", 11, "5", ["member1", "member2", "member3"], "accurate");
    const replicas = await targetsOf("accurate", (found) => found.size > 0);
    expect(Object.fromEntries(replicas)).toEqual({ member1: 3, member2: 4, member3: 4 });
    // Its lease, and none of the other scheduler's.
    const leases = (await client.list(Lease, { namespace: "karmada-system" })).items.map(
      ({ metadata }) => metadata.name,
    );
    expect(leases).toEqual(expect.arrayContaining(["accurate", "karmada-descheduler"]));
    expect(leases).not.toContain("karmada-scheduler");
  });

  it("[O-2] the descheduler takes replicas that found no node away, and the scheduler places them elsewhere", async () => {
    const member = createClient(
      (fleet.members.get("member1") as { transport: Fleet["controlPlane"]["transport"] }).transport,
    );
    await place("stuck", 4, "1", ["member1", "member3"], "default-scheduler");
    await targetsOf("stuck", (found) => [...found.values()].reduce((sum, one) => sum + one, 0) === 4);
    // All nodes of member1 are cordoned, and pods that run there are asked for more than runs: they find no node.
    for (const node of (await member.list(Node)).items)
      await member.patch(Node, { name: node.metadata.name ?? "" }, "application/merge-patch+json", {
        spec: { unschedulable: true },
      });
    const before = await targetsOf("stuck", (found) => (found.get("member1") ?? 0) > 0);
    await client.patch(Deployment, { namespace: "default", name: "stuck" }, "application/merge-patch+json", {
      spec: { replicas: 8 },
    });
    const after = await targetsOf(
      "stuck",
      (found) => [...found.values()].reduce((sum, one) => sum + one, 0) === 8 && (found.get("member3") ?? 0) > 4,
    );
    expect(after.get("member1") ?? 0).toBeLessThanOrEqual((before.get("member1") ?? 0) + 4);
  });
});
