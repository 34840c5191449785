import { expect, it } from "vitest";
import type { Cluster } from "#apis/karmada";
import { departureOf, type Facts, MANAGEMENT, OBJECT, OBJECT_UID, planClusterApi, planLeave } from "./plan.ts";

const NOW = Date.parse("2026-01-01T00:10:00Z");
const anObject = (more: object = {}, phase = "Provisioned", name = "far") => ({
  metadata: { namespace: "infra", name, uid: "u1", ...more },
  status: { phase },
});
const aCluster = (marks: Readonly<Record<string, string>>, isReady = true, more: object = {}) =>
  ({
    metadata: { name: "far", uid: "c1", annotations: marks, ...more },
    spec: {},
    status: { conditions: [{ type: "Ready", status: isReady ? "True" : "False" }] },
  }) as unknown as Cluster;
const ours = { [MANAGEMENT]: "m", [OBJECT]: "infra/far", [OBJECT_UID]: "u1" };
const leaving = (ageSeconds: number) => ({ deletionTimestamp: new Date(NOW - ageSeconds * 1000).toISOString() });

it.each<[string, Partial<Record<keyof Facts, unknown>>, string | RegExp]>([
  ["joins what is provisioned", { object: anObject() }, "join"],
  ["waits while it is not", { object: anObject({}, "Provisioning") }, "nothing"],
  ["does nothing while it is being deleted", { object: anObject(leaving(1)) }, "nothing"],
  [
    "leaves out who does not want it",
    { object: anObject({ annotations: { "cluster-api.flotilla.io/join": "false" } }) },
    "nothing",
  ],
  ["refuses a name too long for a Cluster", { object: anObject({}, "Provisioned", "a".repeat(49)) }, /no more than 48/],
  ["refuses a name with a dot", { object: anObject({}, "Provisioned", "a.b") }, /a lowercase RFC 1123 label/],
  ["has nothing to do where it was joined", { object: anObject(), cluster: aCluster(ours) }, "joined"],
  ["asks the member where one was joined by hand", { object: anObject(), cluster: aCluster({}) }, "compare"],
  [
    "asks where another management cluster joined it",
    { object: anObject(), cluster: aCluster({ ...ours, [MANAGEMENT]: "n" }) },
    "compare",
  ],
  [
    "asks where its object was made anew",
    { object: anObject(), cluster: aCluster({ ...ours, [OBJECT_UID]: "u0" }) },
    "compare",
  ],
  [
    "names who has the name",
    { object: anObject(), cluster: aCluster({ ...ours, [OBJECT]: "other/far" }) },
    /taken by .* other\/far/,
  ],
  [
    "waits for an earlier Cluster to go",
    { object: anObject(), cluster: aCluster(ours, false, leaving(1)) },
    "look-again",
  ],
  ["leaves alone what was joined by hand", { cluster: aCluster({}), departure: "removed" }, "nothing"],
  [
    "leaves alone what another management cluster joined",
    { cluster: aCluster({ ...ours, [MANAGEMENT]: "n" }), departure: "removed" },
    "nothing",
  ],
  [
    "leaves alone what an object of another namespace joined",
    { cluster: aCluster({ ...ours, [OBJECT]: "other/far" }), departure: "removed" },
    "nothing",
  ],
  ["removes with an object that was deleted", { cluster: aCluster(ours), departure: "removed" }, "remove"],
  ["keeps with an object that was moved", { cluster: aCluster(ours, false), departure: "moved" }, /moved elsewhere/],
  ["keeps what answers though nobody saw its object go", { cluster: aCluster(ours) }, /is Ready: it stays/],
  ["removes what does not answer either", { cluster: aCluster(ours, false) }, "remove"],
  ["looks after a removal", { cluster: aCluster(ours, false, leaving(59)), departure: "removed" }, "look-again"],
  [
    "says that a removal hangs",
    { cluster: aCluster(ours, false, leaving(61)), departure: "removed" },
    /still being removed/,
  ],
])("Cluster API: %s", (_title, facts, expected) => {
  const plan = planClusterApi({
    management: "m",
    key: "infra/far",
    object: undefined,
    cluster: undefined,
    departure: undefined,
    nowMs: NOW,
    ...facts,
  } as Facts);
  if (typeof expected === "string") expect(plan.kind).toBe(expected);
  else expect(plan).toMatchObject({ kind: "tell", what: expect.stringMatching(expected) as unknown });
});

it("another member under the name of one that is gone takes its place when that does not answer", () => {
  expect(planLeave(aCluster(ours), { departure: undefined, nowMs: NOW }).kind).toBe("tell");
  expect(planLeave(aCluster(ours, false), { departure: undefined, nowMs: NOW }).kind).toBe("remove");
});

it("an object that is paused, or deleted by clusterctl move, has moved", () => {
  const head = { apiVersion: "cluster.x-k8s.io/v1beta1", kind: "Cluster" };
  expect(departureOf({ ...head, metadata: {} })).toBe("removed");
  expect(departureOf({ ...head, metadata: {}, spec: { paused: true } })).toBe("moved");
  const annotations = { "clusterctl.cluster.x-k8s.io/delete-for-move": "" };
  expect(departureOf({ ...head, metadata: { annotations } })).toBe("moved");
});
