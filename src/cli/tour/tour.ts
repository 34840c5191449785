import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { Deployment, Pod } from "#apis/kubernetes";
import { Cluster, ClusterTaintPolicy, OverridePolicy, PropagationPolicy, ResourceBinding } from "#apis/karmada";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import type { KubeObject, ResourceKind } from "#machinery";
import { clusterTable } from "../commands/get-clusters.ts";
import { formatTable } from "../table.ts";

/** One stop of the tour; it throws when what it shows does not come true. */
interface Step {
  readonly title: string;
  readonly look: string;
  run(tour: Tour): Promise<void>;
}

export interface Tour {
  readonly fleet: Fleet;
  readonly client: Client;
  readonly examples: string;
  print(text: string): void;
}

const WAIT_MAX_MS = 120_000;
const LOOK_AGAIN_MS = 25;
const at = { namespace: "default", name: "nginx" };

/** Waits until `isTrue` gives something; fails with what was waited for. */
async function until<T>(what: string, isTrue: () => Promise<T | undefined | false>): Promise<T> {
  const endMs = Date.now() + WAIT_MAX_MS;
  for (;;) {
    const found = await isTrue();
    if (found) return found;
    if (Date.now() > endMs) throw new Error(`${what} did not happen within ${WAIT_MAX_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** Creates an example's object, or makes the one that is there like it. */
async function apply<T extends KubeObject>(tour: Tour, kind: ResourceKind<T>, file: string): Promise<void> {
  const object = parse(readFileSync(join(tour.examples, file), "utf8"), { version: "1.1" }) as T;
  await tour.client.apply(kind, object, { fieldManager: "flotilla-tour", force: true });
}

async function showPlacement(tour: Tour): Promise<void> {
  const { client, fleet } = tour;
  const binding = await client.get(ResourceBinding, { namespace: "default", name: "nginx-deployment" });
  const rows = await Promise.all(
    [...fleet.members].map(async ([name, member]) => {
      const wanted = binding.spec.clusters?.find((target) => target.name === name)?.replicas ?? 0;
      if (member.faults.isDown) return [name, String(wanted), "?", "(down)"];
      const own = createClient(member.api.transport());
      const { items } = await own.list(Pod, { namespace: "default", labelSelector: "app=nginx" });
      const ready = items.filter((pod) =>
        pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True"),
      ).length;
      const image = (await own.find(Deployment, at))?.spec?.template.spec?.containers[0]?.image ?? "-";
      return [name, String(wanted), `${ready}/${items.length}`, image];
    }),
  );
  const deployment = await client.get(Deployment, at);
  tour.print(formatTable(["CLUSTER", "SCHEDULED", "PODS READY", "IMAGE"], rows));
  const down = [...fleet.members].filter(([, { faults }]) => faults.isDown).map(([name]) => name);
  const heard = down.length === 0 ? "" : `, what ${down.join(" and ")} said last counted in`;
  tour.print(
    `template: ${deployment.status?.readyReplicas ?? 0} of ${deployment.spec?.replicas ?? 0} replicas ready${heard}\n`,
  );
}

const allReady = async (client: Client): Promise<boolean> => {
  const { spec, status, metadata } = await client.get(Deployment, at);
  return (
    (status?.readyReplicas ?? 0) === (spec?.replicas ?? 0) &&
    (status?.replicas ?? 0) === (spec?.replicas ?? 0) &&
    status?.observedGeneration === metadata.generation
  );
};

/** The cluster that holds most of the workload. */
async function fullest({ client }: Tour): Promise<string> {
  const binding = await client.get(ResourceBinding, { namespace: "default", name: "nginx-deployment" });
  const [first] = [...(binding.spec.clusters ?? [])].sort((a, b) => (b.replicas ?? 0) - (a.replicas ?? 0));
  if (first === undefined) throw new Error("nginx is scheduled nowhere");
  return first.name;
}

let failed = "";

const steps: readonly Step[] = [
  {
    title: "Three member clusters have joined",
    look: "kubectl get clusters",
    async run(tour) {
      const clusters = await until("all clusters becoming Ready", async () => {
        const { items } = await tour.client.list(Cluster);
        return (
          items.length >= tour.fleet.members.size &&
          items.every(
            ({ status, spec }) =>
              status?.resourceSummary !== undefined &&
              status.conditions?.some(({ type, status: state }) => type === "Ready" && state === "True") &&
              (spec?.taints ?? []).length === 0,
          ) &&
          items
        );
      });
      tour.print(clusterTable(clusters, Date.now()));
    },
  },
  {
    title: "An ordinary Deployment, a policy that says where, and an override for one cluster",
    look: "kubectl get deployment,propagationpolicy,overridepolicy,resourcebinding,works -A",
    async run(tour) {
      await apply(tour, ClusterTaintPolicy, "cluster-taint-policy.yaml");
      await apply(tour, OverridePolicy, "override-policy.yaml");
      await apply(tour, PropagationPolicy, "propagation-policy.yaml");
      await apply(tour, Deployment, "nginx.yaml");
      await until("nginx becoming ready in the members", () => allReady(tour.client));
      await showPlacement(tour);
    },
  },
  {
    title: "Scale the Deployment up: 9 → 18",
    look: "kubectl get deployment nginx -w",
    async run(tour) {
      await tour.client.patch(
        Deployment,
        at,
        "application/merge-patch+json",
        { spec: { replicas: 18 } },
        { fieldManager: "flotilla-tour" },
      );
      await until("18 replicas becoming ready", () => allReady(tour.client));
      await showPlacement(tour);
    },
  },
  {
    title: "A member dies",
    look: "kubectl get clusters; kubectl get cluster NAME -o yaml; kubectl get resourcebinding nginx-deployment -o yaml",
    async run(tour) {
      failed = await fullest(tour);
      tour.print(`${failed} is taken down.\n`);
      tour.fleet.members.get(failed)?.setFaults({ isDown: true });
      await until(`${failed} becoming not ready`, async () =>
        (await tour.client.get(Cluster, { name: failed })).status?.conditions?.some(
          ({ type, status }) => type === "Ready" && status !== "True",
        ),
      );
      tour.print(clusterTable((await tour.client.list(Cluster)).items, Date.now()));
      const cluster = await until("the taints of the failed cluster", async () => {
        const found = await tour.client.get(Cluster, { name: failed });
        return (found.spec?.taints ?? []).some(({ effect }) => effect === "NoExecute") && found;
      });
      tour.print(
        `taints on ${failed}: ${(cluster.spec?.taints ?? []).map(({ key, effect }) => `${key}:${effect}`).join(", ")}\n`,
      );
    },
  },
  {
    title: "Graceful eviction: its replicas come up elsewhere, then the old copy is given up",
    look: "kubectl get events -n default --field-selector reason=EvictWorkloadFromClusterSucceed",
    async run(tour) {
      const binding = await until("the eviction", async () => {
        const found = await tour.client.get(ResourceBinding, { namespace: "default", name: "nginx-deployment" });
        return (
          !(found.spec.clusters ?? []).some(({ name }) => name === failed) &&
          (found.spec.clusters ?? []).reduce((sum, { replicas = 0 }) => sum + replicas, 0) === 18 &&
          found
        );
      });
      for (const task of binding.spec.gracefulEvictionTasks ?? [])
        tour.print(`eviction task: from ${task.fromCluster}, ${task.reason}, by ${task.producer}\n`);
      await until("the replicas becoming ready elsewhere", async () => {
        const found = await tour.client.get(ResourceBinding, { namespace: "default", name: "nginx-deployment" });
        return (
          (found.spec.gracefulEvictionTasks ?? []).length === 0 &&
          found.status?.aggregatedStatus
            ?.filter(({ clusterName }) => clusterName !== failed)
            .every(({ health }) => health === "Healthy")
        );
      });
      await showPlacement(tour);
    },
  },
  {
    title: "The member comes back, and what it still held is cleaned up",
    look: "kubectl get clusters -w",
    async run(tour) {
      tour.fleet.members.get(failed)?.setFaults({ isDown: false });
      await until(`${failed} becoming ready`, async () => {
        const { status, spec } = await tour.client.get(Cluster, { name: failed });
        return (
          status?.conditions?.some(({ type, status: state }) => type === "Ready" && state === "True") &&
          (spec?.taints ?? []).length === 0
        );
      });
      const member = createClient(tour.fleet.members.get(failed)?.transport as never);
      await until("the old copy going", async () => (await member.find(Deployment, at)) === undefined);
      await until(
        "its pods going",
        async () => (await member.list(Pod, { namespace: "default", labelSelector: "app=nginx" })).items.length === 0,
      );
      tour.print(clusterTable((await tour.client.list(Cluster)).items, Date.now()));
      await showPlacement(tour);
    },
  },
];

/** Walks through all steps. Throws with the step that failed. */
export async function runTour(fleet: Fleet, examples: string, print: (text: string) => void): Promise<void> {
  const tour: Tour = {
    fleet,
    client: createClient(fleet.controlPlane.transport, { fieldManager: "flotilla-tour" }),
    examples,
    print,
  };
  for (const [number, step] of steps.entries()) {
    print(`\n[${number + 1}/${steps.length}] ${step.title}\n      look at it: ${step.look}\n\n`);
    try {
      await step.run(tour);
    } catch (error) {
      throw new Error(
        `step ${number + 1} of the tour failed (${step.title}): ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  }
}
