import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "#base";
import { ConfigMap, Namespace } from "#apis/kubernetes";
import { type Client, createClient } from "#client";
import { apiError } from "#machinery";
import { createTestServer, type TestServer } from "#testing";
import { recordCreations } from "./creations.ts";

let server: TestServer;
let client: Client;
beforeAll(async () => {
  server = await createTestServer();
  client = createClient(server.inside);
  await client.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "a" } });
});
afterAll(() => server?.stop());

const configMap = (name: string, value: string): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { namespace: "a", name },
  data: { value },
});
const at = (name: string) => ({ namespace: "a", name });

test("cli D8: what was made though nobody answered is taken back, too, and nothing that somebody else made", async () => {
  const creations = recordCreations();
  const lost = new Error("socket hang up");
  /** Does what it is asked, as far as `isDone` says, and answers nothing. */
  const silent = (isDone: boolean): Client => ({
    ...client,
    create: async (kind, object, options) => {
      if (isDone) await client.create(kind, object, options);
      throw lost;
    },
  });
  const made = creations.of("member", client);
  await made.create(ConfigMap, configMap("answered", "1"));
  const unanswered = creations.of("member", silent(true));
  await expect(unanswered.create(ConfigMap, configMap("unanswered", "1"))).rejects.toBe(lost);
  const never = creations.of("member", silent(false));
  await expect(never.create(ConfigMap, configMap("never", "1"))).rejects.toBe(lost);
  await client.create(ConfigMap, configMap("foreign", "another"));
  await expect(never.create(ConfigMap, configMap("foreign", "1"))).rejects.toBe(lost);
  await client.create(ConfigMap, configMap("before", "1"));
  const refusing = creations.of("member", {
    ...client,
    create: () => Promise.reject(apiError(409, "AlreadyExists", "it is there")),
  });
  await expect(refusing.create(ConfigMap, configMap("before", "1"))).rejects.toThrow("it is there");
  expect(await creations.undo(systemClock)).toEqual([
    "configmap/foreign in a of the member stays: nobody answered when it was made, and what stands there is something else",
    "removed configmap/unanswered in a of the member",
    "removed configmap/answered in a of the member",
  ]);
  const left = await Promise.all(["answered", "unanswered", "never"].map((name) => client.find(ConfigMap, at(name))));
  expect(left).toEqual([undefined, undefined, undefined]);
  expect(await client.find(ConfigMap, at("foreign"))).toMatchObject({ data: { value: "another" } });
  expect(await client.find(ConfigMap, at("before"))).toBeDefined();
});
