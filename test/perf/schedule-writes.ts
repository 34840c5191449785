/**
 * How fast the running scheduler places bindings, results written: `tsx test/perf/schedule-writes.ts [count]`. API server,
 * memory store and scheduler in one process, 100 clusters; no timed test.
 */
import { generateKeyPairSync } from "node:crypto";
import { aggregatedDefinitions } from "#aggregated-apiserver";
import { Cluster, karmadaCustomResourceDefinitions, ResourceBinding } from "#apis/karmada";
import { startApiServer } from "#apiserver";
import { seededRandom, silentLogger, systemClock } from "#base";
import { createManager } from "#controller-runtime";
import { createDecisionLog, schedulerController } from "#scheduler";
import { createMemoryBackend } from "#store";

const count = Number(process.argv[2] ?? 5_000);
const random = seededRandom(1);
const serviceAccountKeys = generateKeyPairSync("ec", {
  namedCurve: "P-256",
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});
const shared = { clock: systemClock, random, log: silentLogger };
const api = await startApiServer({
  backend: createMemoryBackend(),
  ...shared,
  serviceAccountKeys,
  customResourceDefinitions: karmadaCustomResourceDefinitions(),
  aggregated: aggregatedDefinitions(systemClock),
});
const manager = createManager({ transport: api.transport(), ...shared, component: "karmada-scheduler" });
manager.add(schedulerController, {
  deps: {
    gates: new Set(["PriorityBasedScheduling", "CustomizedClusterResourceModeling"]),
    decisions: createDecisionLog(),
  },
});
manager.informers.start();
await manager.start();

for (let at = 0; at < 100; at++) {
  const name = `m${at}`;
  await manager.client.create(Cluster, {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name },
    spec: { syncMode: "Push" },
  });
  const status = {
    apiEnablements: [{ groupVersion: "apps/v1", resources: [{ kind: "Deployment", name: "deployments" }] }],
    resourceSummary: {
      allocatable: { pods: "110000", cpu: "16000", memory: "64Ti" },
      allocatableModelings: [{ grade: 3, count: 500 }],
    },
  };
  await manager.client.patch(Cluster, { name }, "application/merge-patch+json", { status }, { subresource: "status" });
}
const created = new Map<string, number>();
const waits: number[] = [];
const all = new Promise<void>((resolve) => {
  manager.informers.of(ResourceBinding).handle({
    update({ metadata, spec }) {
      const startedMs = created.get(metadata.name ?? "");
      if (startedMs === undefined || (spec.clusters ?? []).length === 0) return;
      created.delete(metadata.name ?? "");
      waits.push(performance.now() - startedMs);
      if (waits.length === count) resolve();
    },
  });
});
const startMs = performance.now();
let next = 0;
const writer = async (): Promise<void> => {
  while (next < count) {
    const name = `web-${next++}`;
    created.set(name, performance.now());
    await manager.client.create(ResourceBinding, {
      apiVersion: "work.karmada.io/v1alpha2",
      kind: "ResourceBinding",
      metadata: { name, namespace: "default", labels: { "binding.karmada.io/managed-by": "bench" } },
      spec: {
        resource: { apiVersion: "apps/v1", kind: "Deployment", name, namespace: "default" },
        replicas: 1 + random.below(500),
        replicaRequirements: { resourceRequest: { cpu: "100m" } },
        placement: { replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" } },
      },
    });
  }
};
await Promise.all(Array.from({ length: 16 }, writer));
await all;
const seconds = (performance.now() - startMs) / 1000;
waits.sort((a, b) => a - b);
console.log(
  `${count} bindings created, placed and written in ${seconds.toFixed(2)} s: ${Math.round(count / seconds)}/s`,
);
console.log(
  `created → clusters set: median ${waits[count >> 1]?.toFixed(1)} ms, p99 ${waits[Math.floor(count * 0.99)]?.toFixed(1)} ms`,
);
await manager.stop();
api.stop();
