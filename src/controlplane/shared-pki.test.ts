import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { parseEncryption } from "#apiserver";
import { createMemoryBackend } from "#store";
import { loadSharedPki } from "./shared-pki.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-pki-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const encryption = (...providers: object[]) =>
  parseEncryption(
    JSON.stringify({
      apiVersion: "apiserver.config.k8s.io/v1",
      kind: "EncryptionConfiguration",
      resources: [{ resources: ["secrets"], providers }],
    }),
  );

it("replicas share authority and token keys, sealed where Secrets are", async () => {
  const backend = createMemoryBackend();
  const raw = async () => Buffer.from((await backend.get("/flotilla/pki"))?.value ?? []).toString("latin1");
  const at = (replica: string) => join(folder, replica);
  const plain = await loadSharedPki(backend, at("a"), []);
  expect(await raw()).toContain("PRIVATE KEY");
  const keys = [{ name: "k", secret: Buffer.alloc(32, 7).toString("base64") }];
  const sealing = encryption({ aesgcm: { keys } }, { identity: {} });
  const second = await loadSharedPki(backend, at("b"), [], sealing);
  expect(second.authority.certificate).toBe(plain.authority.certificate);
  expect(await raw()).toMatch(/^k8s:enc:aesgcm:v1:k:/);
  expect(await raw()).not.toContain("PRIVATE KEY");
  const third = await loadSharedPki(backend, at("c"), [], sealing);
  expect(third.serviceAccount).toEqual(plain.serviceAccount);
  await expect(loadSharedPki(backend, at("d"), [], encryption({ identity: {} }))).rejects.toThrow(
    'unable to transform key "/flotilla/pki"',
  );
});
