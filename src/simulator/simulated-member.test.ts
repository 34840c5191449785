import { generateKeyPairSync } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import {
  CronJob,
  Deployment,
  HorizontalPodAutoscaler,
  Job,
  Node,
  PersistentVolumeClaim,
  Pod,
  ResourceQuota,
  STANDS_FOR,
  StatefulSet,
} from "#apis/kubernetes";
import { seededRandom, silentLogger, systemClock } from "#base";
import { createClient } from "#client";
import type { KubeObject } from "#machinery";
import { eventually } from "#testing";
import { applyFault } from "./fault-commands.ts";
import { type SimulatedMember, startSimulatedMember } from "./simulated-member.ts";

const serviceAccountKeys = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});

const started: SimulatedMember[] = [];
afterEach(async () => {
  for (const member of started.splice(0)) await member.stop();
});

async function start(nodes = 2, isSummarised = false) {
  const member = await startSimulatedMember({
    name: "m1",
    nodes: [{ count: nodes, cpu: "8", memory: "32Gi" }],
    isSummarised,
    clock: systemClock,
    random: seededRandom(1),
    log: silentLogger,
    serviceAccountKeys,
    kubelet: { podReadyMs: 1, jobPodMs: 1 },
    autoscalerPeriodMs: 20,
  });
  started.push(member);
  return { member, client: createClient(member.api.transport()) };
}

const deployment = (replicas: number, extra: { image?: string; annotations?: Readonly<Record<string, string>> } = {}) =>
  ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default", ...(extra.annotations ? { annotations: extra.annotations } : {}) },
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      template: {
        metadata: { labels: { app: "web" } },
        spec: {
          containers: [
            { name: "c", image: extra.image ?? "nginx", resources: { requests: { cpu: "100m", memory: "64Mi" } } },
          ],
        },
      },
    },
  }) as unknown as Deployment;
const web = { namespace: "default", name: "web" };
type Client = Awaited<ReturnType<typeof start>>["client"];
const readyIs = (client: Client, replicas: number) =>
  eventually(async () => expect((await client.get(Deployment, web)).status?.readyReplicas ?? 0).toBe(replicas));

describe("a simulated member", () => {
  it("measures what pods and nodes use, and scales by it", async () => {
    const { member, client } = await start();
    await client.create(Deployment, deployment(2, { annotations: { "simulator.flotilla.io/load-cpu": "160m" } }));
    await readyIs(client, 2);
    const transport = member.api.transport();
    const metrics = { group: "metrics.k8s.io", version: "v1beta1" };
    const pods = await transport.list({ ...metrics, resource: "pods", namespace: "default", labelSelector: "app=web" });
    expect(pods.items).toHaveLength(2);
    expect(pods.items[0]).toMatchObject({
      kind: "PodMetrics",
      containers: [{ name: "c", usage: { cpu: "80m", memory: "32768Ki" } }],
    });
    const node = (await transport.send({
      verb: "get",
      ...metrics,
      resource: "nodes",
      name: "m1-node-1",
    })) as KubeObject & {
      readonly usage: { readonly cpu: string };
    };
    expect(node.usage.cpu).toMatch(/^\d+m$/);
    await client.create(HorizontalPodAutoscaler, {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: "web", namespace: "default" },
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        maxReplicas: 6,
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 40 } } },
        ],
      },
    } as unknown as HorizontalPodAutoscaler);
    // 160m over four pods is 40m of the 100m each requests: as wanted.
    await readyIs(client, 4);
    await eventually(async () =>
      expect((await client.get(HorizontalPodAutoscaler, web)).status).toMatchObject({
        desiredReplicas: 4,
        currentMetrics: [{ resource: { name: "cpu", current: { averageUtilization: 40 } } }],
      }),
    );
  });

  it("publishes and enforces quotas", async () => {
    const { client } = await start();
    await client.create(ResourceQuota, {
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { name: "few", namespace: "default" },
      spec: { hard: { pods: "3", "requests.cpu": "1" } },
    } as unknown as ResourceQuota);
    const few = { namespace: "default", name: "few" };
    await eventually(async () => expect((await client.get(ResourceQuota, few)).status?.hard).toBeDefined());
    await client.create(Deployment, deployment(5));
    await readyIs(client, 3);
    await eventually(async () =>
      expect((await client.get(ResourceQuota, few)).status?.used).toEqual({ pods: "3", "requests.cpu": "300m" }),
    );
    expect((await client.get(Deployment, web)).status?.conditions).toEqual(
      expect.arrayContaining([expect.objectContaining({ type: "ReplicaFailure", status: "True" })]),
    );
  });

  it("never makes pods of images below fake/ Ready, and says why", async () => {
    const { client } = await start();
    await client.create(Deployment, deployment(1, { image: "fake/app:1" }));
    await eventually(async () =>
      expect(
        (await client.list(Pod, { namespace: "default" })).items[0]?.status?.containerStatuses?.[0]?.state,
      ).toEqual({
        waiting: { reason: "ImagePullBackOff", message: 'Back-off pulling image "fake/app:1"' },
      }),
    );
    expect((await client.get(Deployment, web)).status?.readyReplicas ?? 0).toBe(0);
  });

  it("gives StatefulSets the volumes they claim", async () => {
    const { client } = await start();
    await client.create(StatefulSet, {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "db", namespace: "default" },
      spec: {
        serviceName: "db",
        replicas: 2,
        selector: { matchLabels: { app: "db" } },
        template: {
          metadata: { labels: { app: "db" } },
          spec: {
            containers: [{ name: "c", image: "postgres", volumeMounts: [{ name: "data", mountPath: "/data" }] }],
          },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: "data" },
            spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "2Gi" } } },
          },
        ],
      },
    } as unknown as StatefulSet);
    await eventually(async () => {
      const set = await client.get(StatefulSet, { namespace: "default", name: "db" });
      return set.status?.readyReplicas === 2;
    });
    const { items } = await client.list(PersistentVolumeClaim, { namespace: "default" });
    expect(items.map(({ metadata, status }) => [metadata.name, status?.phase, status?.capacity])).toEqual([
      ["data-db-0", "Bound", { storage: "2Gi" }],
      ["data-db-1", "Bound", { storage: "2Gi" }],
    ]);
  });

  it("runs CronJobs when they are due", async () => {
    const { client } = await start();
    const template = { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "busybox" }] } };
    await client.create(CronJob, {
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: { name: "tick", namespace: "default" },
      spec: { schedule: "* * * * *", jobTemplate: { spec: { template } } },
    } as unknown as CronJob);
    // It is due at the next full minute; an earlier last run makes the present one due at once.
    const tick = await client.get(CronJob, { namespace: "default", name: "tick" });
    await client.updateStatus(CronJob, { ...tick, status: { lastScheduleTime: "2026-01-01T00:00:00Z" } } as CronJob);
    await eventually(async () =>
      expect((await client.list(Job, { namespace: "default" })).items[0]?.status?.succeeded).toBe(1),
    );
  });

  it("fails as it is told, and recovers", async () => {
    const { member, client } = await start(3);
    const outside = createClient(member.transport);
    await applyFault(member, { fault: "down" });
    await expect(outside.list(Node)).rejects.toThrow(/ECONNREFUSED: the API server of m1 is down/);
    await applyFault(member, { fault: "up" });
    expect((await outside.list(Node)).items).toHaveLength(3);
    await applyFault(member, { fault: "hanging" });
    await expect(outside.list(Node, { signal: AbortSignal.timeout(20) })).rejects.toThrow();
    await applyFault(member, { fault: "up" });
    await applyFault(member, { fault: "flapping", periodMs: 20 });
    const seen = new Set<boolean>();
    await eventually(async () => {
      seen.add(
        await outside.list(Node).then(
          () => true,
          () => false,
        ),
      );
      return seen.size === 2;
    });
    await applyFault(member, { fault: "up" });
    await applyFault(member, { fault: "nodes-lost", nodes: 2 });
    const ready = async () =>
      (await client.list(Node)).items.filter(({ status }) => status?.conditions?.[0]?.status === "True").length;
    expect(await ready()).toBe(1);
    await applyFault(member, { fault: "quota-full" });
    await eventually(async () =>
      expect((await client.list(ResourceQuota, { namespace: "default" })).items[0]?.status?.hard).toEqual({
        pods: "0",
      }),
    );
    await client.create(Deployment, deployment(1));
    await eventually(async () =>
      expect((await client.get(Deployment, web)).status?.conditions?.map(({ message }) => message).join()).toContain(
        "exceeded quota: simulated-full, requested: pods=1, used: pods=0, limited: pods=0",
      ),
    );
    await applyFault(member, { fault: "up" });
    expect(await ready()).toBe(3);
    expect((await client.list(ResourceQuota, { namespace: "default" })).items).toEqual([]);
  });
});

describe("a summarised member", () => {
  const statusOf = async (client: ReturnType<typeof createClient>, isWanted: (ready: number) => boolean) =>
    eventually(async () => {
      const { status, metadata } = await client.get(Deployment, { namespace: "default", name: "web" });
      return status?.observedGeneration === metadata.generation && isWanted(status?.readyReplicas ?? 0)
        ? status
        : undefined;
    });
  const sizes = async (client: ReturnType<typeof createClient>) =>
    (await client.list(Pod)).items.map(({ metadata, spec }) => [
      Number(metadata.annotations?.[STANDS_FOR]),
      Boolean(spec?.nodeName),
    ]);

  it("runs thousands of replicas on thousands of nodes with a few objects, and scales both ways", async () => {
    const { client } = await start(5_000, true);
    expect((await client.list(Node)).items.map((node) => node.metadata.annotations?.[STANDS_FOR])).toEqual(["5000"]);
    await client.create(Deployment, deployment(20_000));
    expect(await statusOf(client, (ready) => ready === 20_000)).toMatchObject({
      replicas: 20_000,
      availableReplicas: 20_000,
    });
    expect(await sizes(client)).toEqual([[20_000, true]]);
    const scale = (replicas: number) =>
      client.patch(Deployment, { namespace: "default", name: "web" }, "application/merge-patch+json", {
        spec: { replicas },
      });
    await scale(25_000);
    await statusOf(client, (ready) => ready === 25_000);
    await scale(7);
    await statusOf(client, (ready) => ready === 7);
    expect((await sizes(client)).reduce((sum, [count]) => sum + (count as number), 0)).toBe(7);
  });

  it("lets as many run as there is room for, and the rest wait", async () => {
    const { client } = await start(10, true);
    // Ten nodes of 8 cpu hold 800 pods of 100m.
    await client.create(Deployment, deployment(1_000));
    expect(await statusOf(client, (ready) => ready === 800)).toMatchObject({
      replicas: 1_000,
      unavailableReplicas: 200,
    });
    expect(await sizes(client)).toEqual(
      expect.arrayContaining([
        [800, true],
        [200, false],
      ]),
    );
    const { items } = await client.list(Pod, {});
    const waiting = items.find(({ spec }) => !spec?.nodeName);
    expect(JSON.stringify(waiting?.status?.conditions)).toContain("0/10 nodes are available: 10 Insufficient cpu.");
  });
});
