/** Federated quotas where admission is a webhook of a foreign API server, outside the transaction that writes the binding. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConfigMap, Namespace } from "#apis/kubernetes";
import {
  FederatedResourceQuota,
  karmadaConversions,
  karmadaCustomResourceDefinitions,
  quotaChargesOf,
  readQuotaCharges,
  ResourceBinding,
} from "#apis/karmada";
import type { AdmissionPlugin, RunningApiServer } from "#apiserver";
import { type Clock, seededRandom, silentLogger, systemClock } from "#base";
import { type Client, createClient, retryOnConflict } from "#client";
import { createManager, type Manager } from "#controller-runtime";
import { federatedResourceQuotaEnforcement } from "#controllers/federated-resource-quota-enforcement";
import { apiError } from "#machinery";
import { type Backend, createMemoryBackend } from "#store";
import {
  aBindingOfCpus,
  aQuotaOfCpus,
  countedCpus,
  eventually,
  outcomeOf,
  startTestApiServer,
  usedCpus,
} from "#testing";
import { karmadaAdmission } from "../index.ts";

let backend: Backend;
let servers: RunningApiServer[];
let managers: Manager[];
let aheadMs: number;
const clock: Clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
beforeEach(() => {
  backend = createMemoryBackend();
  servers = [];
  managers = [];
  aheadMs = 0;
});
afterEach(async () => {
  for (const manager of managers) await manager.stop();
  for (const server of servers) server.stop();
});

/** An API server that asks a webhook of ours, as a foreign one does: the answer writes nothing into its transaction. */
async function start(more: readonly AdmissionPlugin[] = []): Promise<Client> {
  let client: Client | undefined;
  const plugins = karmadaAdmission(seededRandom(servers.length + 1), {
    gates: new Set(["FederatedQuotaEnforcement"]),
    client: () => (client ??= createClient(server.transport())),
    clock,
  });
  const server: RunningApiServer = await startTestApiServer({
    backend,
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
    conversions: karmadaConversions,
    admission: [
      ...plugins.map((plugin) => ({
        ...plugin,
        ...(plugin.validate === undefined
          ? {}
          : {
              validate: ({ alongside: _alongside, ...request }: Parameters<NonNullable<typeof plugin.validate>>[0]) =>
                plugin.validate?.(request),
            }),
      })),
      ...more,
    ],
  });
  servers.push(server);
  const made = createClient(server.transport());
  if (servers.length === 1)
    await made.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "karmada-system" } });
  return made;
}

/** The controller that counts, as it runs beside the webhook. */
async function count(): Promise<void> {
  const [server] = servers as [RunningApiServer];
  const manager = createManager({
    transport: server.transport(),
    clock: systemClock,
    random: seededRandom(1),
    log: silentLogger,
    component: "karmada-controller-manager",
  });
  manager.add(federatedResourceQuotaEnforcement, { deps: { keepsBook: true } });
  managers.push(manager);
  await manager.start();
}

const open = async (client: Client) =>
  readQuotaCharges(await client.find(ConfigMap, quotaChargesOf("default"))).map(({ binding: name }) => name);
/** Waits until just so much of quotas is used, and just these writes are awaited. */
const settled = (client: Client, uses: Readonly<Record<string, string>>, awaited: readonly string[] = []) =>
  eventually(async () => {
    const found = await Promise.all(
      Object.keys(uses).map(async (name) => [name, await usedCpus(client, name)] as const),
    );
    expect([Object.fromEntries(found), await open(client)]).toEqual([uses, awaited]);
    return true;
  });
const scale = (client: Client, name: string, replicas: number) =>
  outcomeOf(
    retryOnConflict(async () => {
      const present = await client.get(ResourceBinding, { namespace: "default", name });
      const spec = { ...present.spec, clusters: [{ name: "m1", replicas }] };
      await client.update(ResourceBinding, { ...present, spec });
    }),
  );

test("FQ-4: of forty creations at once through two webhooks exactly as many pass as there is room for, and the count follows", async () => {
  const clients = [await start(), await start()] as const;
  await count();
  await clients[0].create(FederatedResourceQuota, aQuotaOfCpus("team", "7"));
  await clients[0].create(FederatedResourceQuota, aQuotaOfCpus("wide", "100"));
  const outcomes = await Promise.all(
    Array.from({ length: 40 }, (_, at) =>
      outcomeOf((clients[at % 2] as Client).create(ResourceBinding, aBindingOfCpus(`app-${at}`))),
    ),
  );
  expect([outcomes.filter((text) => text === "written").length, new Set(outcomes)]).toEqual([
    7,
    new Set(["written", "exceeded"]),
  ]);
  expect(await countedCpus(clients[1])).toBe(7);
  await settled(clients[0], { team: "7", wide: "7" });
  // What is given back is there for others at once.
  const [gone] = (await clients[0].list(ResourceBinding, { namespace: "default" })).items;
  await clients[0].delete(ResourceBinding, { namespace: "default", name: gone?.metadata.name ?? "" });
  expect(await outcomeOf(clients[1].create(ResourceBinding, aBindingOfCpus("next")))).toBe("written");
  expect(await outcomeOf(clients[1].create(ResourceBinding, aBindingOfCpus("late")))).toBe("exceeded");
});

test("FQ-4: changes that meet never use more than there is, whether they ask for more or give back", async () => {
  const clients = [await start(), await start()] as const;
  await count();
  await clients[0].create(FederatedResourceQuota, aQuotaOfCpus("team", "20"));
  for (let at = 0; at < 6; at++) await clients[0].create(ResourceBinding, aBindingOfCpus(`app-${at}`, 2));
  const outcomes = await Promise.all(
    [1, 5, 9, 1, 6, 7].map((replicas, at) => scale(clients[at % 2] as Client, `app-${at}`, replicas)),
  );
  expect(new Set(outcomes)).toEqual(new Set(["written", "exceeded"]));
  const total = await countedCpus(clients[1]);
  expect(total).toBeLessThanOrEqual(20);
  await settled(clients[0], { team: String(total) });
});

test("FQ-4: a write that is refused elsewhere charges nothing, holds its room for itself, and gives it up when it cannot come any more", async () => {
  let isRefused = true;
  const refusing: AdmissionPlugin = {
    name: "refuses",
    handles: ({ definition, name }) => definition.kind.resource === "resourcebindings" && name === "unwanted",
    validate() {
      if (isRefused) throw apiError(403, "Forbidden", "unwanted");
    },
  };
  const client = await start([refusing]);
  await count();
  await client.create(FederatedResourceQuota, aQuotaOfCpus("team", "5"));
  for (let tries = 0; tries < 3; tries++)
    expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("unwanted", 3)))).toBe("unwanted");
  await client.create(ResourceBinding, aBindingOfCpus("small", 1));
  await settled(client, { team: "1" }, ["unwanted"]);
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("large", 2)))).toBe("exceeded");
  isRefused = false;
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("unwanted", 3), { dryRun: true }))).toBe(
    "written",
  );
  aheadMs = 76_000;
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("large", 4)))).toBe("written");
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("unwanted", 3)))).toBe("exceeded");
  await settled(client, { team: "5" });
});

test("FQ-4: what is admitted and not stored yet is not forgotten by a count that comes in between", async () => {
  let letGo: () => void = () => undefined;
  let arrived: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  const isHere = new Promise<void>((resolve) => (arrived = resolve));
  const holding: AdmissionPlugin = {
    name: "holds",
    handles: ({ definition, name }) => definition.kind.resource === "resourcebindings" && name === "slow",
    async validate() {
      arrived();
      await held;
    },
  };
  const client = await start([holding]);
  await count();
  await client.create(FederatedResourceQuota, aQuotaOfCpus("team", "5"));
  await client.create(ResourceBinding, aBindingOfCpus("first", 1));
  await settled(client, { team: "1" });
  const slow = outcomeOf(client.create(ResourceBinding, aBindingOfCpus("slow", 4)));
  await isHere;
  await client.delete(ResourceBinding, { namespace: "default", name: "first" });
  await settled(client, { team: "0" }, ["slow"]);
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("second", 2)))).toBe("exceeded");
  expect(await outcomeOf(client.create(ResourceBinding, aBindingOfCpus("third", 1)))).toBe("written");
  letGo();
  expect(await slow).toBe("written");
  await settled(client, { team: "5" });
});
