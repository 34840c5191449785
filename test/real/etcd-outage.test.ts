/** etcd gone and back, and etcd that hangs: the server stays, says what is wrong, and goes on with nothing lost. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigMap, Lease, Namespace, ServiceAccount } from "#apis/kubernetes";
import type { Client } from "#client";
import { type Etcd, startEtcd } from "#lab";
import { ApiError } from "#machinery";
import { openBackend } from "#store";
import { eventually, kubeconfigClients } from "#testing";
import { bundleProgram, type Program, type Running } from "../program.ts";
import { describeReal } from "./parts.ts";

/** Longer than a lead is held without renewing it. */
const OUTAGE_MS = 13_000;
const PATIENCE_MS = 60_000;

describeReal("a server whose etcd goes away", ["etcd"], () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-outage-"));
  let program: Program;
  let etcd: Etcd;
  let server: Running;
  const { connect, close: closeClients } = kubeconfigClients();
  let client: Client;
  const seen: string[] = [];
  const ended: unknown[] = [];

  const write = (name: string) =>
    client.create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "default", name } });
  const refusal = async (work: Promise<unknown>): Promise<ApiError> => {
    const error: unknown = await work.then(
      () => new Error("it was done"),
      (caught: unknown) => caught,
    );
    if (!(error instanceof ApiError)) throw error;
    return error;
  };
  const health = async (path: string) => {
    const { status, body } = await client.transport.raw({ method: "GET", path });
    return { status, text: Buffer.from(body).toString("utf8") };
  };
  const holder = async () =>
    (await client.find(Lease, { namespace: "karmada-system", name: "karmada-controller-manager" }))?.spec
      ?.holderIdentity;
  /** Controllers work: a namespace gets its service account. */
  const isWorkDone = (name: string) =>
    eventually(
      async () => (await client.find(ServiceAccount, { namespace: name, name: "default" })) !== undefined,
      PATIENCE_MS,
    );

  beforeAll(async () => {
    program = await bundleProgram();
    etcd = await startEtcd({ version: "3.6", isUnsafe: true });
    const data = join(folder, "plane");
    server = await program.start(
      ["server", `--data-dir=${data}`, "--secure-port=0", `--store=etcd://${new URL(etcd.url).host}`],
      /control plane is ready/,
    );
    client = connect(join(data, "admin.kubeconfig"));
    await eventually(async () => (await holder()) !== undefined, PATIENCE_MS);
    await write("before");
    client.transport.watch(
      { group: "", version: "v1", resource: "configmaps", namespace: "default" },
      {
        event: (type, object) => {
          if (object.metadata.name !== "kube-root-ca.crt") seen.push(`${type} ${object.metadata.name}`);
        },
        closed: (error) => ended.push(error),
      },
    );
    await eventually(() => Promise.resolve(seen.includes("ADDED before")), PATIENCE_MS);
  });
  afterAll(async () => {
    await closeClients();
    await program?.close();
    await etcd?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("etcd stops: writes name the cause, readyz says so, livez does not ask for a restart", async () => {
    await etcd.process().stop();
    const outage = new Promise((resolve) => setTimeout(resolve, OUTAGE_MS));
    const refused = refusal(write("during"));
    expect((await health("/readyz")).text).toContain("[-]etcd failed");
    expect((await health("/readyz")).status).toBe(500);
    expect(await health("/livez")).toEqual({ status: 200, text: "ok" });
    const { status } = await refused;
    expect(status.code).toBeGreaterThanOrEqual(500);
    expect(status.message).toContain(`etcd at ${new URL(etcd.url).host}`);
    await outage;
    expect(server.isRunning()).toBe(true);
  });

  test("etcd is back: ready by itself, the same watch goes on, and what others wrote meanwhile is in it", async () => {
    await etcd.restart();
    // Somebody else is faster than the server's own stream.
    const other = await openBackend(`etcd://${new URL(etcd.url).host}`);
    const { entries } = await other.list("/registry/configmaps/default/before");
    const text = Buffer.from(entries[0]?.value ?? []).toString("utf8");
    const copy = Buffer.from(text.replaceAll('"before"', '"by-another"'));
    await other.txn([{ type: "put", key: "/registry/configmaps/default/by-another", value: copy, expected: 0 }]);
    await other.close();
    await eventually(async () => (await health("/readyz")).status === 200, PATIENCE_MS);
    await write("after");
    await eventually(() => Promise.resolve(seen.includes("ADDED after")), PATIENCE_MS);
    expect(ended).toEqual([]);
    // Refused while etcd was gone is not carried out later.
    expect(seen).toEqual(["ADDED before", "ADDED by-another", "ADDED after"]);
    await client.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "worked-on" } });
    await isWorkDone("worked-on");
  });

  test("etcd hangs: nobody waits for ever, and it goes on when etcd wakes", async () => {
    etcd.process().signal("SIGSTOP");
    try {
      const { status } = await refusal(write("hung"));
      expect(status.code).toBeGreaterThanOrEqual(500);
      expect(status.message).toContain(`etcd at ${new URL(etcd.url).host}`);
      expect((await health("/readyz")).status).toBe(500);
    } finally {
      etcd.process().signal("SIGCONT");
    }
    await eventually(async () => (await health("/readyz")).status === 200, PATIENCE_MS);
    await write("awake");
    await eventually(() => Promise.resolve(seen.includes("ADDED awake")), PATIENCE_MS);
    expect(ended).toEqual([]);
    expect(server.isRunning()).toBe(true);
    await client.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "again" } });
    await isWorkDone("again");
  });
});
