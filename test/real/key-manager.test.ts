/** One etcd whose Secrets a key manager seals, under kube-apiserver and under our API server at the same time. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseEncryption } from "#apiserver";
import { systemClock } from "#base";
import { startEtcd, startRealApiServer } from "#lab";
import type { KubeObject } from "#machinery";
import { openBackend } from "#store";
import { createTestServer, kubectl, startKeyManager } from "#testing";
import { apiServerParts, describeReal } from "./parts.ts";

const passwordOf = (secret: KubeObject) =>
  Buffer.from(
    (secret as KubeObject & { readonly data: Readonly<Record<string, string>> }).data["password"] ?? "",
    "base64",
  ).toString();

describeReal("Secrets that a key manager seals", apiServerParts, () => {
  test("are read by kube-apiserver where we wrote them, and by us where it did, also after a rotation", async () => {
    const folder = mkdtempSync(join(tmpdir(), "flotilla-kms-"));
    const socket = join(folder, "kms.sock");
    const manager = await startKeyManager(socket);
    const config = JSON.stringify({
      apiVersion: "apiserver.config.k8s.io/v1",
      kind: "EncryptionConfiguration",
      resources: [
        {
          resources: ["secrets"],
          providers: [{ kms: { apiVersion: "v2", name: "vault", endpoint: `unix://${socket}`, timeout: "10s" } }],
        },
      ],
    });
    const file = join(folder, "encryption.yaml");
    writeFileSync(file, config);
    const etcd = await startEtcd({ version: "3.6", isUnsafe: true });
    const ends: (() => unknown)[] = [
      () => rmSync(folder, { recursive: true, force: true }),
      () => manager.stop(),
      () => etcd.stop(),
    ];
    onTestFinished(async () => {
      for (const end of ends.reverse()) await end();
    });
    const real = await startRealApiServer({
      etcd,
      folder: join(folder, "real"),
      args: [`--encryption-provider-config=${file}`],
    });
    ends.push(() => real.stop());
    const encryption = parseEncryption(config);
    ends.push(() => encryption.stop?.());
    const backend = await openBackend(`etcd://${new URL(etcd.url).host}`);
    ends.push(() => backend.close());
    const ours = await createTestServer({ backend, encryption, clock: systemClock });
    ends.push(() => ours.stop());

    const at = (name: string) => ({ namespace: "default", name });
    const make = (name: string, password: string) =>
      ours.send("create", "v1/secrets", {
        namespace: "default",
        body: { apiVersion: "v1", kind: "Secret", metadata: { name }, stringData: { password } },
      });
    const fromReal = async (name: string) => {
      const stdout = await kubectl(real.kubeconfig, ["get", "secret", name, "-o", "json"]);
      return passwordOf(JSON.parse(stdout) as KubeObject);
    };
    for (const [round, keyId] of ["key-1", "key-2"].entries()) {
      if (round > 0) manager.rotate(keyId);
      await make(`ours-${round}`, `hunter${round}`);
      expect(await fromReal(`ours-${round}`)).toBe(`hunter${round}`);
      const literal = `--from-literal=password=tiger${round}`;
      await kubectl(real.kubeconfig, ["create", "secret", "generic", `theirs-${round}`, literal]);
      expect(passwordOf(await ours.send("get", "v1/secrets", at(`theirs-${round}`)))).toBe(`tiger${round}`);
    }
    // What was sealed before the rotation is still read by both.
    expect(await fromReal("ours-0")).toBe("hunter0");
    for (const name of ["ours-0", "theirs-1"]) {
      const raw = Buffer.from((await backend.get(`/registry/secrets/default/${name}`))?.value ?? []);
      expect(raw.toString("latin1")).toMatch(/^k8s:enc:kms:v2:vault:/);
      expect(raw.toString("latin1")).not.toMatch(/hunter|tiger|password/);
    }
  }, 180_000);
});
