import { generateKeyPairSync } from "node:crypto";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { KubeObject } from "#machinery";
import { createTestServer, type TestServer } from "#testing";
import { readServiceAccountKeys } from "./service-account-tokens.ts";

const publicKeyEncoding = { type: "spki", format: "pem" } as const;
const privateKeyEncoding = { type: "pkcs8", format: "pem" } as const;
const old = generateKeyPairSync("rsa", { modulusLength: 2048, publicKeyEncoding, privateKeyEncoding });
const next = generateKeyPairSync("ec", { namedCurve: "P-256", publicKeyEncoding, privateKeyEncoding });
const running: TestServer[] = [];

/** A server with the account `robot`, whose uid is the same on every one of them. */
async function serverWith(keys: typeof old, further: () => readonly string[] = () => []): Promise<TestServer> {
  const server = await createTestServer({ serviceAccountKeys: { ...keys, further } });
  running.push(server);
  const body = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "robot" } } as KubeObject;
  await server.send("create", "v1/serviceaccounts", { namespace: "default", body });
  return server;
}
const account = (server: TestServer) =>
  server.send("get", "v1/serviceaccounts", { namespace: "default", name: "robot" });
const knows = async (server: TestServer, token: string) => (await server.tokens.authenticate(token))?.user.name;
const ROBOT = "system:serviceaccount:default:robot";
let issuer: TestServer;
let token: string;

beforeEach(async () => {
  issuer = await serverWith(old);
  token = await issuer.tokens.sign(await account(issuer), 3600);
});
afterEach(() => {
  for (const server of running.splice(0)) server.stop();
});

it("tokens of an older key hold as long as its file names it, in whatever form", async () => {
  let files: readonly string[] = [];
  const server = await serverWith(next, () => files);
  expect(await knows(server, token)).toBeUndefined();
  files = [old.publicKey];
  expect(await knows(server, token)).toBe(ROBOT);
  files = [`${next.privateKey}\n${old.privateKey}`];
  expect(await knows(server, token)).toBe(ROBOT);
  const own = await server.tokens.sign(await account(server), 3600);
  expect(await knows(server, own)).toBe(ROBOT);
  files = [];
  expect(await knows(server, token)).toBeUndefined();
  expect(await knows(server, own)).toBe(ROBOT);
  // The new key is unknown to a server that has the old one alone.
  expect(await knows(issuer, own)).toBeUndefined();
});

it("all keys are published, each once, the one that signs first", async () => {
  const server = await serverWith(next, () => [old.publicKey, next.publicKey, old.privateKey]);
  const { keys } = (await server.tokens.accounts.keySet()) as { readonly keys: readonly { readonly alg: string }[] };
  expect(keys.map(({ alg }) => alg)).toEqual(["ES256", "RS256"]);
  expect(server.tokens.accounts.discovery("here")).toMatchObject({
    id_token_signing_alg_values_supported: ["ES256", "RS256"],
  });
});

it("a file without a key is refused", () => {
  expect(() => readServiceAccountKeys("nothing")).toThrow("there is no key in it, PEM");
});
