/** Metrics and the Service of the API server, on a whole control plane. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Deployment, Endpoints, Service } from "#apis/kubernetes";
import { PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { createClient } from "#client";
import type { Fleet } from "#controlplane";
import { eventually, startTestFleet } from "#testing";

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startTestFleet(["member1"]);
});
afterAll(() => fleet.stop());

const documented = new Set(
  [...readFileSync("docs/reference/metrics.md", "utf8").matchAll(/^\| `([a-z0-9_]+)`/gm)].map((match) => match[1]),
);

/** Metrics of Karmada's contract that the rooms of the control plane make. */
const WIRE = [
  "cluster_ready_state",
  "cluster_node_number",
  "cluster_ready_node_number",
  "cluster_memory_allocatable_bytes",
  "cluster_cpu_allocatable_number",
  "cluster_pod_allocatable_number",
  "cluster_memory_allocated_bytes",
  "cluster_cpu_allocated_number",
  "cluster_pod_allocated_number",
  "cluster_sync_status_duration_seconds",
  "resource_match_policy_duration_seconds",
  "resource_apply_policy_duration_seconds",
  "policy_apply_attempts_total",
  "binding_sync_work_duration_seconds",
  "work_sync_workload_duration_seconds",
  "create_resource_to_cluster",
  "karmada_scheduler_schedule_attempts_total",
  "karmada_scheduler_e2e_scheduling_duration_seconds",
  "karmada_scheduler_scheduling_algorithm_duration_seconds",
  "karmada_scheduler_queue_incoming_bindings_total",
  "karmada_scheduler_framework_extension_point_duration_seconds",
  "karmada_scheduler_plugin_execution_duration_seconds",
  "scheduler_pending_bindings",
  "karmada_build_info",
  "workqueue_queue_duration_seconds",
];

test("every metric that is served is documented, and those of the contract are served", async () => {
  const client = createClient(fleet.controlPlane.transport);
  await client.create(Deployment, {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image: "nginx" }] } },
    },
  } as unknown as Deployment);
  await client.create(PropagationPolicy, {
    metadata: { name: "all", namespace: "default" },
    spec: { resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment" }] },
  } as unknown as PropagationPolicy);
  await eventually(async () => {
    const binding = await client.find(ResourceBinding, { namespace: "default", name: "web-deployment" });
    return binding?.status?.aggregatedStatus?.[0]?.applied;
  });
  const text = await eventually(async () => {
    const { body } = await fleet.controlPlane.transport.raw({ method: "GET", path: "/metrics" });
    const found = new TextDecoder().decode(body as Uint8Array);
    return found.includes("work_sync_workload_duration_seconds") ? found : undefined;
  });
  const served = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1] as string);
  expect(WIRE.filter((name) => !served.includes(name))).toEqual([]);
  expect(served.filter((name) => !/^(process|nodejs)_/.test(name) && !documented.has(name))).toEqual([]);
  expect(text).toMatch(
    /^karmada_build_info\{git_version="[^"]+",git_commit="[^"]+",git_short_commit="[^"]+",git_tree_state="[^"]+",build_date="[^"]+",go_version="[^"]+",compiler="[^"]+",platform="[^"]+"\} 1$/m,
  );
  // Queues have upstream's names, one for each of its reconcilers.
  for (const name of ["binding-controller", "execution-controller", "cluster-controller", "work-status-controller"])
    expect(text).toMatch(
      new RegExp(`^workqueue_queue_duration_seconds_sum\\{controller="${name}",name="${name}"\\} \\d`, "m"),
    );
  const idle = "cluster-resource-binding-controller";
  expect(text).toContain(`workqueue_depth{controller="${idle}",name="${idle}"} 0`);
  expect(text).toMatch(/policy_apply_attempts_total\{result="success"\} [1-9]/);
});

test("default/kubernetes leads to the API server, in the control plane and in members", async () => {
  const at = { namespace: "default", name: "kubernetes" };
  const member = fleet.members.get("member1");
  for (const transport of [fleet.controlPlane.transport, member?.api.transport()]) {
    if (transport === undefined) throw new Error("there is no member1");
    const client = createClient(transport);
    expect(await client.get(Service, at)).toMatchObject({
      metadata: { labels: { component: "apiserver", provider: "kubernetes" } },
      spec: { type: "ClusterIP", ports: [{ name: "https", port: 443 }] },
    });
    // Loopback addresses are no endpoints: a machine without another address has none.
    const endpoints = await client.find(Endpoints, at);
    for (const { addresses = [] } of endpoints?.subsets ?? [])
      for (const { ip } of addresses) expect(ip).not.toMatch(/^127\./);
  }
});
