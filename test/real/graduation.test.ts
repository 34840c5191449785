/** A fleet outgrows us and comes back: the same etcd under flotilla, under kube-apiserver, and under flotilla again. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadPki } from "#certs";
import { type Client, createKindMapper } from "#client";
import { systemClock } from "#base";
import { type Etcd, startEtcd, startRealApiServer } from "#lab";
import type { KubeObject, ResourceKind } from "#machinery";
import { openBackend } from "#store";
import { eventually, kubeconfigClients, kubectl } from "#testing";
import { apiServerParts, describeReal } from "./parts.ts";
import { bundleProgram, type Program } from "../program.ts";
import { lateObjects, objects, shop, upstreamRegistry } from "./every-kind.ts";

const yaml = (documents: readonly object[]) => documents.map((document) => JSON.stringify(document)).join("\n---\n");
describeReal("graduation to kube-apiserver and back", apiServerParts, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-graduation-"));
  const { connect, close: closeClients } = kubeconfigClients();
  const plane = join(folder, "plane");
  const admin = join(plane, "admin.kubeconfig");
  const all = [...objects, ...lateObjects, upstreamRegistry];
  let program: Program;
  let etcd: Etcd;

  const startServer = () =>
    program.start(
      ["server", `--data-dir=${plane}`, "--secure-port=0", `--store=etcd://${new URL(etcd.url).host}`],
      /control plane is ready/,
    );
  /** Everything the server holds of the kinds above, by kind and name; what only one of the two servers owns is left out. */
  async function everything(client: Client): Promise<Map<string, KubeObject>> {
    const mapper = createKindMapper(client.transport, systemClock);
    const found = new Map<string, KubeObject>();
    for (const wanted of all) {
      const kind = await mapper.find(wanted.apiVersion, wanted.kind);
      if (kind === undefined) throw new Error(`${wanted.apiVersion} ${wanted.kind} is not served`);
      const { name, namespace } = wanted.metadata as { name: string; namespace?: string };
      const object = await client.find(kind as ResourceKind<KubeObject>, { namespace, name });
      if (object !== undefined) found.set(`${wanted.kind} ${name}`, object);
    }
    return found;
  }
  /** What must be the same, whoever shows it: not who wrote which field, nor defaults that only one of them spells out. */
  const core = ({ metadata: { managedFields: _managed, ...metadata }, ...rest }: KubeObject) => ({ ...rest, metadata });
  const versions = (found: Map<string, KubeObject>) =>
    new Map([...found].map(([key, { metadata }]) => [key, Number(metadata.resourceVersion)]));

  beforeAll(async () => {
    program = await bundleProgram();
    etcd = await startEtcd({ version: "3.6", isUnsafe: true });
  });
  afterAll(async () => {
    await closeClients();
    await program?.close();
    await etcd?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("nothing is lost on either way, and no resource version runs backwards", async () => {
    const store = await openBackend(`etcd://${new URL(etcd.url).host}`);
    const stored = {
      ...upstreamRegistry,
      metadata: {
        ...upstreamRegistry.metadata,
        uid: "11111111-2222-3333-4444-555555555555",
        creationTimestamp: "2026-01-01T00:00:00Z",
      },
    };
    const key = "/registry/search.karmada.io/resourceRegistries/from-upstream";
    await store.txn([{ type: "put", key, value: Buffer.from(JSON.stringify(stored)) }]);
    await store.close();
    const first = await startServer();
    await kubectl(admin, ["apply", "-f", "-"], yaml(objects));
    await eventually(async () => {
      try {
        await kubectl(admin, ["apply", "-f", "-"], yaml(lateObjects));
        return true;
      } catch {
        return false;
      }
    }, 20_000);
    // Controllers that look at these for the first time write a little; then it is quiet.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await first.end("SIGTERM");
    const second = await startServer();
    const before = await everything(connect(admin));
    await second.end("SIGTERM");
    expect(before.size).toBe(all.length);

    const real = await startRealApiServer({ etcd, folder: join(folder, "real"), pki: await loadPki(plane) });
    let changed: Map<string, KubeObject>;
    try {
      const guest = await program.start(
        ["controllers", `--kubeconfig=${real.kubeconfig}`, "--webhook-port=0", "--cluster-proxy-port=0"],
        /controllers run/,
      );
      const client = connect(real.kubeconfig);
      const there = await everything(client);
      expect([...there.keys()]).toEqual([...before.keys()]);
      for (const [key, object] of there) {
        const old = before.get(key) as KubeObject;
        expect({ key, uid: object.metadata.uid, name: object.metadata.name }).toEqual({
          key,
          uid: old.metadata.uid,
          name: old.metadata.name,
        });
        expect(Number(object.metadata.resourceVersion), key).toBeGreaterThanOrEqual(
          Number(old.metadata.resourceVersion),
        );
        expect((object as { spec?: unknown }).spec, key).toMatchObject(
          ((old as { spec?: object }).spec ?? {}) as object,
        );
        for (const part of ["data", "rules", "provisioner", "value", "roleRef"])
          expect((object as unknown as Record<string, unknown>)[part], `${key} ${part}`).toEqual(
            (old as unknown as Record<string, unknown>)[part],
          );
      }
      // Changed by its hand: a label on every object, in its own way of storing it.
      for (const wanted of all)
        await kubectl(real.kubeconfig, [
          "label",
          `${wanted.kind}.${wanted.apiVersion.includes("/") ? `v${wanted.apiVersion.split("/v")[1]}.${wanted.apiVersion.split("/")[0]}` : "v1."}`,
          wanted.metadata.name,
          ...("namespace" in wanted.metadata ? ["-n", String(wanted.metadata.namespace)] : []),
          "seen-by=kube-apiserver",
          "--overwrite",
        ]);
      await kubectl(real.kubeconfig, ["delete", "configmap", "-n", shop, "config"]);
      await kubectl(real.kubeconfig, ["create", "configmap", "-n", shop, "made-there", "--from-literal=a=b"]);
      changed = await everything(client);
      await guest.end("SIGTERM");
    } finally {
      await real.stop();
    }

    const third = await startServer();
    const after = await everything(connect(admin));
    expect([...after.keys()]).toEqual([...changed.keys()]);
    expect(after.has("ConfigMap config")).toBe(false);
    const [then, now] = [versions(changed), versions(after)];
    for (const [key, object] of after) {
      expect(now.get(key), key).toBeGreaterThanOrEqual(then.get(key) as number);
      expect(object.metadata.labels?.["seen-by"], key).toBe("kube-apiserver");
      expect(core(object), key).toMatchObject({
        metadata: { uid: changed.get(key)?.metadata.uid },
        ...((changed.get(key) as { spec?: object }).spec === undefined
          ? {}
          : { spec: (changed.get(key) as { spec?: object }).spec as object }),
      });
    }
    expect(await kubectl(admin, ["get", "configmap", "-n", shop, "made-there", "-o", "jsonpath={.data.a}"])).toBe("b");
    await third.end("SIGTERM");
  });
});
