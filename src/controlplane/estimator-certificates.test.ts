/** Estimators and who asks them, while the certificates in their files are replaced. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "vitest";
import { aggregatedDefinitions } from "#aggregated-apiserver";
import { Cluster, karmadaConversions, karmadaCustomResourceDefinitions } from "#apis/karmada";
import { Namespace, Node, Service } from "#apis/kubernetes";
import type { RunningApiServer } from "#apiserver";
import { type Clock, seededRandom, silentLogger, silentMetrics, systemClock } from "#base";
import { type CertificateAuthority, createCertificateAuthority } from "#certs";
import { createClient, createInformers } from "#client";
import { estimatorFlags, readFlags, schedulerFlags } from "#config";
import { connectEstimators } from "#estimator";
import { startFaultyProxy } from "#network";
import { eventually, startTestApiServer } from "#testing";
import { type Program, startEstimator } from "./programs.ts";
import { discoveryOf } from "./scheduling.ts";

/** A hundred seconds in one: files are looked at every ten. */
const SPEED = 100;
const hasty: Clock = {
  now: () => systemClock.now(),
  monotonicMs: () => systemClock.monotonicMs() * SPEED,
  after: (delayMs, wake) => systemClock.after(delayMs / SPEED, wake),
};
const folder = mkdtempSync(join(tmpdir(), "flotilla-certificates-"));
const file = (name: string) => join(folder, name);
const stops: (() => unknown)[] = [];
let server: RunningApiServer;

beforeEach(async () => {
  server = await startTestApiServer({
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
    conversions: karmadaConversions,
    aggregated: aggregatedDefinitions(systemClock),
  });
  stops.push(() => server.stop());
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What both sides hold of an authority: the estimator in `tls.*`, who asks in `client.*`, either the authority. */
async function write(authority: CertificateAuthority): Promise<void> {
  const own = await authority.issueServer("estimator", ["127.0.0.1"]);
  const asking = await authority.issueClient("scheduler");
  for (const [name, text] of [
    ["ca.crt", authority.certificate],
    ["tls.crt", own.certificate],
    ["tls.key", own.key],
    ["client.crt", asking.certificate],
    ["client.key", asking.key],
  ] as const)
    writeFileSync(file(name), text);
}

const estimator = (): Promise<Program & { readonly port: number }> =>
  startEstimator({
    config: readFlags(estimatorFlags, [
      "--cluster-name=m1",
      "--bind-address=127.0.0.1",
      "--server-port=0",
      `--grpc-auth-cert-file=${file("tls.crt")}`,
      `--grpc-auth-key-file=${file("tls.key")}`,
      `--grpc-client-ca-file=${file("ca.crt")}`,
      "--metrics-bind-address=0",
      "--health-probe-bind-address=0",
    ]),
    transport: server.transport(),
    clock: hasty,
    random: seededRandom(1),
    log: silentLogger,
    metrics: silentMetrics,
    metricsText: () => Promise.resolve(""),
  });

test("both sides use what stands in their files now: another authority is taken over without a restart, a pair that is half replaced is not", async () => {
  const first = await createCertificateAuthority("first");
  await write(first);
  const client = createClient(server.transport());
  await client.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "karmada-system" } });
  await client.create(Node, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "n" },
    status: { allocatable: { cpu: "8", memory: "16Gi", pods: "20" } },
  } as unknown as Node);
  const running = await estimator();
  stops.push(() => running.stop());
  // A way whose connections can be cut.
  const way = await startFaultyProxy({
    host: "127.0.0.1",
    port: 0,
    to: { host: "127.0.0.1", port: running.port },
    clock: systemClock,
  });
  const cut = () => {
    way.setFaults({ isDown: true });
    way.setFaults({ isDown: false });
  };
  stops.push(() => way.close());
  await client.create(Service, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "karmada-system", name: "karmada-scheduler-estimator-m1" },
    spec: {
      type: "ExternalName",
      externalName: "127.0.0.1",
      ports: [{ name: "grpc", port: 10_352, targetPort: way.port }],
    },
  } as Service);
  await client.create(Cluster, {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name: "m1" },
    spec: { syncMode: "Push" },
  } as unknown as Cluster);
  const informers = createInformers(server.transport(), { clock: systemClock, log: silentLogger });
  informers.start();
  stops.push(() => informers.stop());
  const config = readFlags(schedulerFlags, [
    `--scheduler-estimator-cert-file=${file("client.crt")}`,
    `--scheduler-estimator-key-file=${file("client.key")}`,
    `--scheduler-estimator-ca-file=${file("ca.crt")}`,
  ]);
  const follow = (clock: Clock) => {
    const estimators = connectEstimators({
      clock,
      log: silentLogger,
      gates: new Set(),
      timeoutMs: 10_000 * SPEED,
      remote: { informers, client, options: discoveryOf(config, clock) },
    });
    stops.push(() => estimators.stop());
    return async () => (await estimators.pool.maxReplicas(undefined, { clusters: ["m1"] })).get("m1");
  };
  const ask = follow(hasty);
  await eventually(async () => (await ask()) === 20);

  // The certificate comes before its key: nobody is turned away meanwhile.
  const second = await createCertificateAuthority("second");
  const half = await second.issueServer("estimator", ["127.0.0.1"]);
  writeFileSync(file("tls.crt"), half.certificate);
  const lookedMs = hasty.monotonicMs();
  await eventually(() => hasty.monotonicMs() - lookedMs > 60_000);
  const meanwhile = follow(hasty);
  await eventually(async () => (await meanwhile()) === 20);

  await write(second);
  // Whoever comes anew knows the second authority only, and so does the estimator by and by.
  const later = follow(hasty);
  await eventually(async () => (await later()) === 20);
  // Those who asked before are dialled anew: it shows when the connections that stood are gone.
  cut();
  await eventually(async () => (await ask()) === 20);
});
