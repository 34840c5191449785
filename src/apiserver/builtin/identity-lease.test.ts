import { expect, it } from "vitest";
import { seededRandom, silentLogger, VirtualClock } from "#base";
import { createTestServer, settle } from "#testing";
import { IdentityLease, identityOf } from "./identity-lease.ts";

const LEASES = "coordination.k8s.io/v1/leases";
const HOUR_MS = 3_600_000;

it("an API server is called as kube-apiserver is on the same machine", () => {
  expect(identityOf("vm")).toBe("apiserver-wlv32tlttr4jl3gtroqexyxapa");
});

it("its Lease is renewed while it runs, and those of servers that are gone are removed", async () => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1), settle);
  const server = await createTestServer({ clock });
  const leaseOf = (hostname: string) =>
    new IdentityLease({
      server: server.server,
      clock,
      random: seededRandom(7),
      log: silentLogger,
      hostname,
      address: "192.0.2.1:6443",
    });
  const leases = async () =>
    (
      await server.inside.list({
        group: "coordination.k8s.io",
        version: "v1",
        resource: "leases",
        namespace: "kube-system",
      })
    ).items;
  const gone = leaseOf("gone");
  await gone.start();
  gone.stop();
  const own = leaseOf("here");
  await own.start();
  const name = identityOf("here");
  expect(await leases()).toHaveLength(2);
  expect(await server.send("get", LEASES, { namespace: "kube-system", name })).toMatchObject({
    metadata: {
      labels: { "apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": "here" },
      annotations: { "kubernetes.io/peer-advertise-address": "192.0.2.1:6443" },
    },
    spec: { leaseDurationSeconds: 3600, renewTime: "2026-01-01T00:00:00.000000Z" },
  });
  await clock.advance(20_000);
  expect(await server.send("get", LEASES, { namespace: "kube-system", name })).toMatchObject({
    spec: { renewTime: "2026-01-01T00:00:20.000000Z" },
  });
  await clock.advance(2 * HOUR_MS);
  expect(await leases()).toMatchObject([{ metadata: { name } }]);
  own.stop();
  server.stop();
});
