import { expect, it } from "vitest";
import { silentLogger } from "#base";
import { createMemoryBackend } from "#store";
import type { ResourceDefinition } from "../definition.ts";
import { parseEncryption } from "./encryption.ts";
import { moveFormerKeys } from "./former-keys.ts";

const definition = {
  kind: { group: "search.karmada.io", version: "v1alpha1", kind: "R", resource: "rs", namespaced: false },
  storage: { prefix: "/registry/g/rs/", formerPrefix: "/registry/g/Rs/", version: "v1alpha1" },
} as unknown as ResourceDefinition;
const encryption = parseEncryption(
  JSON.stringify({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "EncryptionConfiguration",
    resources: [
      {
        resources: ["rs.search.karmada.io"],
        providers: [
          { aesgcm: { keys: [{ name: "k", secret: Buffer.alloc(32, 7).toString("base64") }] } },
          { identity: {} },
        ],
      },
    ],
  }),
);

it.each([
  ["plain", undefined],
  ["sealed", encryption],
])("%s objects are moved once, and what stands at both places is left alone", async (_form, sealing) => {
  const backend = createMemoryBackend();
  const cipher = sealing?.cipherOf("search.karmada.io", "rs");
  const put = (key: string, text: string) =>
    backend.txn([{ type: "put", key, value: cipher?.seal(Buffer.from(text), key) ?? Buffer.from(text) }]);
  for (let n = 0; n < 1_100; n++) await put(`/registry/g/Rs/${String(n).padStart(4, "0")}`, `old ${n}`);
  await put("/registry/g/rs/0500", "new");
  for (let times = 0; times < 2; times++) await moveFormerKeys(backend, [definition], sealing, silentLogger);
  const text = async (key: string) => {
    const value = (await backend.get(key))?.value ?? new Uint8Array();
    return Buffer.from(cipher?.open(value, key).value ?? value).toString();
  };
  expect((await backend.list("/registry/g/Rs/")).entries.map(({ key }) => key)).toEqual(["/registry/g/Rs/0500"]);
  expect((await backend.list("/registry/g/rs/")).entries).toHaveLength(1_100);
  expect([await text("/registry/g/rs/1099"), await text("/registry/g/rs/0500")]).toEqual(["old 1099", "new"]);
});
