/** Members that are slow, have much to do, or turn requests away: what the API says of it, for push and pull members. */
import { afterEach, describe, expect, test } from "vitest";
import { ConfigMap } from "#apis/kubernetes";
import { Cluster, executionNamespace, Work } from "#apis/karmada";
import { retryOnConflict } from "#client";
import { type FailoverFleet, startFailoverFleet } from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

const DELAYED = "SynchronizationDelayed";
const cluster = (name: string) => fleet.plane.get(Cluster, { name });
const ofCluster = async (name: string, wanted: string) =>
  (await cluster(name)).status?.conditions?.find(({ type }) => type === wanted);
const works = async (name: string) => (await fleet.plane.list(Work, { namespace: executionNamespace(name) })).items;
const saying = (all: readonly Work[], wanted: string, is = "True") =>
  all.filter(({ status }) => status?.conditions?.some(({ type, status: said }) => type === wanted && said === is));
const said = (work: Work | undefined, wanted: string) =>
  work?.status?.conditions?.find(({ type }) => type === wanted) as
    | { readonly status: string; readonly reason: string; readonly message: string }
    | undefined;

const spec = (cluster: string, at: number, data: object) => ({
  workload: {
    manifests: [
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: {
          namespace: "default",
          name: `c${at}`,
          labels: { "karmada.io/managed": "true" },
          annotations: {
            "work.karmada.io/name": `w${at}`,
            "work.karmada.io/namespace": executionNamespace(cluster),
          },
        },
        data,
      },
    ],
  },
});
/** Works as policies lead to them, many at once. */
const create = (name: string, from: number, to: number) =>
  Promise.all(
    Array.from({ length: to - from }, (_, at) =>
      fleet.plane.create(Work, {
        apiVersion: "work.karmada.io/v1alpha1",
        kind: "Work",
        metadata: {
          namespace: executionNamespace(name),
          name: `w${from + at}`,
          finalizers: ["karmada.io/execution-controller"],
        },
        spec: spec(name, from + at, { a: "1" }),
      } as unknown as Work),
    ),
  );
const events = async (name: string) => (await fleet.eventsOf("Cluster", name)).filter((line) => line.includes(DELAYED));

describe.each([
  ["push", []],
  ["pull", ["m1"]],
] as const)("a %s member", (_mode, pull) => {
  const start = async () => {
    fleet = await startFailoverFleet({ members: ["m1", "m2"], pull });
    // What a member serves is known, and the kind is followed.
    for (const name of ["m1", "m2"]) await create(name, 0, 1);
    await fleet.until(async () => saying(await works("m1"), "Applied").length === (await works("m1")).length, 60_000);
    await fleet.advance(5_000);
  };

  test("that answers slowly is called so in condition and event, its Works say why they wait, once, and all is well by itself", async () => {
    await start();
    const before = (await works("m1")).length;
    fleet.simulated("m1").setFaults({ latencyMs: 4_000 });
    for (const name of ["m1", "m2"]) await create(name, 1, 200);
    await fleet.until(async () => (await ofCluster("m1", DELAYED))?.status === "True", 60_000);
    await fleet.until(async () => (await ofCluster("m1", DELAYED))?.reason === "MemberSlow", 60_000);
    expect(await ofCluster("m1", DELAYED)).toMatchObject({
      message: "changes wait: answers of the member cluster take longer than 2 s",
    });
    expect(await ofCluster("m1", "Ready")).toMatchObject({ status: "True" });
    await fleet.until(async () => (await events("m1")).length > 0);
    expect((await events("m1"))[0]).toMatch(
      /^Warning SynchronizationDelayed cluster\(m1\) is synchronized late: changes wait: /,
    );
    // Another one has all of it meanwhile.
    expect(saying(await works("m2"), "Applied")).toHaveLength((await works("m2")).length);
    expect(await ofCluster("m2", DELAYED)).toBeUndefined();
    // After a minute each Work that waits says so.
    await fleet.until(async () => saying(await works("m1"), DELAYED).length > 0, 120_000);
    const [late] = saying(await works("m1"), DELAYED);
    expect(said(late, DELAYED)).toMatchObject({ reason: "MemberSlow" });
    expect(said(late, "Applied")).toBeUndefined();
    fleet.simulated("m1").setFaults({ latencyMs: 0 });
    await fleet.until(async () => saying(await works("m1"), "Applied").length === before + 199, 120_000);
    await fleet.until(async () => (await ofCluster("m1", DELAYED))?.reason === "InTime", 60_000);
    expect(saying(await works("m1"), DELAYED)).toEqual([]);
    expect(saying(await works("m1"), DELAYED, "False").length).toBeGreaterThan(0);
  }, 120_000);

  test("that has as much to do as it can take is called busy, and its Works are not: they come in one after the other", async () => {
    await start();
    const before = (await works("m1")).length;
    fleet.simulated("m1").setFaults({ latencyMs: 1_900 });
    await create("m1", 1, 1_000);
    await fleet.until(async () => (await ofCluster("m1", DELAYED))?.status === "True", 60_000);
    expect(await ofCluster("m1", DELAYED)).toMatchObject({
      reason: "MemberBusy",
      message: "changes wait: the member cluster has as much to do as it can take at a time",
    });
    await fleet.until(async () => saying(await works("m1"), "Applied").length === before + 999, 300_000);
    await fleet.until(async () => (await ofCluster("m1", DELAYED))?.status === "False", 60_000);
    expect((await works("m1")).filter((work) => said(work, DELAYED) !== undefined)).toEqual([]);
  }, 120_000);

  test("that answers 429 until all tries are over: what was applied stays so and says why it waits, what is known of the member stays known", async () => {
    await start();
    const known = (await cluster("m1")).status;
    expect(known?.kubernetesVersion).toMatch(/^v1\./);
    const applied = said(
      (await works("m1")).find(({ metadata }) => metadata.name === "w0"),
      "Applied",
    );
    fleet.simulated("m1").setFaults({ isThrottling: true });
    const at = { namespace: executionNamespace("m1"), name: "w0" };
    await retryOnConflict(async () => {
      const present = await fleet.plane.get(Work, at);
      await fleet.plane.update(Work, { ...present, spec: spec("m1", 0, { a: "2" }) } as unknown as Work);
    });
    await fleet.until(async () => said(await fleet.plane.get(Work, at), DELAYED)?.status === "True", 120_000);
    const work = await fleet.plane.get(Work, at);
    expect(said(work, DELAYED)).toMatchObject({
      reason: "MemberThrottles",
      message: expect.stringContaining("the member cluster answers 429: Too many requests, please try again later."),
    });
    expect(said(work, "Applied")).toEqual(applied);
    await fleet.until(async () => (await ofCluster("m1", DELAYED))?.reason === "MemberThrottles", 60_000);
    await fleet.until(async () => (await ofCluster("m1", "CompleteAPIEnablements"))?.reason === "Partial", 300_000);
    await fleet.advance(120_000);
    expect(said(await fleet.plane.get(Work, at), "Applied")).toEqual(applied);
    expect((await cluster("m1")).status).toMatchObject({
      kubernetesVersion: known?.kubernetesVersion,
      apiEnablements: known?.apiEnablements,
    });
    expect(await ofCluster("m1", "Ready")).toMatchObject({ status: "True" });
    fleet.simulated("m1").setFaults({ isThrottling: false });
    await fleet.until(
      async () => (await fleet.member("m1").get(ConfigMap, { namespace: "default", name: "c0" })).data?.["a"] === "2",
      300_000,
    );
    await fleet.until(async () => said(await fleet.plane.get(Work, at), DELAYED)?.status === "False", 60_000);
    await fleet.until(async () => (await ofCluster("m1", DELAYED))?.reason === "InTime", 60_000);
    await fleet.until(async () => (await ofCluster("m1", "CompleteAPIEnablements"))?.reason === "Complete", 60_000);
  }, 120_000);
});
