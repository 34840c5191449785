/**
 * How fast the running scheduler places bindings, results and events written, for `npm run bench schedule`. API server,
 * embedded file store and scheduler in one process, 100 clusters with models, replicas from 1 to 10 000. Without a rate all
 * bindings are there when the scheduler starts; with one they are created at that rate, for the time from created to placed.
 */
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { aggregatedDefinitions } from "#aggregated-apiserver";
import { Cluster, karmadaCustomResourceDefinitions, ResourceBinding } from "#apis/karmada";
import { startApiServer } from "#apiserver";
import { seededRandom, silentLogger, systemClock } from "#base";
import { createClient } from "#client";
import { createManager } from "#controller-runtime";
import { createDecisionLog, schedulerController } from "#scheduler";
import { openFileBackend } from "#store";

export interface Placed {
  readonly perSecond: number;
  readonly perCpuSecond: number;
  /** From the request that creates a binding to its clusters seen in a cache; only told where a rate is given. */
  readonly medianMs: number;
  readonly p99Ms: number;
}

/** Bindings placed before a rate is measured: a program is measured as it runs, not as it warms up. */
const WARM = 500;

/** Places `count` bindings over a store in `folder`, all at once or created at `rate` a second. */
export async function measurePlacing(folder: string, count: number, rate?: number): Promise<Placed> {
  const backend = openFileBackend(join(folder, "store"));
  const random = seededRandom(1);
  const serviceAccountKeys = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const shared = { clock: systemClock, random, log: silentLogger };
  const api = await startApiServer({
    backend,
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
        allocatableModelings: [0, 1, 2, 3, 4, 5].map((grade) => ({ grade, count: 200 })),
      },
    };
    await manager.client.patch(
      Cluster,
      { name },
      "application/merge-patch+json",
      { status },
      { subresource: "status" },
    );
  }
  const binding = (at: number): ResourceBinding => ({
    apiVersion: "work.karmada.io/v1alpha2",
    kind: "ResourceBinding",
    metadata: { name: `web-${at}`, namespace: "default", labels: { "binding.karmada.io/managed-by": "bench" } },
    spec: {
      resource: { apiVersion: "apps/v1", kind: "Deployment", name: `web-${at}`, namespace: "default" },
      replicas: 1 + random.below(10_000),
      replicaRequirements: { resourceRequest: { cpu: `${1 + (at % 5) * 100}m` } },
      placement: { replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" } },
    },
  });
  const client = createClient(api.transport());
  const created = new Map<string, number>();
  const waits: number[] = [];
  let isWarming = rate !== undefined;
  const all = new Promise<void>((resolve) => {
    let settled = 0;
    const expected = rate === undefined ? count : count + WARM;
    manager.informers.of(ResourceBinding).handle({
      update({ metadata, spec, status }) {
        const name = metadata.name ?? "";
        const startedMs = created.get(name);
        if (startedMs !== undefined && (spec.clusters ?? []).length > 0) {
          created.delete(name);
          if (!isWarming) waits.push(performance.now() - startedMs);
        }
        // The pass after its own write is part of the work: only then is the result known to be seen.
        if (status?.schedulerObservedGeneration === metadata.generation && ++settled === expected) resolve();
      },
    });
  });
  const create = async (at: number): Promise<void> => {
    const made = binding(at);
    created.set(made.metadata.name ?? "", performance.now());
    await client.create(ResourceBinding, made);
  };
  let startMs = performance.now();
  let cpu = process.cpuUsage();
  if (rate === undefined) {
    let next = 0;
    const writer = async (): Promise<void> => {
      while (next < count) await create(next++);
    };
    await Promise.all(Array.from({ length: 64 }, writer));
    startMs = performance.now();
    cpu = process.cpuUsage();
    await manager.start();
  } else {
    await manager.start();
    const running: Promise<void>[] = [];
    const steadily = async (from: number, to: number): Promise<void> => {
      startMs = performance.now();
      cpu = process.cpuUsage();
      for (let at = from; at < to; at++) {
        const dueMs = startMs + ((at - from) * 1000) / rate;
        if (performance.now() < dueMs) await new Promise((resolve) => setTimeout(resolve, dueMs - performance.now()));
        running.push(create(at));
      }
    };
    await steadily(0, WARM);
    isWarming = false;
    await steadily(WARM, WARM + count);
    await Promise.all(running);
  }
  await all;
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  waits.sort((a, b) => a - b);
  await manager.stop();
  api.stop();
  await backend.close();
  return {
    perSecond: count / seconds,
    perCpuSecond: count / ((user + system) / 1e6),
    medianMs: waits[count >> 1] ?? 0,
    p99Ms: waits[Math.floor(count * 0.99)] ?? 0,
  };
}
