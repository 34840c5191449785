import { expect, it } from "vitest";
import { createMemoryBackend } from "#store";
import { createTestServer } from "#testing";
import { followedEncryption, parseEncryption } from "./encryption.ts";

const key = (letter: string, bytes = 32) => Buffer.from(letter.repeat(bytes)).toString("base64");
const provider = (kind: string, ...names: string[]) => ({
  [kind]: { keys: names.map((name) => ({ name, secret: key(name.slice(0, 1)) })) },
});
const config = (...providers: object[]) =>
  JSON.stringify({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "EncryptionConfiguration",
    resources: [{ resources: ["secrets"], providers }],
  });
const plainText = { identity: {} };
const KEY = "/registry/secrets/default/s";

it.each(["aescbc", "aesgcm", "secretbox"])(
  "%s keeps Secrets unreadable, and a server with the key reads them",
  async (kind) => {
    const backend = createMemoryBackend();
    const start = (...providers: object[]) =>
      createTestServer({ backend, encryption: parseEncryption(config(...providers)) });
    const raw = async () => Buffer.from((await backend.get(KEY))?.value ?? []).toString("latin1");
    const at = { namespace: "default", name: "s" };
    const body = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { password: "hunter2" } };

    const first = await start(plainText);
    await first.send("create", "v1/secrets", { namespace: "default", body });
    expect(await raw()).toContain("aHVudGVyMg==");
    first.stop();

    // A key in front: old values are read as they are, and a write that changes nothing keeps them anew.
    const second = await start(provider(kind, "a"), plainText);
    const secret = await second.send("get", "v1/secrets", at);
    expect(await raw()).toContain("aHVudGVyMg==");
    await second.send("update", "v1/secrets", { ...at, body: secret });
    expect(await raw()).toMatch(new RegExp(`^k8s:enc:${kind}:v1:a:`));
    expect(await raw()).not.toContain("aHVudGVyMg");
    expect(await second.send("get", "v1/secrets", at)).toMatchObject({ data: { password: "aHVudGVyMg==" } });
    second.stop();

    // Rotation by the order of keys.
    const third = await start(provider(kind, "b", "a"));
    const same = await third.send("get", "v1/secrets", at);
    expect(same).toMatchObject({ data: { password: "aHVudGVyMg==" } });
    await third.send("update", "v1/secrets", { ...at, body: same });
    expect(await raw()).toMatch(new RegExp(`^k8s:enc:${kind}:v1:b:`));
    const revision = backend.revision;
    await third.send("update", "v1/secrets", { ...at, body: await third.send("get", "v1/secrets", at) });
    expect(backend.revision).toBe(revision);
    third.stop();

    const stranger = await start(provider(kind, "c"), plainText);
    await expect(stranger.send("get", "v1/secrets", at)).rejects.toThrow(
      `unable to transform key "${KEY}": no matching prefix found`,
    );
    stranger.stop();
  },
);

it("a configuration that changes while the server runs holds from the next write on", async () => {
  const backend = createMemoryBackend();
  let text = config(plainText);
  const refused: string[] = [];
  const encryption = followedEncryption(
    () => text,
    (error) => refused.push((error as Error).message),
  );
  const server = await createTestServer({ backend, encryption });
  const at = { namespace: "default", name: "s" };
  const raw = async () => Buffer.from((await backend.get(KEY))?.value ?? []).toString("latin1");
  const writeSame = async () =>
    server.send("update", "v1/secrets", { ...at, body: await server.send("get", "v1/secrets", at) });
  const body = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { password: "hunter2" } };
  await server.send("create", "v1/secrets", { namespace: "default", body });
  expect(await raw()).toContain("aHVudGVyMg==");

  // Written anew without a change, as `kubectl get secrets -o json | kubectl replace -f -` does.
  text = config(provider("aesgcm", "a"), plainText);
  await writeSame();
  expect(await raw()).toMatch(/^k8s:enc:aesgcm:v1:a:/);
  const { revision } = backend;
  await writeSame();
  expect(backend.revision).toBe(revision);

  text = "nonsense";
  await server.send("update", "v1/secrets", { ...at, body: { ...body, stringData: { password: "other" } } });
  expect(await raw()).toMatch(/^k8s:enc:aesgcm:v1:a:/);
  expect(refused).toEqual(["encryption configuration: it must be an object"]);

  text = config(provider("secretbox", "b"), provider("aesgcm", "a"));
  expect(await server.send("get", "v1/secrets", at)).toMatchObject({ data: { password: "b3RoZXI=" } });
  await writeSame();
  expect(await raw()).toMatch(/^k8s:enc:secretbox:v1:b:/);
  server.stop();
  expect(() =>
    followedEncryption(
      () => "nonsense",
      () => undefined,
    ),
  ).toThrow("it must be an object");
});

it("a value bound to its name by aesgcm cannot be moved, and one that was touched is refused", () => {
  const cipher = parseEncryption(config(provider("aesgcm", "a"))).cipherOf("", "secrets");
  const sealed = cipher?.seal(Buffer.from("text"), KEY) ?? Buffer.alloc(0);
  expect(cipher?.open(sealed, KEY).value.toString()).toBe("text");
  expect(() => cipher?.open(sealed, `${KEY}2`)).toThrow("no matching key was found");
  const touched = Buffer.from(sealed);
  touched[touched.length - 20] = (touched[touched.length - 20] ?? 0) ^ 1;
  expect(() => cipher?.open(touched, KEY)).toThrow("no matching key was found");
});

it("secretbox is NaCl's: its published vector opens", () => {
  const secret = Buffer.from("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389", "hex");
  const nonce = "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37";
  const sealed =
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5";
  const text =
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705";
  const encryption = parseEncryption(
    config({ secretbox: { keys: [{ name: "a", secret: secret.toString("base64") }] } }),
  );
  const value = Buffer.concat([Buffer.from("k8s:enc:secretbox:v1:a:"), Buffer.from(nonce + sealed, "hex")]);
  expect(encryption.cipherOf("", "secrets")?.open(value, KEY).value.toString("hex")).toBe(text);
});

it.each([
  ["not an object", "[]", "must be an object"],
  ["another kind", "kind: X\napiVersion: v1", "must be an EncryptionConfiguration"],
  [
    "nothing to encrypt",
    JSON.stringify({ kind: "EncryptionConfiguration", apiVersion: "apiserver.config.k8s.io/v1" }),
    "resources: Required value",
  ],
  ["an unknown provider", config({ vault: { name: "x" } }), "resources[0].providers[0].vault: not supported"],
  ["two in one", config({ identity: {}, ...provider("aesgcm", "a") }), "exactly one provider"],
  [
    "a short key",
    config({ aescbc: { keys: [{ name: "a", secret: key("a", 5) }] } }),
    "keys[0].secret: Invalid value: secret is not of the expected length, got 5",
  ],
  ["a name twice", config(provider("aescbc", "a", "a")), 'keys[1].name: Duplicate value: "a"'],
  ["no keys", config({ secretbox: {} }), "secretbox.keys: Required value"],
])("refuses %s", (_title, text, message) => {
  expect(() => parseEncryption(text)).toThrow(message);
});

it("resources are named one by one, by group, or all", () => {
  const of = (...resources: string[]) =>
    parseEncryption(
      JSON.stringify({
        apiVersion: "apiserver.config.k8s.io/v1",
        kind: "EncryptionConfiguration",
        resources: [{ resources, providers: [plainText] }],
      }),
    );
  const has = (encryption: ReturnType<typeof of>, group: string, resource: string) =>
    encryption.cipherOf(group, resource) !== undefined;
  expect([has(of("secrets"), "", "secrets"), has(of("secrets"), "", "configmaps")]).toEqual([true, false]);
  expect([has(of("*.apps"), "apps", "deployments"), has(of("*.apps"), "", "pods")]).toEqual([true, false]);
  expect([has(of("*."), "", "pods"), has(of("*.*"), "a.io", "things")]).toEqual([true, true]);
});
