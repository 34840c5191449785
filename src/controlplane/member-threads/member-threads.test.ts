import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel, type Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Cluster, PropagationPolicy } from "#apis/karmada";
import { ConfigMap, Deployment, Event } from "#apis/kubernetes";
import { seededRandom, silentLogger, systemClock } from "#base";
import { loadPki, type Pki } from "#certs";
import { type Client, createClient } from "#client";
import { parseFlags } from "#config";
import { isConflict, isNotFound, type KubeObject } from "#machinery";
import { ConnectionRefused } from "#simulator";
import { aDeployment, aPropagationPolicy, eventually, httpsClient, kubeconfigClients } from "#testing";
import { type Fleet, type FleetOptions, startFleet } from "../fleet.ts";
import { startMemberThread } from "./member-threads.ts";
import { type RemoteMember, remoteMember } from "./remote-transport.ts";
import { serveMember } from "./serve.ts";

const configMap = (name: string, data: object) =>
  ({ apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "default", name }, data }) as unknown as ConfigMap;

describe("a member at the other end of a channel", () => {
  let pki: Pki;
  let remote: RemoteMember;
  let client: Client;
  let port: number;
  beforeAll(async () => {
    pki = await loadPki(undefined);
    const { port1: here, port2: there } = new MessageChannel();
    remote = remoteMember("far", here, silentLogger);
    port = await serveMember(there, {
      member: { name: "far", nodes: [{ count: 2, cpu: "8", memory: "32Gi" }], pki, podReadyMs: 1 },
      folder: undefined,
      serving: {
        certificate: pki.server.certificate,
        key: pki.server.key,
        clientAuthority: pki.authority.certificate,
      },
      isVerbose: false,
    });
    client = createClient(remote.transport);
  });
  afterAll(async () => {
    await remote.ask({ kind: "stop" });
    remote.close();
  });

  it("answers requests, with the API's own errors and warnings", async () => {
    const made = await client.create(ConfigMap, configMap("a", { at: "1" }));
    expect(made.metadata.uid).toBeDefined();
    await client.update(ConfigMap, { ...made, data: { at: "2" } } as ConfigMap);
    await expect(client.update(ConfigMap, { ...made, data: { at: "3" } } as ConfigMap)).rejects.toSatisfy(isConflict);
    await expect(client.get(ConfigMap, { namespace: "default", name: "b" })).rejects.toSatisfy(isNotFound);
    expect((await client.list(ConfigMap, { fieldSelector: "metadata.name=a" })).items.map(({ data }) => data)).toEqual([
      { at: "2" },
    ]);
    const { status, body } = await remote.transport.raw({ method: "GET", path: "/version" });
    expect({ status, version: JSON.parse(Buffer.from(body).toString("utf8")).major }).toEqual({
      status: 200,
      version: "1",
    });
    const warnings: string[] = [];
    await remote.transport.send({
      verb: "create",
      group: "",
      version: "v1",
      resource: "configmaps",
      namespace: "default",
      body: { ...configMap("c", {}), unheardOf: 1 } as KubeObject,
      options: { fieldValidation: "Warn" },
      onWarning: (text) => void warnings.push(text),
    });
    expect(warnings).toEqual(['unknown field "unheardOf"']);
  });

  it("sends what happens to who watches, until he stops", async () => {
    const seen: string[] = [];
    const { stop } = client.watch(
      ConfigMap,
      { namespace: "default", resourceVersion: "0", labelSelector: "watched=yes" },
      { event: (type, { metadata }) => void seen.push(`${type} ${metadata.name}`), closed: () => seen.push("closed") },
    );
    const labelled = {
      ...configMap("w", {}),
      metadata: { ...configMap("w", {}).metadata, labels: { watched: "yes" } },
    };
    await client.create(ConfigMap, labelled as ConfigMap);
    await eventually(() => seen.length === 1);
    await client.delete(ConfigMap, { namespace: "default", name: "w" });
    await eventually(() => seen.length === 2);
    stop();
    await client.create(ConfigMap, labelled as ConfigMap);
    await client.get(ConfigMap, { namespace: "default", name: "w" });
    expect(seen).toEqual(["ADDED w", "DELETED w"]);
    const failures: unknown[] = [];
    client.watch(
      { ...ConfigMap, resource: "unheardof" },
      {},
      { event: () => {}, closed: (error) => failures.push(error) },
    );
    await eventually(() => failures.length === 1);
    expect(failures[0]).toSatisfy(isNotFound);
  });

  it("can be given up on, and is reached by HTTPS as well", async () => {
    const at = { namespace: "default", name: "a" };
    await expect(client.get(ConfigMap, at, AbortSignal.abort(new Error("too late")))).rejects.toThrow("too late");
    const abort = new AbortController();
    const asked = client.get(ConfigMap, at, abort.signal);
    abort.abort(new Error("no longer"));
    await expect(asked).rejects.toThrow("no longer");
    const https = httpsClient(port, pki.authority.certificate, pki.admin);
    expect((await https.ask("GET", "/api/v1/namespaces/default/configmaps/a")).json).toMatchObject({
      data: { at: "2" },
    });
    await https.close();
  });

  it("is refused when the thread is gone", async () => {
    const { port1: here, port2: there } = new MessageChannel();
    const gone = remoteMember("gone", here, silentLogger);
    const asked = createClient(gone.transport).list(ConfigMap);
    const closed: unknown[] = [];
    createClient(gone.transport).watch(ConfigMap, {}, { event: () => {}, closed: (error) => closed.push(error) });
    gone.close();
    there.close();
    await expect(asked).rejects.toThrow(ConnectionRefused);
    await expect(createClient(gone.transport).list(ConfigMap)).rejects.toThrow("the API server of gone is down");
    expect(closed).toEqual([expect.any(ConnectionRefused)]);
  });
});

describe("a fleet whose members share a thread of their own", () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-threads-"));
  let fleet: Fleet | undefined;
  const start = async (more: Partial<FleetOptions> = {}, dataDir = folder) => {
    fleet = await startFleet({
      ...more,
      config: parseFlags([
        `--data-dir=${dataDir}`,
        "--secure-port=0",
        "--cluster-status-update-frequency=200ms",
        "--cluster-failure-threshold=300ms",
        "--cluster-success-threshold=300ms",
      ]),
      clock: systemClock,
      random: seededRandom(Date.now()),
      log: silentLogger,
      podReadyMs: 10,
      memberThreads: 1,
      members: ["m1", "m2"].map((name) => ({
        name,
        region: "local",
        nodes: [{ count: 2, cpu: "8", memory: "32Gi" }],
      })),
    });
    return { fleet, plane: createClient(fleet.controlPlane.transport) };
  };
  afterEach(async () => {
    await fleet?.stop();
    fleet = undefined;
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const at = { namespace: "default", name: "web" };
  const isReady = async ({ plane }: { readonly plane: Client }, name: string, status: string) =>
    (await plane.get(Cluster, { name })).status?.conditions?.some(
      (condition) => condition.type === "Ready" && condition.status === status,
    );

  it.each([
    ["on disk comes back with what it kept", false],
    ["in memory comes back empty and is given everything anew", true],
  ])("a member whose thread is killed %s", { timeout: 180_000 }, async (_what, membersInMemory) => {
    const workers: Worker[] = [];
    const startThread = () => {
      const worker = startMemberThread();
      workers.push(worker);
      return worker;
    };
    const running = await start({ startThread, membersInMemory }, join(folder, String(membersInMemory)));
    const { plane } = running;
    await plane.create(
      PropagationPolicy,
      aPropagationPolicy("all", { clusterAffinity: { clusterNames: ["m1", "m2"] } }),
    );
    await plane.create(Deployment, aDeployment("web", 2));
    await eventually(async () => (await plane.get(Deployment, at)).status?.readyReplicas === 4, 60_000);
    const inside = createClient(running.fleet.members.get("m1")?.api.transport() as never);
    const { metadata: made } = await inside.get(Deployment, at);
    const { id } = (await plane.get(Cluster, { name: "m1" })).spec as { id?: string };
    const said: string[] = [];
    const watching = plane.watch(
      Cluster,
      { fieldSelector: "metadata.name=m1", resourceVersion: "0" },
      {
        event: (_type, cluster) => {
          const conditions = (cluster as Cluster).status?.conditions ?? [];
          said.push(conditions.find(({ type }) => type === "Ready")?.status ?? "");
        },
        closed: () => {},
      },
    );
    await workers[0]?.terminate();
    await eventually(() => said.includes("False"), 60_000);
    await eventually(() => workers.length === 2, 60_000);
    for (const name of ["m1", "m2"]) await eventually(() => isReady(running, name, "True"), 60_000);
    watching.stop();
    const back = await eventually(() => inside.find(Deployment, at), 60_000);
    expect(back.metadata.uid === made.uid).toBe(!membersInMemory);
    await eventually(
      async () => (((await plane.get(Cluster, { name: "m1" })).spec as { id?: string }).id === id) === !membersInMemory,
      60_000,
    );
    await plane.patch(Deployment, at, "application/merge-patch+json", { spec: { replicas: 3 } });
    await eventually(async () => (await plane.get(Deployment, at)).status?.readyReplicas === 6, 60_000);
    // At the address it had.
    const clients = kubeconfigClients();
    const outside = clients.connect(running.fleet.kubeconfigs.get("m1") ?? "");
    expect((await outside.get(Deployment, at)).spec?.replicas).toBe(3);
    await clients.close();
  });

  it("carries out, reports, fails and comes back like any other, and keeps its data over a restart", {
    timeout: 180_000,
  }, async () => {
    const first = await start();
    await eventually(() => isReady(first, "m1", "True"), 60_000);
    await eventually(() => isReady(first, "m2", "True"), 60_000);
    await first.plane.create(
      PropagationPolicy,
      aPropagationPolicy("all", { clusterAffinity: { clusterNames: ["m1", "m2"] } }),
    );
    await first.plane.create(Deployment, aDeployment("web", 2));
    await eventually(async () => (await first.plane.get(Deployment, at)).status?.readyReplicas === 4, 60_000);
    const inM1 = createClient(first.fleet.members.get("m1")?.api.transport() as never);
    const made = await inM1.get(Deployment, at);
    expect(made.status?.readyReplicas).toBe(2);
    first.fleet.members.get("m2")?.setFaults({ isDown: true });
    await eventually(() => isReady(first, "m2", "False"), 60_000);
    await eventually(() => isReady(first, "m1", "True"), 60_000);
    first.fleet.members.get("m2")?.setFaults({ isDown: false });
    await eventually(() => isReady(first, "m2", "True"), 60_000);
    await first.fleet.members.get("m1")?.setNodesReady(false);
    await eventually(
      async () => ((await first.plane.get(Cluster, { name: "m1" })).status?.nodeSummary?.readyNum ?? 0) === 0,
      60_000,
    );
    await first.fleet.stop();
    const again = await start();
    await eventually(() => isReady(again, "m1", "True"), 60_000);
    const kept = await createClient(again.fleet.members.get("m1")?.transport as never).get(Deployment, at);
    expect({ uid: kept.metadata.uid, generation: kept.metadata.generation }).toEqual({
      uid: made.metadata.uid,
      generation: made.metadata.generation,
    });
    expect((await again.plane.list(Event, { namespace: "default" })).items.length).toBeGreaterThan(0);
  });
});
