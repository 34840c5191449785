/** Execution between a control plane and a member, each an API server of the same process. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Cluster, karmadaConversions, karmadaCustomResourceDefinitions, Work } from "#apis/karmada";
import { ConfigMap, Namespace } from "#apis/kubernetes";
import { aggregatedDefinitions } from "#aggregated-apiserver";
import type { RunningApiServer } from "#apiserver";
import { type Clock, seededRandom, silentLogger, sleep, systemClock, VirtualClock } from "#base";
import { type Client, createClient, retryOnConflict } from "#client";
import { createManager, type Manager, Turns } from "#controller-runtime";
import { createInterpreter } from "#interpreter";
import { forbidden, tooManyRequests, type Transport } from "#machinery";
import { createMemberPool } from "#member";
import { eventually, settle, startTestApiServer } from "#testing";
import { execution, RELEASE_DELETIONS } from "./index.ts";

const NAMESPACE = "karmada-es-m1";
const clock = systemClock;

let servers: RunningApiServer[];
let plane: Client;
let member: Client;
let managers: Manager[];

const server = async (isPlane: boolean) => {
  const started = await startTestApiServer({
    clock,
    random: seededRandom(1),
    ...(isPlane
      ? {
          customResourceDefinitions: karmadaCustomResourceDefinitions(),
          conversions: karmadaConversions,
          aggregated: aggregatedDefinitions(clock),
        }
      : {}),
  });
  servers.push(started);
  return started;
};

/** Turns that keep background work waiting until it is let go. */
class HeldTurns extends Turns {
  readonly #held: (() => void)[] = [];
  #isHeld = true;

  override ask(...[turn, urgency]: Parameters<Turns["ask"]>): void {
    if (this.#isHeld && urgency === "background") this.#held.push(() => super.ask(turn, urgency));
    else super.ask(turn, urgency);
  }

  letGo(): void {
    this.#isHeld = false;
    for (const ask of this.#held) ask();
  }
}

const toMember = (): Transport => (servers[1] as RunningApiServer).transport();

async function start(
  options: object = {},
  turns = new Turns(),
  wired: { readonly clock?: Clock; readonly members?: Readonly<Record<string, Transport>> } = {},
): Promise<Manager> {
  const { clock = systemClock } = wired;
  const members = createMemberPool({ clock, log: silentLogger });
  for (const [name, transport] of Object.entries(wired.members ?? { m1: toMember() }))
    members.connect({ name, fingerprint: "1", open: () => ({ transport, isForeign: true }) });
  const manager = createManager({
    transport: (servers[0] as RunningApiServer).transport(),
    clock,
    random: seededRandom(2),
    log: silentLogger,
    turns,
  });
  manager.add(execution, { deps: { members, interpreter: createInterpreter() }, options });
  await manager.start();
  managers.push(manager);
  return manager;
}

async function join(name: string): Promise<void> {
  await plane.create(Namespace, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: `karmada-es-${name}` },
  } as Namespace);
  const cluster = await plane.create(Cluster, {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name },
    spec: { syncMode: "Push" },
  } as unknown as Cluster);
  await plane.updateStatus(Cluster, {
    ...cluster,
    status: {
      conditions: [
        {
          type: "Ready",
          status: "True",
          reason: "ClusterReady",
          message: "",
          lastTransitionTime: "2026-01-01T00:00:00Z",
        },
      ],
    },
  } as unknown as Cluster);
}

beforeEach(async () => {
  servers = [];
  managers = [];
  plane = createClient((await server(true)).transport());
  member = createClient((await server(false)).transport());
  await join("m1");
});
afterEach(async () => {
  await Promise.all(managers.map((manager) => manager.stop()));
  for (const running of servers) running.stop();
});

const manifest = (name: string, data: object, labels: object = {}, namespace = NAMESPACE) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name,
    namespace: "default",
    labels: { "karmada.io/managed": "true", ...labels },
    annotations: {
      "work.karmada.io/name": name,
      "work.karmada.io/namespace": namespace,
      "resourcetemplate.karmada.io/uid": "u",
    },
  },
  data,
});
const work = (name: string, data: object, more: object = {}, namespace = NAMESPACE) =>
  plane.create(Work, {
    apiVersion: "work.karmada.io/v1alpha1",
    kind: "Work",
    metadata: { name, namespace, finalizers: ["karmada.io/execution-controller"] },
    spec: { workload: { manifests: [manifest(name, data, {}, namespace)] }, ...more },
  } as unknown as Work);
const found = (name: string) => member.find(ConfigMap, { namespace: "default", name });
const at = (name: string) => ({ namespace: NAMESPACE, name });
const condition = async (name: string, type: string) =>
  (await plane.find(Work, at(name)))?.status?.conditions?.find((present) => present.type === type);

describe("execution", () => {
  test("tells that a Work is applied when there is time, and not what has been overtaken meanwhile", async () => {
    const turns = new HeldTurns();
    const manager = await start({}, turns);
    await work("a", { at: "1" });
    await work("b", { at: "1" });
    await eventually(async () => (await found("a")) !== undefined && (await found("b")) !== undefined);
    expect(await condition("a", "Applied")).toBeUndefined();
    const suspended = await plane.get(Work, at("b"));
    await plane.update(Work, { ...suspended, spec: { ...suspended.spec, suspendDispatching: true } } as Work);
    await eventually(async () => (await condition("b", "Dispatching"))?.status === "False");
    turns.letGo();
    await eventually(async () => (await condition("a", "Applied"))?.status === "True");
    await manager.whenIdle();
    expect(await condition("b", "Dispatching")).toMatchObject({ status: "False", reason: "SuspendDispatching" });
    expect(await condition("b", "Applied")).toBeUndefined();
  });

  test("[RN-14] a field that flips between us and somebody in the member is left to the member, and said so", async () => {
    await start();
    await work("f", { ours: "1", both: "ours" });
    await eventually(() => found("f"));
    const flip = (data: object) =>
      member.patch(
        ConfigMap,
        { namespace: "default", name: "f" },
        "application/merge-patch+json",
        { data },
        { fieldManager: "their-controller" },
      );
    for (let times = 0; times < 3; times++) {
      await flip({ both: "theirs" });
      await eventually(async () => (await found("f"))?.data?.["both"] === "ours");
    }
    await flip({ both: "theirs" });
    expect(await eventually(() => condition("f", "Contested"))).toMatchObject({
      status: "True",
      reason: "FieldFlips",
      message:
        'data.both of ConfigMap default/f is set to "theirs" by somebody and to "ours" by its template; it is left to the member',
    });
    // The rest is still looked after, and what was left stays left.
    await flip({ ours: "2" });
    await eventually(async () => (await found("f"))?.data?.["ours"] === "1");
    expect((await found("f"))?.data?.["both"]).toBe("theirs");
    expect((await condition("f", "Applied"))?.status).toBe("True");
    // A restart does not take the fight up again.
    await managers.pop()?.stop();
    const again = await start();
    await flip({ both: "mine" });
    await again.whenIdle();
    await eventually(async () => (await found("f"))?.data?.["both"] === "mine");
    await flip({ ours: "3" });
    await eventually(async () => (await found("f"))?.data?.["ours"] === "1");
    expect((await found("f"))?.data?.["both"]).toBe("mine");
    // A template that says something else is a new word.
    await retryOnConflict(async () =>
      plane.update(Work, {
        ...(await plane.get(Work, at("f"))),
        spec: { workload: { manifests: [manifest("f", { ours: "1", both: "new" })] } },
      } as unknown as Work),
    );
    await eventually(async () => (await found("f"))?.data?.["both"] === "new");
    await eventually(async () => (await condition("f", "Contested"))?.status === "False");
    await eventually(
      async () =>
        (await plane.get(Work, at("f"))).metadata.annotations?.["execution.flotilla.io/contested-fields"] === undefined,
    );
  });

  test("[DR-20] carries out a Work, follows its changes, and undoes what others do to its objects", async () => {
    await start();
    const created = await work("a", { a: "1", b: "2" });
    expect((await eventually(() => found("a"))).data).toEqual({ a: "1", b: "2" });
    expect(await eventually(() => condition("a", "Applied"))).toMatchObject({
      status: "True",
      reason: "AppliedSuccessful",
      message: "Manifest has been successfully applied",
    });
    await retryOnConflict(async () =>
      plane.update(Work, {
        ...(await plane.get(Work, at("a"))),
        spec: { ...created.spec, workload: { manifests: [manifest("a", { a: "1" })] } },
      } as unknown as Work),
    );
    await eventually(async () => JSON.stringify((await found("a"))?.data) === '{"a":"1"}');
    const object = await member.get(ConfigMap, { namespace: "default", name: "a" });
    await member.update(ConfigMap, { ...object, data: { ...object.data, theirs: "x" } });
    await eventually(async () => JSON.stringify((await found("a"))?.data) === '{"a":"1"}');
    await member.delete(ConfigMap, { namespace: "default", name: "a" });
    await eventually(() => found("a"));
  });

  test("writes nothing in the member when it starts anew", async () => {
    const first = await start();
    await work("a", { a: "1" });
    await eventually(async () => (await condition("a", "Applied"))?.status === "True");
    await first.whenIdle();
    await first.stop();
    const before = (await found("a"))?.metadata.resourceVersion;
    const again = await start();
    await again.whenIdle();
    expect((await found("a"))?.metadata.resourceVersion).toBe(before);
  });

  test("waits for a member's first list while that is slow, asks for no single object, writes nothing and lets others go on", async () => {
    const first = await start();
    const names = Array.from({ length: 12 }, (_, number) => `w${number}`);
    for (const name of names) await work(name, { a: "1" });
    for (const name of names) await eventually(async () => (await condition(name, "Applied"))?.status === "True");
    await first.whenIdle();
    await first.stop();
    const versions = async () =>
      [...(await plane.list(Work, { namespace: NAMESPACE })).items, ...(await member.list(ConfigMap)).items]
        .filter(({ metadata }) => names.includes(metadata.name ?? ""))
        .map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`);
    const before = await versions();
    const asked: string[] = [];
    let letGo = (): void => undefined;
    const isListed = new Promise<void>((resolve) => (letGo = resolve));
    let isAsked = false;
    const inner = toMember();
    const slow: Transport = {
      ...inner,
      list: async (request) => {
        isAsked = true;
        await isListed;
        return inner.list(request);
      },
      send: (request) => {
        asked.push(`${request.verb} ${request.resource}`);
        return inner.send(request);
      },
    };
    await join("m2");
    const time = new VirtualClock(Date.parse("2026-01-01T00:00:00Z"), settle);
    const passes = (look: () => boolean | Promise<boolean>) =>
      eventually(async () => {
        await time.advance(10);
        return look();
      });
    // Fewer workers than Works that wait.
    const again = await start({ concurrentWorkSyncs: 4 }, new Turns(), {
      clock: time,
      members: { m1: slow, m2: toMember() },
    });
    await passes(() => isAsked);
    await time.advance(5_000);
    await work("other", { a: "1" }, {}, "karmada-es-m2");
    await passes(async () => (await found("other")) !== undefined);
    letGo();
    await time.advance(1_000);
    await again.whenIdle();
    expect(asked).toEqual([]);
    expect(await versions()).toEqual(before);
    // The list is heard of: what differs is put right.
    await member.delete(ConfigMap, { namespace: "default", name: "w0" });
    await passes(async () => (await found("w0")) !== undefined);
  });

  test("asks for single objects where a member lets nobody list them, and says what is wrong where it does not answer", async () => {
    const inner = toMember();
    let answer: "refused" | "silent" = "refused";
    const closed: Transport = {
      ...inner,
      list: (request) =>
        answer === "refused"
          ? Promise.reject(forbidden({ group: "", resource: request.resource }, "", "may not list"))
          : new Promise(() => undefined),
      send: (request) => (answer === "refused" ? inner.send(request) : Promise.reject(new Error("connection reset"))),
    };
    const time = new VirtualClock(Date.parse("2026-01-01T00:00:00Z"), settle);
    const passes = (look: () => Promise<boolean>) =>
      eventually(async () => {
        await time.advance(1_000);
        return look();
      });
    const first = await start({}, new Turns(), { clock: time, members: { m1: closed } });
    await work("a", { a: "1" });
    await passes(async () => (await found("a")) !== undefined);
    await passes(async () => (await condition("a", "Applied"))?.status === "True");
    await first.stop();
    answer = "silent";
    await start({}, new Turns(), { clock: time, members: { m1: closed } });
    await passes(async () => (await condition("a", "Applied"))?.status === "False");
    expect((await condition("a", "Applied"))?.message).toContain("connection reset");
  });

  test("never calls an applied Work not applied because its member is busy; one that waits for long is told so", async () => {
    const isApplied = async (name: string) => (await condition(name, "Applied"))?.status;
    const names = (prefix: string) => Array.from({ length: 40 }, (_, number) => `${prefix}${number}`);
    const [old, fresh] = [names("old"), names("fresh")];
    const first = await start();
    await Promise.all(old.map((name) => work(name, { a: "1" })));
    for (const name of old) await eventually(async () => (await isApplied(name)) === "True");
    await first.whenIdle();
    await first.stop();
    const isWell = ({ type, status }: { readonly type: string; readonly status: string }) =>
      type === "Applied" && status === "True";
    const versions = async () =>
      (await plane.list(Work, { namespace: NAMESPACE })).items
        .filter(({ metadata }) => old.includes(metadata.name ?? ""))
        .map(({ metadata, status }) => [metadata.name, metadata.resourceVersion, status?.conditions?.some(isWell)]);
    const before = await versions();
    // It answers one request every three seconds, and is asked for more than it takes at once.
    const held: (() => void)[] = [];
    let isBusy = true;
    const inner = toMember();
    const busy: Transport = {
      ...inner,
      list: (request) => Promise.reject(forbidden({ group: "", resource: request.resource }, "", "may not list")),
      send: async (request) => {
        if (isBusy) await new Promise<void>((resolve) => held.push(resolve));
        return inner.send(request);
      },
    };
    const time = new VirtualClock(Date.parse("2026-01-01T00:00:00Z"), settle);
    const passes = (look: () => boolean | Promise<boolean>, stepMs = 1_000) =>
      eventually(async () => {
        await time.advance(stepMs);
        return look();
      });
    await start({ concurrentWorkSyncs: 100 }, new Turns(), { clock: time, members: { m1: busy } });
    try {
      await passes(() => held.length >= 32);
      await Promise.all(fresh.map((name) => work(name, { a: "1" })));
      const told = async () =>
        (await plane.list(Work, { namespace: NAMESPACE })).items.flatMap(({ metadata, status }) =>
          (status?.conditions ?? [])
            .filter(({ type, status: is }) => (type === "Applied" ? is === "False" : type === "SynchronizationDelayed"))
            .map(({ message }) => `${metadata.name}: ${message}`),
        );
      await passes(async () => {
        held.shift()?.();
        return (await told()).length > 0;
      }, 3_000);
      for (const line of await told())
        expect(line).toMatch(
          /^fresh\d+: .*(the member cluster is busy|answers of the member cluster take longer than)/,
        );
      expect(await versions()).toEqual(before);
    } finally {
      isBusy = false;
      for (const letGo of held.splice(0)) letGo();
    }
    for (const name of fresh) await passes(async () => (await isApplied(name)) === "True");
    expect(await versions()).toEqual(before);
  });

  test("an applied Work whose change its member turns away stays applied, says why once, and comes in by itself", async () => {
    const inner = toMember();
    let isThrottling = false;
    const strict: Transport = {
      ...inner,
      send: (request) =>
        isThrottling && (request.verb === "update" || request.verb === "create")
          ? Promise.reject(tooManyRequests("too many writes", 1))
          : inner.send(request),
    };
    const time = new VirtualClock(Date.parse("2026-01-01T00:00:00Z"), settle);
    const passes = (look: () => Promise<boolean>) =>
      eventually(async () => {
        await time.advance(1_000);
        return look();
      });
    await start({}, new Turns(), { clock: time, members: { m1: strict } });
    await work("a", { at: "1" });
    await passes(async () => (await condition("a", "Applied"))?.status === "True");
    const applied = await condition("a", "Applied");
    isThrottling = true;
    const change = async (text: string) =>
      retryOnConflict(async () => {
        const present = await plane.get(Work, at("a"));
        const spec = { ...present.spec, workload: { manifests: [manifest("a", { at: text })] } };
        await plane.update(Work, { ...present, spec } as unknown as Work);
      });
    await change("2");
    await passes(async () => (await condition("a", "SynchronizationDelayed"))?.status === "True");
    expect(await condition("a", "SynchronizationDelayed")).toMatchObject({
      reason: "MemberThrottles",
      message: "changes wait: the member cluster answers 429: too many writes",
    });
    expect(await condition("a", "Applied")).toEqual(applied);
    const { resourceVersion } = (await plane.get(Work, at("a"))).metadata;
    await time.advance(120_000);
    // Ten tries are over many times: nothing more is said.
    expect((await plane.get(Work, at("a"))).metadata.resourceVersion).toBe(resourceVersion);
    // One that never was applied is not, and says so with the cause.
    await work("b", { at: "1" });
    await passes(async () => (await condition("b", "Applied"))?.status === "False");
    expect((await condition("b", "Applied"))?.message).toContain("too many writes");
    expect(await condition("b", "SynchronizationDelayed")).toMatchObject({ status: "True", reason: "MemberThrottles" });
    isThrottling = false;
    for (const name of ["a", "b"]) {
      await passes(async () => (await condition(name, "SynchronizationDelayed"))?.status === "False");
      expect(await condition(name, "Applied")).toMatchObject({ status: "True" });
    }
    expect([(await found("a"))?.data, (await found("b"))?.data]).toEqual([{ at: "2" }, { at: "1" }]);
  });

  test("Works that stand aside at a very slow member say so once, and nothing more until they are carried out", async () => {
    const inner = toMember();
    const time = new VirtualClock(Date.parse("2026-01-01T00:00:00Z"), settle);
    let answerMs = 0;
    const slow: Transport = {
      ...inner,
      send: async (request) => {
        if (answerMs > 0) await sleep(time, answerMs);
        return inner.send(request);
      },
    };
    const passes = (look: () => Promise<boolean>) =>
      eventually(async () => {
        await time.advance(1_000);
        return look();
      }, 60_000);
    await start({}, new Turns(), { clock: time, members: { m1: slow } });
    await work("still", { at: "1" });
    await passes(async () => (await condition("still", "Applied"))?.status === "True");
    const still = (await plane.get(Work, at("still"))).metadata.resourceVersion;
    answerMs = 4_000;
    const names = Array.from({ length: 100 }, (_, number) => `w${number}`);
    const late = async () =>
      (await plane.list(Work, { namespace: NAMESPACE })).items.filter(({ status }) =>
        status?.conditions?.some(({ type, status: is }) => type === "SynchronizationDelayed" && is === "True"),
      );
    await Promise.all(names.map((name) => work(name, { at: "1" })));
    // All at once again and again: what is asked for exceeds what is answered, and the limit falls.
    await time.advance(59_000);
    expect(await late()).toEqual([]);
    await passes(async () => (await late()).length > 0);
    const [first] = await late();
    expect(first?.status?.conditions?.find(({ type }) => type === "SynchronizationDelayed")).toMatchObject({
      reason: "MemberSlow",
      message: "changes wait: answers of the member cluster take longer than 2 s",
    });
    const name = first?.metadata.name ?? "";
    await time.advance(30_000);
    const again = await plane.get(Work, at(name));
    if ((await condition(name, "Applied"))?.status !== "True")
      expect(again.metadata.resourceVersion).toBe(first?.metadata.resourceVersion);
    answerMs = 0;
    for (const each of names) await passes(async () => (await condition(each, "Applied"))?.status === "True");
    await passes(async () => (await late()).length === 0);
    expect((await plane.get(Work, at("still"))).metadata.resourceVersion).toBe(still);
  }, 120_000);

  test("leaves alone what is not ours and what another Work has taken over", async () => {
    await start();
    await member.create(ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "default", name: "theirs" },
      data: { own: "1" },
    } as ConfigMap);
    await work("theirs", { a: "1" });
    await eventually(async () =>
      (await condition("theirs", "Applied"))?.message?.includes(
        "Failed to apply all manifests (0/1): resource(kind=ConfigMap, default/theirs) already exists in the cluster m1",
      ),
    );
    await plane.delete(Work, at("theirs"));
    await eventually(async () => (await plane.find(Work, at("theirs"))) === undefined);
    expect((await found("theirs"))?.data).toEqual({ own: "1" });
  });

  test("[RN-20] a deleted Work takes its object along, or leaves it without our marks", async () => {
    await start();
    await work("gone", { a: "1" });
    await work("kept", { a: "1" }, { preserveResourcesOnDeletion: true });
    await eventually(
      async () =>
        (await condition("gone", "Applied"))?.status === "True" &&
        (await condition("kept", "Applied"))?.status === "True",
    );
    await plane.delete(Work, at("gone"));
    await plane.delete(Work, at("kept"));
    await eventually(async () => (await plane.list(Work)).items.length === 0);
    expect(await found("gone")).toBeUndefined();
    const kept = await found("kept");
    expect(kept?.data).toEqual({ a: "1" });
    expect([...Object.keys(kept?.metadata.labels ?? {}), ...Object.keys(kept?.metadata.annotations ?? {})]).toEqual([]);
  });

  test("cli 14.5: a Cluster that goes leaves what its member was given where it says so, and only while it goes", async () => {
    await start();
    for (const name of ["gone", "kept", "karmada-impersonator"]) await work(name, { a: "1" });
    for (const name of ["gone", "kept", "karmada-impersonator"])
      await eventually(async () => (await condition(name, "Applied"))?.status === "True");
    await plane.patch(Cluster, { name: "m1" }, "application/merge-patch+json", {
      metadata: { annotations: { "execution.flotilla.io/cascade": "orphan" }, finalizers: ["example.com/hold"] },
    });
    await plane.delete(Work, at("gone"));
    await eventually(async () => (await plane.find(Work, at("gone"))) === undefined);
    expect(await found("gone")).toBeUndefined();
    await plane.delete(Cluster, { name: "m1" });
    await plane.delete(Work, at("kept"));
    await plane.delete(Work, at("karmada-impersonator"));
    await eventually(async () => (await plane.list(Work)).items.length === 0);
    expect((await found("kept"))?.metadata.labels ?? {}).toEqual({});
    expect([(await found("kept"))?.data, await found("karmada-impersonator")]).toEqual([{ a: "1" }, undefined]);
  });

  test("holds a mass deletion until somebody releases it", async () => {
    const manager = await start({ massDeletionShare: 0.25, massDeletionFloor: 1 });
    const names = ["a", "b", "c", "d"];
    for (const name of names) await work(name, { a: "1" });
    for (const name of names) await eventually(async () => (await condition(name, "Applied"))?.status === "True");
    for (const name of names) await plane.delete(Work, at(name));
    await eventually(
      async () =>
        (await Promise.all(names.map((name) => condition(name, "DeletionHeld")))).filter(
          (held) => held?.status === "True",
        ).length === 3,
    );
    await manager.whenIdle();
    expect((await Promise.all(names.map(found))).filter(Boolean)).toHaveLength(3);
    await retryOnConflict(async () => {
      const cluster = await plane.get(Cluster, { name: "m1" });
      await plane.update(Cluster, {
        ...cluster,
        metadata: {
          ...cluster.metadata,
          annotations: { [RELEASE_DELETIONS]: new Date(clock.now() + 60_000).toISOString() },
        },
      } as Cluster);
    });
    await eventually(async () => (await Promise.all(names.map(found))).every((object) => object === undefined));
  });
});
