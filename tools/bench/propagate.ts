import { join } from "node:path";
import { type Cluster, PropagationPolicy } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import { seededRandom, systemClock } from "#base";
import { createClient } from "#client";
import { parseFlags } from "#config";
import { createLogger, startFleet } from "#controlplane";
import { aDeployment, aPropagationPolicy, eventually } from "#testing";
import { type Bench, manyWriters, perSecond } from "./measure.ts";

/**
 * Deployments from POST to present in a simulated member, beside the same writes straight to the member. `2000x1`: 2 000, with
 * the member in a thread of its own.
 */
export const propagate: Bench = async ({ scratch, words }) => {
  const [COUNT = 300, memberThreads = 0] = (words[0] ?? "300").split("x").map(Number);
  const config = parseFlags([`--data-dir=${join(scratch, "propagate")}`, "--secure-port=0"]);
  const fleet = await startFleet({
    config,
    clock: systemClock,
    random: seededRandom(1),
    log: createLogger("silent"),
    memberThreads,
    members: [{ name: "member1", region: "local", nodes: [{ count: 50, cpu: "64", memory: "256Gi" }] }],
  });
  try {
    const plane = createClient(fleet.controlPlane.transport);
    const member = createClient(fleet.members.get("member1")?.transport as never);
    await eventually(async () =>
      (
        await plane.list({
          group: "cluster.karmada.io",
          version: "v1alpha1",
          kind: "Cluster",
          resource: "clusters",
          namespaced: false,
        })
      ).items.every((cluster) => (cluster as Cluster).status?.resourceSummary !== undefined),
    );
    const direct = await manyWriters((n) => member.create(Deployment, aDeployment(`direct-${n}`, 1)), COUNT);
    await plane.create(
      PropagationPolicy,
      aPropagationPolicy("all", { clusterAffinity: { clusterNames: ["member1"] } }),
    );
    const cpuBefore = process.cpuUsage();
    const startedMs = performance.now();
    await manyWriters((n) => plane.create(Deployment, aDeployment(`app-${n}`, 1)), COUNT);
    await eventually(
      async () =>
        (await member.list(Deployment)).items.filter(({ metadata }) => metadata.name?.startsWith("app-")).length ===
        COUNT,
      120_000,
    );
    const present = perSecond(COUNT, startedMs);
    await eventually(
      async () => (await plane.list(Deployment)).items.every(({ status }) => status?.readyReplicas === 1),
      120_000,
    );
    const statusMs = performance.now() - startedMs;
    const cpu = process.cpuUsage(cpuBefore);
    return [
      {
        name: "propagate",
        measure: `${COUNT} Deployments, POST to present in a simulated member, durable`,
        value: present,
        unit: "/s",
        reference: `direct to the member ${Math.round(direct)}/s`,
        ratio: present / direct,
      },
      {
        name: "propagate",
        measure: "CPU time of all this per Deployment, simulated member included",
        value: (cpu.user + cpu.system) / 1000 / COUNT,
        unit: "ms",
      },
      {
        name: "propagate",
        measure: `status of ${COUNT} back in the templates, from the first POST`,
        value: statusMs / 1000,
        unit: "s",
      },
    ];
  } finally {
    await fleet.stop();
  }
};
