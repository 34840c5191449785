import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { aggregatedDefinitions } from "#aggregated-apiserver";
import {
  type AnyBinding,
  Cluster,
  ClusterResourceBinding,
  karmadaCustomResourceDefinitions,
  type Placement,
  ResourceBinding,
  type ResourceBindingSpec,
} from "#apis/karmada";
import type { RunningApiServer } from "#apiserver";
import { deepEqual, seededRandom, silentLogger, systemClock, VirtualClock } from "#base";
import { Event } from "#apis/kubernetes";
import { createManager, type Manager } from "#controller-runtime";
import { createEstimatorPool } from "#estimator";
import type { KubeObject, Transport } from "#machinery";
import { settle, startTestApiServer } from "#testing";
import {
  assembleScheduler,
  createDecisionLog,
  definePlugin,
  type PlaceNew,
  type SchedulerDeps,
  schedulerController,
} from "./index.ts";

const GATES = ["PriorityBasedScheduling", "CustomizedClusterResourceModeling"];
const AGGREGATED: Placement = {
  replicaScheduling: { replicaSchedulingType: "Divided", replicaDivisionPreference: "Aggregated" },
};

let clock: VirtualClock;
let api: RunningApiServer;
let manager: Manager;
const decisions = createDecisionLog();

async function start(deps: Partial<SchedulerDeps> = {}, options = {}, transport = api.transport()): Promise<void> {
  manager = createManager({
    transport,
    clock,
    random: seededRandom(1),
    log: silentLogger,
    component: "karmada-scheduler",
  });
  manager.add(schedulerController, { deps: { gates: new Set(GATES), decisions, ...deps }, options });
  manager.informers.start();
  await manager.start();
  await settle();
}

beforeEach(async () => {
  clock = new VirtualClock(Date.parse("2026-01-01T00:00:00Z"), settle);
  const shared = { clock, random: seededRandom(7), log: silentLogger };
  api = await startTestApiServer({
    ...shared,
    customResourceDefinitions: karmadaCustomResourceDefinitions(),
    aggregated: aggregatedDefinitions(clock),
    namespaces: ["default"],
  });
});
afterEach(async () => {
  await manager.stop();
  api.stop();
});

/** Takes no status with anything else, and refuses the first one of a binding. */
function withoutFirstStatus(): Transport {
  const transport = api.transport();
  let isRefused = false;
  return {
    ...transport,
    send(request) {
      if (request.verb !== "patch" || request.resource !== "resourcebindings") return transport.send(request);
      if (request.subresource === "status" && !isRefused) {
        isRefused = true;
        return Promise.reject(new Error("not now"));
      }
      const { statusPatch: _left, ...options } = request.options ?? {};
      return transport.send({ ...request, options });
    },
  };
}

async function addCluster(name: string, pods = "100", spec: Partial<Cluster["spec"]> = {}): Promise<void> {
  const cluster: Cluster = {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name },
    spec: { syncMode: "Push", resourceModels: [], ...spec },
  };
  await manager.client.create(Cluster, cluster);
  await setPods(name, pods);
}

async function setPods(name: string, pods: string, allocated = "0"): Promise<void> {
  const status = {
    apiEnablements: [{ groupVersion: "apps/v1", resources: [{ kind: "Deployment", name: "deployments" }] }],
    resourceSummary: { allocatable: { pods }, allocated: { pods: allocated } },
  };
  await manager.client.patch(Cluster, { name }, "application/merge-patch+json", { status }, { subresource: "status" });
  await settle();
}

const aBinding = (name: string, spec: Partial<ResourceBindingSpec> = {}): ResourceBinding => ({
  apiVersion: "work.karmada.io/v1alpha2",
  kind: "ResourceBinding",
  metadata: { name, namespace: "default", labels: { "binding.karmada.io/managed-by": "test" } },
  spec: {
    resource: { apiVersion: "apps/v1", kind: "Deployment", name, namespace: "default" },
    placement: AGGREGATED,
    replicas: 4,
    replicaRequirements: {},
    ...spec,
  },
});

async function addBinding(name: string, spec: Partial<ResourceBindingSpec> = {}): Promise<void> {
  await manager.client.create(ResourceBinding, aBinding(name, spec));
}

const read = (name: string) => manager.client.get(ResourceBinding, { namespace: "default", name });
const conditionOf = (binding: AnyBinding) => binding.status?.conditions?.find(({ type }) => type === "Scheduled");
const eventsAbout = async (kind: string) =>
  (await manager.client.list(Event, { namespace: "default" })).items.filter(
    ({ involvedObject }) => involvedObject.kind === kind,
  );

describe("the running scheduler", () => {
  it("writes targets, annotation, condition and events on binding and resource", async () => {
    await start();
    await addCluster("m1");
    await addBinding("web");
    const made = await read("web");
    await settle();
    const binding = await read("web");
    expect(Number(binding.metadata.resourceVersion) - Number(made.metadata.resourceVersion), "one write").toBe(1);
    expect(binding.spec.clusters).toEqual([{ name: "m1", replicas: 4 }]);
    expect(JSON.parse(binding.metadata.annotations?.["policy.karmada.io/applied-placement"] ?? "")).toEqual(AGGREGATED);
    expect(conditionOf(binding)).toMatchObject({
      status: "True",
      reason: "Success",
      message: "Binding has been scheduled successfully.",
    });
    expect(binding.status?.schedulerObservedGeneration).toBe(binding.metadata.generation);
    expect(binding.status?.lastScheduledTime).toBe("2026-01-01T00:00:00Z");
    await manager.events.flush();
    for (const kind of ["ResourceBinding", "Deployment"]) {
      const [event] = await eventsAbout(kind);
      expect(event).toMatchObject({
        type: "Normal",
        reason: "ScheduleBindingSucceed",
        message: "Binding has been scheduled successfully. Result: {m1:4}",
        source: { component: "default-scheduler" },
      });
    }
  });

  describe("for a binding that is about to be created", () => {
    let place: PlaceNew;
    const startPlacing = (deps: Partial<SchedulerDeps> = {}, transport?: Transport) =>
      start({ placesNew: (given) => void (place = given), ...deps }, {}, transport);

    it.each([
      ["in the same write", true],
      ["right after, where the API server takes no status with it", false],
    ])("gives the targets, with the status %s", async (_when, takesStatus) => {
      await startPlacing();
      await addCluster("m1");
      const placed = place(aBinding("web"));
      if (placed === undefined) throw new Error("it is left to the queue");
      const before = manager.processed;
      const options = takesStatus ? { statusPatch: placed.statusPatch } : {};
      const created = await manager.client.create(ResourceBinding, placed.binding as ResourceBinding, options);
      expect(created.spec.clusters).toEqual([{ name: "m1", replicas: 4 }]);
      await placed.created(created);
      await settle();
      expect(manager.processed, "passes that follow").toBe(before);
      const binding = await read("web");
      expect(Number(binding.metadata.resourceVersion) - Number(created.metadata.resourceVersion)).toBe(
        takesStatus ? 0 : 1,
      );
      expect(conditionOf(binding)).toMatchObject({ status: "True", reason: "Success" });
      expect(binding.status).toMatchObject({
        schedulerObservedGeneration: 1,
        lastScheduledTime: "2026-01-01T00:00:00Z",
      });
      expect(decisions.get("ResourceBinding/default/web")).toMatchObject({
        generation: 1,
        result: [{ name: "m1", replicas: 4 }],
      });
      await manager.events.flush();
      for (const kind of ["ResourceBinding", "Deployment"])
        expect(await eventsAbout(kind)).toMatchObject([{ reason: "ScheduleBindingSucceed" }]);
      // What changes it later is the queue's again.
      await manager.client.patch(
        ResourceBinding,
        { namespace: "default", name: "web" },
        "application/merge-patch+json",
        { spec: { replicas: 6 } },
      );
      await settle();
      expect((await read("web")).spec.clusters).toEqual([{ name: "m1", replicas: 6 }]);
    });

    it("says it later when the status could not be written right after", async () => {
      await startPlacing({}, withoutFirstStatus());
      await addCluster("m1");
      const placed = place(aBinding("web"));
      await placed?.created(await manager.client.create(ResourceBinding, placed.binding as ResourceBinding));
      await settle();
      const { status } = await read("web");
      expect(status).toMatchObject({ schedulerObservedGeneration: 1, lastScheduledTime: "2026-01-01T00:00:00Z" });
      expect(conditionOf(await read("web"))).toMatchObject({ status: "True", reason: "Success" });
    });

    it("says nothing of what the queue has to decide", async () => {
      await startPlacing();
      await addCluster("m1", "6");
      expect(place(aBinding("theirs", { schedulerName: "other" }))).toBeUndefined();
      expect(place(aBinding("later", { suspension: { scheduling: true } }))).toBeUndefined();
      expect(place(aBinding("too-big", { replicas: 7 }))).toBeUndefined();
      expect(place(aBinding("nowhere", { placement: { clusterAffinity: { clusterNames: ["m2"] } } }))).toBeUndefined();
      expect(place(aBinding("fits"))).toBeDefined();
    });

    it("says nothing while what decisions depend on may still change by others that wait", async () => {
      await startPlacing({ gates: new Set([...GATES, "WorkloadAffinity"]) });
      await addCluster("m1");
      expect(place(aBinding("web"))).toBeUndefined();
    });

    it("looks at the binding that has the name when it was not created", async () => {
      await startPlacing();
      await addCluster("m1");
      const placed = place(aBinding("web"));
      await manager.client.create(ResourceBinding, placed?.binding as ResourceBinding);
      await settle();
      expect((await read("web")).status).toBeUndefined();
      placed?.failed();
      await settle();
      expect((await read("web")).status).toMatchObject({ schedulerObservedGeneration: 1 });
    });
  });

  it("says in the next pass what could not be written in the status, with the time at which it was decided", async () => {
    await start({}, {}, withoutFirstStatus());
    await addCluster("m1");
    await addBinding("web");
    await settle();
    expect((await read("web")).spec.clusters).toEqual([{ name: "m1", replicas: 4 }]);
    expect((await read("web")).status).toBeUndefined();
    await clock.advance(60_000);
    const { status } = await read("web");
    expect(status).toMatchObject({ schedulerObservedGeneration: 2, lastScheduledTime: "2026-01-01T00:00:00Z" });
    expect(conditionOf(await read("web"))).toMatchObject({ status: "True", reason: "Success" });
    await manager.events.flush();
    expect(await eventsAbout("ResourceBinding")).toMatchObject([{ reason: "ScheduleBindingSucceed", count: 1 }]);
  });

  it("leaves other schedulers' and suspended bindings alone, and takes a resumed one up at once", async () => {
    await start();
    await addCluster("m1");
    await addBinding("theirs", { schedulerName: "other" });
    await addBinding("later", { suspension: { scheduling: true } });
    await settle();
    expect((await read("theirs")).spec.clusters).toBeUndefined();
    expect((await read("later")).spec.clusters).toBeUndefined();
    await manager.client.patch(
      ResourceBinding,
      { namespace: "default", name: "later" },
      "application/merge-patch+json",
      { spec: { suspension: null } },
    );
    await settle();
    expect((await read("later")).spec.clusters).toEqual([{ name: "m1", replicas: 4 }]);
  });

  it("decides nothing on a heartbeat that changes nothing relevant, and nothing on its own status writes", async () => {
    await start();
    await addCluster("m1");
    await addBinding("web");
    await settle();
    const before = manager.processed;
    await setPods("m1", "100", "17");
    await manager.client.patch(
      Cluster,
      { name: "m1" },
      "application/merge-patch+json",
      { status: { kubernetesVersion: "v1.36.0" } },
      { subresource: "status" },
    );
    await settle();
    expect(manager.processed).toBe(before);
  });

  it("parks a binding that lacks room, and takes it up when room appears", async () => {
    await start();
    await addCluster("m1", "2");
    await addBinding("web");
    await settle();
    expect(conditionOf(await read("web"))).toMatchObject({
      reason: "Unschedulable",
      message:
        "failed to assign replicas: failed to scale up: Clusters available replicas 2 are not enough to schedule.",
    });
    const before = manager.processed;
    await setPods("m1", "2", "1");
    expect(manager.processed).toBe(before);
    await setPods("m1", "50");
    await clock.advance(10_000);
    expect((await read("web")).spec.clusters).toEqual([{ name: "m1", replicas: 4 }]);
  });

  it("SC-7: tries an unschedulable binding again after five minutes without any event", async () => {
    await start();
    await addCluster("m1", "2");
    await addBinding("web");
    await settle();
    const before = manager.processed;
    await clock.advance(299_000);
    expect(manager.processed).toBe(before);
    await clock.advance(31_000);
    expect(manager.processed).toBe(before + 1);
  });

  it("spaces failures by 1, 2, 4, 8 and 10 seconds from the last insertion", async () => {
    await start();
    await addCluster("m1");
    await addBinding("web", {
      placement: { spreadConstraints: [{ spreadByField: "cluster", minGroups: 3, maxGroups: 3 }] },
    });
    await settle();
    const counts: number[] = [];
    let before = manager.processed;
    for (const seconds of [1, 2, 4, 8, 10, 10]) {
      await clock.advance(seconds * 1000);
      counts.push(manager.processed - before);
      before = manager.processed;
    }
    expect(counts).toEqual([1, 1, 1, 1, 1, 1]);
    expect(conditionOf(await read("web"))?.reason).toBe("SchedulerError");
  });

  it("takes waiting bindings by priority", async () => {
    const order: string[] = [];
    const spy = definePlugin({
      name: "Spy",
      filter: (input) => void order.push(input.spec.resource.name) as undefined,
    });
    await start({ extraPlugins: [spy] }, { concurrentWrites: 1 });
    await addCluster("m1");
    for (const [name, priority] of [
      ["low", 1],
      ["high", 9],
      ["middle", 5],
    ] as const)
      await addBinding(name, { schedulePriority: { priority }, schedulerName: "other" });
    await settle();
    // Handing all of them over in one turn puts them into the queue together.
    await Promise.all(
      ["low", "high", "middle"].map((name) =>
        manager.client.patch(ResourceBinding, { namespace: "default", name }, "application/merge-patch+json", {
          spec: { schedulerName: "default-scheduler" },
        }),
      ),
    );
    await settle();
    expect([...new Set(order)]).toEqual(["high", "middle", "low"]);
  });

  it("[DR-4] moves a workload off a cluster whose labels no longer match, for bindings of that class only", async () => {
    await start();
    await addCluster("m1");
    await addCluster("m2");
    await manager.client.patch(Cluster, { name: "m1" }, "application/merge-patch+json", {
      metadata: { labels: { tier: "a" } },
    });
    const placement: Placement = { clusterAffinity: { labelSelector: { matchLabels: { tier: "a" } } } };
    await addBinding("a", { placement });
    await addBinding("b", { placement: { clusterAffinity: { clusterNames: ["m2"] } } });
    await settle();
    expect((await read("a")).spec.clusters).toEqual([{ name: "m1", replicas: 4 }]);
    const before = (await read("b")).metadata.resourceVersion;
    await clock.advance(2_000);
    await manager.client.patch(Cluster, { name: "m2" }, "application/merge-patch+json", {
      metadata: { labels: { tier: "a" } },
    });
    await settle();
    await manager.client.patch(Cluster, { name: "m1" }, "application/merge-patch+json", { metadata: { labels: null } });
    await settle();
    expect((await read("a")).spec.clusters).toEqual([{ name: "m2", replicas: 4 }]);
    expect(before).toBeDefined();
  });

  it("gives a condition with the cause for a plugin that throws or answers nonsense, and goes on", async () => {
    const bad = definePlugin({
      name: "Bad",
      filter({ spec }) {
        if (spec.resource.name === "throws") throw new Error("out of order");
        return (spec.resource.name === "nonsense" ? 42 : undefined) as string | undefined;
      },
    });
    await start({ extraPlugins: [bad] });
    await addCluster("m1");
    for (const name of ["throws", "nonsense", "fine"]) await addBinding(name);
    await settle();
    expect(conditionOf(await read("throws"))).toMatchObject({
      reason: "SchedulerError",
      message: 'plugin "Bad" failed: out of order',
    });
    expect(conditionOf(await read("nonsense"))?.message).toContain('plugin "Bad" must answer a reason or nothing');
    expect((await read("fine")).spec.clusters).toEqual([{ name: "m1", replicas: 4 }]);
  });

  it("asks accurate estimators, degrades only the cluster whose estimator fails, and remembers why", async () => {
    const estimatorPool = createEstimatorPool({ clock, log: silentLogger });
    const answer = (maxReplicas: () => number) => ({
      maxReplicas: async () => maxReplicas(),
      maxSets: () => -1,
      unschedulableReplicas: () => -1,
    });
    estimatorPool.set(
      "m1",
      answer(() => 1),
    );
    estimatorPool.set(
      "m2",
      answer(() => {
        throw new Error("gone");
      }),
    );
    await start({ estimatorPool });
    await addCluster("m1");
    await addCluster("m2", "3");
    await addBinding("web");
    await settle();
    expect((await read("web")).spec.clusters).toEqual([
      { name: "m1", replicas: 1 },
      { name: "m2", replicas: 3 },
    ]);
    const term = decisions.get("ResourceBinding/default/web")?.terms[0];
    expect(term?.candidates.find(({ cluster }) => cluster === "m1")).toMatchObject({
      estimates: { "general-estimator": 100, "scheduler-estimator": 1 },
      allocatable: 1,
    });
    expect(term?.divisions).toMatchObject([{ mode: "scale-up", replicas: 4 }]);
  });

  it("keeps two workloads apart though neither result has come back yet", async () => {
    await start({ gates: new Set([...GATES, "WorkloadAffinity"]) });
    await addCluster("m1");
    await addCluster("m2");
    const spread: Placement = { spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }] };
    await Promise.all(
      ["a", "b"].map((name) =>
        addBinding(name, {
          placement: spread,
          workloadAffinityGroups: { antiAffinityGroup: "app=db" },
          resource: { apiVersion: "apps/v1", kind: "Deployment", name, namespace: "default" },
        }),
      ),
    );
    await settle();
    const targets = await Promise.all(
      ["a", "b"].map(async (name) => (await read(name)).spec.clusters?.map((target) => target.name)),
    );
    expect(targets.flat().sort()).toEqual(["m1", "m2"]);
  });

  it("[DR-47] leaves a binding that no policy claims as it is when a matching cluster joins, unless unclaimed ones are to follow", async () => {
    await start();
    await addCluster("m1");
    await addBinding("web", { placement: {} });
    await settle();
    await manager.client.patch(ResourceBinding, { namespace: "default", name: "web" }, "application/merge-patch+json", {
      metadata: { labels: null },
    });
    await addCluster("m2");
    const label = (value: string) =>
      manager.client.patch(Cluster, { name: "m2" }, "application/merge-patch+json", {
        metadata: { labels: { a: value } },
      });
    await label("1");
    await settle();
    expect((await read("web")).spec.clusters).toEqual([{ name: "m1", replicas: 4 }]);
    await manager.stop();
    await start({}, { unclaimedBindings: "follow" });
    await label("2");
    await settle();
    expect((await read("web")).spec.clusters?.map(({ name }) => name)).toEqual(["m1", "m2"]);
  });

  it("D-22: rebalances even when it is asked to in the second of the last schedule, and once only", async () => {
    await start();
    await addCluster("m1");
    const placement: Placement = {
      replicaScheduling: {
        replicaSchedulingType: "Divided",
        replicaDivisionPreference: "Weighted",
        weightPreference: { dynamicWeight: "AvailableReplicas" },
      },
    };
    await addBinding("web", { placement });
    await settle();
    await addCluster("m2");
    expect((await read("web")).spec.clusters).toEqual([{ name: "m1", replicas: 4 }]);
    const rescheduleTriggeredAt = (await read("web")).status?.lastScheduledTime ?? "";
    await manager.client.patch(ResourceBinding, { namespace: "default", name: "web" }, "application/merge-patch+json", {
      spec: { rescheduleTriggeredAt },
    });
    await settle();
    expect((await read("web")).spec.clusters).toEqual([
      { name: "m1", replicas: 2 },
      { name: "m2", replicas: 2 },
    ]);
    const { resourceVersion } = (await read("web")).metadata;
    await clock.advance(60_000);
    expect((await read("web")).metadata.resourceVersion).toBe(resourceVersion);
  });

  it("schedules cluster-scoped bindings, and says the result in their own words", async () => {
    await start();
    await addCluster("m1");
    const status = {
      apiEnablements: [
        { groupVersion: "rbac.authorization.k8s.io/v1", resources: [{ kind: "ClusterRole", name: "clusterroles" }] },
      ],
    };
    await manager.client.patch(
      Cluster,
      { name: "m1" },
      "application/merge-patch+json",
      { status },
      { subresource: "status" },
    );
    const binding: ClusterResourceBinding = {
      apiVersion: "work.karmada.io/v1alpha2",
      kind: "ClusterResourceBinding",
      metadata: { name: "role", labels: { "binding.karmada.io/managed-by": "test" } },
      spec: {
        resource: { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", name: "role" },
        placement: {},
      },
    };
    await manager.client.create(ClusterResourceBinding, binding as KubeObject as ClusterResourceBinding);
    await settle();
    const { spec } = await manager.client.get(ClusterResourceBinding, { name: "role" });
    expect(deepEqual(spec.clusters, [{ name: "m1" }])).toBe(true);
    await manager.events.flush();
    expect((await eventsAbout("ClusterResourceBinding"))[0]?.message).toBe(
      "Binding has been scheduled successfully. Result {m1:0}",
    );
  });

  it("[O-5a] decides with a user's plugin, gives its failures as conditions, and goes on after it hung", async () => {
    const source = `export default {
      apiVersion: "flotilla.io/scheduler-plugin/v1",
      name: "Mine",
      filter({ binding, cluster }) {
        if (binding.metadata.name === "throws") throw new Error("no idea");
        while (binding.metadata.name === "hangs");
        return cluster.metadata.name === "m1" ? "not on m1" : undefined;
      },
    };`;
    const url = `data:text/javascript,${encodeURIComponent(source)}`;
    const assembled = await assembleScheduler({
      gates: new Set(GATES),
      clock: systemClock,
      log: silentLogger,
      pluginUrls: [url],
    });
    await start(assembled.deps);
    await addCluster("m1");
    await addCluster("m2");
    const conditions = async (name: string) => {
      await addBinding(name);
      for (let turn = 0; turn < 400; turn++) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        const binding = await read(name);
        if (conditionOf(binding) !== undefined) return binding;
      }
      throw new Error(`${name} was never decided`);
    };
    expect((await conditions("fine")).spec.clusters).toEqual([{ name: "m2", replicas: 4 }]);
    expect(conditionOf(await conditions("throws"))?.message).toBe('plugin "Mine" failed: no idea');
    expect(conditionOf(await conditions("hangs"))?.message).toBe(
      'plugin "Mine" failed: it did not answer within 1000 ms',
    );
    expect((await conditions("after")).spec.clusters).toEqual([{ name: "m2", replicas: 4 }]);
    assembled.stop();
    await expect(
      assembleScheduler({ gates: new Set(), clock: systemClock, log: silentLogger, pluginUrls: [url, url] }),
    ).rejects.toThrow('two scheduler plugins are named "Mine"');
  });
});
