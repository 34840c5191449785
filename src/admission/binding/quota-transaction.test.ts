/** Federated quotas under writers that meet: what is charged is written, and what is written is charged. */
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  FederatedResourceQuota,
  karmadaConversions,
  karmadaCustomResourceDefinitions,
  ResourceBinding,
} from "#apis/karmada";
import type { AdmissionPlugin, RunningApiServer } from "#apiserver";
import { seededRandom, systemClock } from "#base";
import { type Client, createClient, retryOnConflict } from "#client";
import { apiError } from "#machinery";
import { type Backend, createMemoryBackend } from "#store";
import { aBindingOfCpus, aQuotaOfCpus, countedCpus, outcomeOf, startTestApiServer, usedCpus } from "#testing";
import { karmadaAdmission } from "../index.ts";

let backend: Backend;
let servers: RunningApiServer[];
beforeEach(() => {
  backend = createMemoryBackend();
  servers = [];
});
afterEach(() => {
  for (const server of servers) server.stop();
});

/** An API server over the shared store; what it does not yet know of the others' writes it finds out from the store. */
async function start(more: readonly AdmissionPlugin[] = []): Promise<Client> {
  let client: Client | undefined;
  const server: RunningApiServer = await startTestApiServer({
    backend,
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
    conversions: karmadaConversions,
    admission: [
      ...karmadaAdmission(seededRandom(servers.length + 1), {
        gates: new Set(["FederatedQuotaEnforcement"]),
        client: () => (client ??= createClient(server.transport())),
        clock: systemClock,
      }),
      ...more,
    ],
  });
  servers.push(server);
  return createClient(server.transport());
}

test("FQ-4: of forty creations at once over two replicas exactly as many pass as there is room for, and just these are charged", async () => {
  const clients = [await start(), await start()] as const;
  await clients[0].create(FederatedResourceQuota, aQuotaOfCpus("team", "7"));
  await clients[0].create(FederatedResourceQuota, aQuotaOfCpus("wide", "100"));
  const outcomes = await Promise.all(
    Array.from({ length: 40 }, (_, at) =>
      outcomeOf((clients[at % 2] as Client).create(ResourceBinding, aBindingOfCpus(`app-${at}`))),
    ),
  );
  expect(outcomes.filter((text) => text === "written")).toHaveLength(7);
  expect(outcomes.filter((text) => text === "exceeded")).toHaveLength(33);
  for (const client of clients)
    expect([await countedCpus(client), await usedCpus(client), await usedCpus(client, "wide")]).toEqual([7, "7", "7"]);
});

test("FQ-4: changes that meet are charged one after the other, whether they ask for more or give back", async () => {
  const clients = [await start(), await start()] as const;
  await clients[0].create(FederatedResourceQuota, aQuotaOfCpus("team", "20"));
  for (let at = 0; at < 6; at++) await clients[0].create(ResourceBinding, aBindingOfCpus(`app-${at}`, 2));
  const scale = (client: Client, name: string, replicas: number) =>
    outcomeOf(
      retryOnConflict(async () => {
        const present = await client.get(ResourceBinding, { namespace: "default", name });
        await client.update(ResourceBinding, {
          ...present,
          spec: { ...present.spec, clusters: [{ name: "m1", replicas }] },
        });
      }),
    );
  const outcomes = await Promise.all(
    [1, 5, 9, 1, 6, 7].map((replicas, at) => scale(clients[at % 2] as Client, `app-${at}`, replicas)),
  );
  expect(new Set(outcomes)).toEqual(new Set(["written", "exceeded"]));
  const total = await countedCpus(clients[1]);
  expect(total).toBeLessThanOrEqual(20);
  expect([await usedCpus(clients[0]), await usedCpus(clients[1])]).toEqual([String(total), String(total)]);
});

test("FQ-4: what is refused after the quota had room, exists already, or is only tried, is not charged", async () => {
  const refusing: AdmissionPlugin = {
    name: "refuses",
    handles: ({ definition, name }) => definition.kind.resource === "resourcebindings" && name === "unwanted",
    validate() {
      throw apiError(403, "Forbidden", "unwanted");
    },
  };
  const client = await start([refusing]);
  await client.create(FederatedResourceQuota, aQuotaOfCpus("team", "5"));
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("unwanted", 3)))).toBe("unwanted");
  expect(await usedCpus(client)).toBeUndefined();
  await client.create(ResourceBinding, aBindingOfCpus("web", 3));
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("web", 2)))).toContain("already exists");
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("tried", 2), { dryRun: true }))).toBe("written");
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("tried", 3), { dryRun: true }))).toBe(
    "exceeded",
  );
  expect([await countedCpus(client), await usedCpus(client)]).toEqual([3, "3"]);
});

test("FQ-4: binding and charge are one revision of the store: a watcher that stops in between has seen both or neither", async () => {
  const client = await start();
  await client.create(FederatedResourceQuota, aQuotaOfCpus("team", "5"));
  const revisions: (readonly [key: string, revision: number])[] = [];
  const watch = backend.watch("/registry/", backend.revision, {
    changes: (changes) => {
      for (const { key, revision } of changes) revisions.push([key.split("/").at(-3) ?? "", revision]);
    },
    closed() {},
  });
  await client.create(ResourceBinding, aBindingOfCpus("web", 2));
  watch.stop();
  expect(revisions.map(([resource]) => resource)).toEqual(["resourcebindings", "federatedresourcequotas"]);
  expect(new Set(revisions.map(([, revision]) => revision)).size).toBe(1);
});
