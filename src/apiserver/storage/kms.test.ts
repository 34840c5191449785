import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, it } from "vitest";
import { silentLogger, systemClock } from "#base";
import { createMemoryBackend } from "#store";
import { createTestServer, eventually, startKeyManager } from "#testing";
import { followedEncryption, parseEncryption } from "./encryption.ts";
import { encryptedObject } from "./kms-messages.ts";

const folder = mkdtempSync(join(tmpdir(), "kms-"));
let sockets = 0;
const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function kms() {
  const socket = join(folder, `${sockets++}.sock`);
  const manager = await startKeyManager(socket);
  stops.push(manager.stop);
  return { ...manager, endpoint: `unix://${socket}` };
}

const config = (...providers: object[]) =>
  JSON.stringify({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "EncryptionConfiguration",
    resources: [{ resources: ["secrets"], providers }],
  });
const provider = (endpoint: string, rest: object = {}) => ({
  kms: { apiVersion: "v2", name: "vault", endpoint, timeout: "10s", ...rest },
});
const KEY = "/registry/secrets/default/s";
const at = { namespace: "default", name: "s" };
const body = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { password: "hunter2" } };

it("keeps Secrets by a seed that a key manager sealed; another server asks it for the seed, once", async () => {
  const { endpoint, state } = await kms();
  const backend = createMemoryBackend();
  const start = async () => {
    const encryption = parseEncryption(config(provider(endpoint), { identity: {} }));
    stops.push(() => encryption.stop?.());
    return createTestServer({ backend, encryption });
  };
  const first = await start();
  await first.send("create", "v1/secrets", { namespace: "default", body });
  await first.send("create", "v1/secrets", {
    namespace: "default",
    body: { ...body, metadata: { name: "t" } },
  });
  expect(state.decrypts).toBe(0);
  const raw = Buffer.from((await backend.get(KEY))?.value ?? []);
  const mark = "k8s:enc:kms:v2:vault:";
  expect(raw.subarray(0, mark.length).toString()).toBe(mark);
  expect(raw.toString("latin1")).not.toContain("aHVudGVyMg");
  expect(encryptedObject.decode(raw.subarray(mark.length))).toMatchObject({
    keyId: "key-1",
    encryptedDekSourceType: 1,
    annotations: { "kms.example.com": Buffer.from("x") },
  });
  first.stop();

  const second = await start();
  expect(await second.send("get", "v1/secrets", at)).toMatchObject({ data: { password: "aHVudGVyMg==" } });
  expect(await second.send("get", "v1/secrets", { ...at, name: "t" })).toMatchObject({ metadata: { name: "t" } });
  expect(state.decrypts).toBe(1);
  second.stop();
}, 60_000);

it("two servers on one store read each other's values while both run", async () => {
  const { endpoint, state } = await kms();
  const backend = createMemoryBackend();
  const start = async () => {
    const encryption = parseEncryption(config(provider(endpoint)));
    stops.push(() => encryption.stop?.());
    return createTestServer({ backend, encryption });
  };
  const [one, other] = [await start(), await start()];
  await one.send("create", "v1/secrets", { namespace: "default", body });
  const found = await eventually(() => other.send("get", "v1/secrets", at));
  expect(found).toMatchObject({ data: { password: "aHVudGVyMg==" } });
  expect(state.decrypts).toBeGreaterThan(0);
  one.stop();
  other.stop();
}, 60_000);

it("a new key id makes a new seed, and what the old key sealed is kept anew by the next write", async () => {
  const { endpoint, rotate, state } = await kms();
  const wakes: (() => void)[] = [];
  const clock = {
    ...systemClock,
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    after: (_delayMs: number, wake: () => void) => {
      wakes.push(wake);
      return { cancel() {} };
    },
  };
  const encryption = parseEncryption(config(provider(endpoint)), { clock, log: silentLogger });
  stops.push(() => encryption.stop?.());
  const backend = createMemoryBackend();
  const server = await createTestServer({ backend, encryption });
  const made = await server.send("create", "v1/secrets", { namespace: "default", body });
  const keyId = async () => {
    const raw = Buffer.from((await backend.get(KEY))?.value ?? []);
    return encryptedObject.decode(raw.subarray("k8s:enc:kms:v2:vault:".length)).keyId;
  };
  expect(await keyId()).toBe("key-1");
  expect(encryption.isWell?.()).toBe(true);

  rotate("key-2");
  wakes.pop()?.();
  await eventually(() => wakes.length > 0);
  await server.send("update", "v1/secrets", { ...at, body: await server.send("get", "v1/secrets", at) });
  expect(await keyId()).toBe("key-2");
  expect(made.metadata.name).toBe("s");

  // A key manager that is ill says so; what is known stays readable.
  state.healthz = "sealed";
  wakes.pop()?.();
  await eventually(() => encryption.isWell?.() === false);
  expect(await server.send("get", "v1/secrets", at)).toMatchObject({ data: { password: "aHVudGVyMg==" } });
  server.stop();
}, 60_000);

it.each([
  ["another version", { version: "v1" }, "expected KMS API version v2, got v1"],
  ["an illness", { healthz: "sealed" }, "got unexpected healthz status: sealed"],
  ["no key", { keyId: "" }, "the key id is empty"],
])("a server does not start on a key manager with %s", async (_title, wrong, message) => {
  const { endpoint, state } = await kms();
  Object.assign(state, wrong);
  const encryption = parseEncryption(config(provider(endpoint)));
  stops.push(() => encryption.stop?.());
  await expect(createTestServer({ encryption })).rejects.toThrow(message);
});

it("a configuration that changes to a key manager is used once it answers", async () => {
  const { endpoint } = await kms();
  let text = config({ identity: {} });
  const encryption = followedEncryption(
    () => text,
    () => {},
  );
  stops.push(() => encryption.stop?.());
  const cipher = encryption.cipherOf("", "secrets");
  expect(cipher?.seal(Buffer.from("plain"), KEY).toString()).toBe("plain");
  text = config(provider(endpoint), { identity: {} });
  await eventually(() =>
    cipher?.seal(Buffer.from("plain"), KEY).toString("latin1").startsWith("k8s:enc:kms:v2:vault:"),
  );
});

it.each([
  ["version 1, by its name", { apiVersion: "v1" }, "kms.apiVersion: KMSv1 is deprecated"],
  ["an unknown version", { apiVersion: "v3" }, 'kms.apiVersion: Invalid value: "v3"'],
  ["no name", { name: "" }, "kms.name: Required value"],
  ["a colon in a name", { name: "a:b" }, 'kms.name: Invalid value: "a:b"'],
  ["a size for a cache", { cachesize: 5 }, "kms.cachesize: Invalid value: 5: cachesize is not supported in v2"],
  ["no endpoint", { endpoint: "" }, "kms.endpoint: Required value"],
  ["another scheme", { endpoint: "tcp://x" }, "unsupported scheme for KMS provider, only unix is supported"],
  ["no time", { timeout: "0s" }, 'kms.timeout: Invalid value: "0s": should be a positive value'],
])("refuses %s", (_title, wrong, message) => {
  expect(() => parseEncryption(config(provider("unix:///x", wrong)))).toThrow(message);
});

it("refuses a name twice", () => {
  expect(() => parseEncryption(config(provider("unix:///x"), provider("unix:///y")))).toThrow(
    "duplicate KMS provider name",
  );
});
