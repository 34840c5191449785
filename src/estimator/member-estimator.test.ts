import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Deployment, Node, Pod, ReplicaSet } from "#apis/kubernetes";
import type { RunningApiServer } from "#apiserver";
import { type MetricLabels, type Metrics, seededRandom, silentLogger, silentMetrics, VirtualClock } from "#base";
import { type Client, createClient } from "#client";
import { createMemberPool, type MemberPool } from "#member";
import { settle, startTestApiServer } from "#testing";
import { createEstimatorPool, dialEstimator, followMembers, serveMember, UNKNOWN } from "./index.ts";

const clock = new VirtualClock(Date.parse("2026-01-01T00:00:00Z"), settle);
const random = seededRandom(3);
let api: RunningApiServer;
let client: Client;
let members: MemberPool;

beforeEach(async () => {
  api = await startTestApiServer({
    clock,
    random,
    namespaces: ["default"],
  });
  client = createClient(api.transport());
  members = createMemberPool({ clock, log: silentLogger });
});
afterEach(() => {
  members.stop();
  api.stop();
});

const containers = (cpu: string) => [{ name: "c", image: "web:1", resources: { requests: { cpu } } }];

describe("the estimator of a connected member", () => {
  it("follows nodes and pods, finds replicas without a node, and knows nothing before and after", async () => {
    const pool = createEstimatorPool({ clock, log: silentLogger });
    const stop = followMembers(members, pool, { clock, gates: new Set() });
    const ask = async () => (await pool.maxReplicas({ resourceRequest: { cpu: "1" } }, { clusters: ["m1"] })).get("m1");
    expect(await ask()).toBe(UNKNOWN);
    members.connect({ name: "m1", fingerprint: "1", open: () => ({ transport: api.transport() }) });
    expect(await ask()).toBe(UNKNOWN);
    await settle();
    expect(await ask()).toBe(0);

    const node = await client.create(Node, { apiVersion: "v1", kind: "Node", metadata: { name: "n1" } });
    await client.updateStatus(Node, { ...node, status: { allocatable: { cpu: "8", memory: "16Gi", pods: "10" } } });
    await settle();
    expect(await ask()).toBe(8);

    const template = { metadata: { labels: { app: "web" } }, spec: { containers: containers("2") } };
    const selector = { matchLabels: { app: "web" } };
    const deployment = await client.create(Deployment, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "default" },
      spec: { selector, template },
    });
    const owner = (kind: string, uid = "") => [{ apiVersion: "apps/v1", kind, name: "web", uid, controller: true }];
    const replicaSet = await client.create(ReplicaSet, {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { name: "web-1", namespace: "default", ownerReferences: owner("Deployment", deployment.metadata.uid) },
      spec: {
        selector,
        template: { ...deployment.spec?.template, metadata: { labels: { app: "web", "pod-template-hash": "1" } } },
      },
    });
    const pod = (name: string, nodeName?: string): Pod => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", ownerReferences: owner("ReplicaSet", replicaSet.metadata.uid) },
      spec: { containers: containers("2"), ...(nodeName === undefined ? {} : { nodeName }) },
    });
    await client.create(Pod, pod("runs", "n1"));
    const stuck = await client.create(Pod, pod("stuck"));
    await client.updateStatus(Pod, {
      ...stuck,
      status: {
        phase: "Pending",
        conditions: [
          {
            type: "PodScheduled",
            status: "False",
            reason: "Unschedulable",
            lastTransitionTime: "2025-12-31T23:00:00Z",
          },
        ],
      },
    });
    await settle();
    expect(await ask()).toBe(6);
    const web = { apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name: "web" };
    // Caches begin when they are first asked for.
    await pool.unschedulableReplicas(web, 300_000, { clusters: ["m1"] });
    await settle();
    expect((await pool.unschedulableReplicas(web, 300_000, { clusters: ["m1"] })).get("m1")).toBe(1);

    members.disconnect("m1");
    expect(await ask()).toBe(UNKNOWN);
    stop();
  });

  it("is measured by upstream's names of questions and steps", async () => {
    const seen = new Set<string>();
    const note =
      (name: string) =>
      (_: number, labels: MetricLabels = {}) =>
        seen.add(`${name.replace("karmada_scheduler_estimator_", "")} ${Object.values(labels).join(" ")}`);
    const metrics: Metrics = {
      ...silentMetrics,
      counter: (name) => ({ add: note(name) }),
      gauge: (name) => ({ set: note(name), remove: () => undefined }),
      histogram: (name) => ({ observe: note(name) }),
    };
    const deployment = await client.create(Deployment, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "default" },
      spec: {
        selector: { matchLabels: { app: "web" } },
        template: { metadata: { labels: { app: "web" } }, spec: { containers: containers("1") } },
      },
    });
    const server = await serveMember({
      cluster: "m1",
      transport: api.transport(),
      clock,
      log: silentLogger,
      metrics,
      gates: new Set(["ResourceQuotaEstimate"]),
      host: "127.0.0.1",
      port: 0,
    });
    const remote = await dialEstimator({ addresses: [`127.0.0.1:${server.port}`], cluster: "m1" });
    const asking = { signal: new AbortController().signal };
    const web = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      namespace: "default",
      name: deployment.metadata.name ?? "",
    };
    await remote.maxReplicas({ resourceRequest: { cpu: "1" } }, asking);
    await remote.maxSets([{ name: "a", replicas: 1 }], "default", asking);
    await remote.unschedulableReplicas(web, 0, asking);
    await settle();
    await remote.unschedulableReplicas(web, 0, asking);
    await expect(remote.unschedulableReplicas({ ...web, name: "none" }, 0, asking)).rejects.toThrow("not found");
    remote.close?.();
    await server.stop();
    expect([...seen]).toEqual(
      expect.arrayContaining([
        "estimating_request_total success MaxAvailableReplicas",
        "estimating_request_total success MaxAvailableComponentSets",
        "estimating_request_total error GetUnschedulableReplicas",
        "estimating_algorithm_duration_seconds success MaxAvailableReplicas Total",
        "estimating_algorithm_duration_seconds success GetUnschedulableReplicas GetObjectFromCache",
        "estimating_algorithm_duration_seconds success GetUnschedulableReplicas GetWorkloadUnschedulablePods",
        "estimating_algorithm_duration_seconds error GetUnschedulableReplicas GetObjectFromCache",
      ]),
    );
  });

  it("serves one member as a program of its own", async () => {
    const node = await client.create(Node, { apiVersion: "v1", kind: "Node", metadata: { name: "n1" } });
    await client.updateStatus(Node, { ...node, status: { allocatable: { cpu: "8", memory: "16Gi", pods: "10" } } });
    const server = await serveMember({
      cluster: "m1",
      transport: api.transport(),
      clock,
      log: silentLogger,
      gates: new Set(),
      host: "127.0.0.1",
      port: 0,
    });
    const remote = await dialEstimator({ addresses: [`127.0.0.1:${server.port}`], cluster: "m1" });
    const asking = { signal: new AbortController().signal };
    expect(await remote.maxReplicas({ resourceRequest: { cpu: "3" } }, asking)).toBe(2);
    remote.close?.();
    await server.stop();
  });
});
