/** One of several processes works: leases won, lost, stolen and given back, on a clock that only moves when told to. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigMap, Lease } from "#apis/kubernetes";
import { seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient } from "#client";
import type { Transport } from "#machinery";
import { createTestServer, settle, type TestServer } from "#testing";
import { type Led, lead, type LeadOptions } from "./lead.ts";

const LEASES = ["first", "second"];
let server: TestServer;
let clock: VirtualClock;
let told: string[];
const led: Led[] = [];
beforeEach(async () => {
  clock = new VirtualClock(Date.UTC(2026, 0, 1), settle);
  server = await createTestServer({ clock });
  told = [];
});
afterEach(async () => {
  await Promise.all(led.splice(0).map((one) => one.stop()));
  server.stop();
});

/** A process that says what it does; `fenced` is what its work was given last. */
function start(name: string, seed: number, more: Partial<LeadOptions> = {}): Led & { fenced: () => Transport } {
  let fenced: Transport | undefined;
  const one = lead({
    transport: server.inside,
    clock,
    random: seededRandom(seed),
    log: silentLogger,
    config: {
      leaderElect: true,
      leaderElectLeaseDurationMs: 15_000,
      leaderElectRenewDeadlineMs: 10_000,
      leaderElectRetryPeriodMs: 2_000,
      leaderElectResourceNamespace: "default",
    },
    leases: LEASES,
    whenLost: "wait",
    start: (through) => {
      fenced = through;
      told.push(`${name} begins`);
      return Promise.resolve({
        stop: () => {
          told.push(`${name} ends`);
          return Promise.resolve();
        },
      });
    },
    ...more,
  });
  led.push(one);
  return Object.assign(Object.create(one) as Led, { fenced: () => fenced as Transport });
}
const steal = async (name: string) => {
  const client = createClient(server.inside);
  const present = await client.get(Lease, { namespace: "default", name });
  await client.update(Lease, { ...present, spec: { ...present.spec, holderIdentity: "somebody" } });
};
const write = (transport: Transport, name: string) =>
  createClient(transport)
    .create(ConfigMap, { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "default", name } })
    .then(
      () => "written",
      (error: Error) => error.message,
    );

describe("one of two works", () => {
  test("who is first begins; when it stops in order the other begins at once, after the first has ended", async () => {
    const [a, b] = [start("a", 1), start("b", 2)];
    await clock.advance(0);
    expect([told, a.isLeader, b.isLeader]).toEqual([["a begins"], true, false]);
    await clock.advance(60_000);
    expect(told).toEqual(["a begins"]);
    await a.stop();
    await clock.advance(10);
    expect([told, b.isLeader]).toEqual([["a begins", "a ends", "b begins"], true]);
  });

  test("two that wait never end with one lease each", async () => {
    const client = createClient(server.inside);
    const dead = (name: string, leaseDurationSeconds: number) =>
      client.create(Lease, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { namespace: "default", name },
        spec: { holderIdentity: "dead", leaseDurationSeconds },
      });
    await dead("first", 14);
    await dead("second", 13);
    const a = start("a", 1);
    await clock.advance(500);
    // The holder's last breath: who looks next counts from there, the other from two seconds later.
    await client.patch(Lease, { namespace: "default", name: "second" }, "application/merge-patch+json", {
      spec: { leaseTransitions: 1 },
    });
    await clock.advance(500);
    const b = start("b", 2);
    await clock.advance(60_000);
    expect([a.isLeader, b.isLeader, told]).toEqual([true, false, ["a begins"]]);
    await a.stop();
    await clock.advance(5_000);
    expect([b.isLeader, told]).toEqual([true, ["a begins", "a ends", "b begins"]]);
  });

  test("one of its leases stolen ends the work, refuses its writes from then on, and it begins anew when the lease is free", async () => {
    const a = start("a", 1);
    await clock.advance(0);
    const old = a.fenced();
    expect(await write(old, "one")).toBe("written");
    await steal("second");
    await clock.advance(2_000);
    expect([told, a.isLeader]).toEqual([["a begins", "a ends"], false]);
    expect(await write(old, "two")).toContain("this replica leads no more");
    await clock.advance(17_000);
    expect([told, a.isLeader]).toEqual([["a begins", "a ends", "a begins"], true]);
    expect([await write(old, "two"), await write(a.fenced(), "two")]).toEqual([
      expect.stringContaining("this replica leads no more"),
      "written",
    ]);
  });

  test("where losing is the end it fails by name; work that cannot start fails as well", async () => {
    const a = start("a", 1, { leases: ["first"], whenLost: "fail" });
    await clock.advance(0);
    await steal("first");
    const failure = a.failed.catch((error: Error) => error.message);
    await clock.advance(2_000);
    expect(await failure).toBe("lost the lease default/first");
    const b = start("b", 2, { leases: ["other"], start: () => Promise.reject(new Error("no disk")) });
    await clock.advance(0);
    await expect(b.failed).rejects.toThrow("no disk");
  });

  test("without election it begins at once and takes no lease", async () => {
    const a = start("a", 1, {
      config: {
        leaderElect: false,
        leaderElectLeaseDurationMs: 1,
        leaderElectRenewDeadlineMs: 1,
        leaderElectRetryPeriodMs: 1,
        leaderElectResourceNamespace: "default",
      },
    });
    await clock.advance(0);
    expect([told, a.isLeader]).toEqual([["a begins"], true]);
    expect((await createClient(server.inside).list(Lease)).items).toEqual([]);
    await a.stop();
    expect(told).toEqual(["a begins", "a ends"]);
  });
});
