/**
 * Failover on real clusters, in real time with short thresholds: API servers that are killed, stopped and cut off, an agent
 * and a leader that are killed, and everything that moves because of it. Three clusters with nodes in push mode, each behind a
 * network that can be broken, and an API server alone in pull mode.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CustomResourceDefinition, Deployment } from "#apis/kubernetes";
import {
  Cluster,
  ClusterTaintPolicy,
  type GracefulEvictionTask,
  OverridePolicy,
  PropagationPolicy,
  ResourceBinding,
} from "#apis/karmada";
import { systemClock } from "#base";
import { writeKubeconfig } from "#certs";
import { type Client, retryOnConflict } from "#client";
import { freePort, type RealApiServer, type RealMember, startRealApiServer, startRealMember } from "#lab";
import { getPath, type KubeObject, type ResourceKind } from "#machinery";
import { type FaultyProxy, startFaultyProxy } from "#network";
import {
  aDeployment,
  aFlinkJob,
  aPropagationPolicy,
  eventually,
  FLINK_JOB_LABEL,
  flinkDefinition,
  FlinkDeployment,
  flinkPolicy,
  flinkStatus,
  kubeconfigClients,
} from "#testing";
import { bundleProgram, type Program, type Running } from "../program.ts";
import { describeReal, memberParts } from "./parts.ts";

const PUSH = ["north", "south", "east"];
const at = (name: string) => ({ namespace: "default", name });
/** The first of these clusters that can take it, in this order. */
const inOrder = (...names: string[]) => ({
  clusterAffinities: names.map((name) => ({ affinityName: name, clusterNames: [name] })),
  replicaScheduling: { replicaSchedulingType: "Duplicated" },
});

describeReal("failover on real Kubernetes", memberParts, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-failover-"));
  const admin = join(folder, "plane", "admin.kubeconfig");
  const members = new Map<string, RealMember>();
  const ways = new Map<string, FaultyProxy>();
  const { connect, close: closeClients } = kubeconfigClients();
  let west: RealApiServer;
  let program: Program;
  let server: Running;
  let agent: Running;
  let plane: Client;

  const serverWords = [
    "server",
    `--data-dir=${join(folder, "plane")}`,
    "--feature-gates=Failover=true,StatefulFailoverInjection=true",
    "--enable-no-execute-taint-eviction=true",
    "--allow-no-execute-taint-policy=true",
    "--cluster-status-update-frequency=500ms",
    "--cluster-failure-threshold=1s",
    "--cluster-success-threshold=1s",
    // As short as a busy machine allows: one is never answered.
    "--cluster-api-timeout=12s",
    "--cluster-monitor-period=500ms",
    "--cluster-monitor-grace-period=3s",
    "--graceful-eviction-timeout=60s",
    "--eviction-brake-settle-time=3s",
  ];
  let port = 0;
  const startServer = async () => {
    // The same one each time: the agent looks for it there.
    if (port === 0) port = await freePort();
    server = await program.start([...serverWords, `--secure-port=${port}`], /control plane is ready/);
    plane = connect(admin);
  };
  const startAgent = async () => {
    agent = await program.start(
      [
        "agent",
        "--cluster-name=west",
        `--karmada-kubeconfig=${admin}`,
        `--kubeconfig=${west.kubeconfig}`,
        "--leader-elect=false",
        // Nobody fills in tokens in a cluster without controllers.
        "--report-secrets=None",
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
        "--cluster-status-update-frequency=500ms",
        "--cluster-success-threshold=1s",
        "--cluster-lease-duration=2s",
      ],
      /the agent looks after its member/,
    );
  };
  const member = (name: string) => members.get(name) as RealMember;
  const way = (name: string) => ways.get(name) as FaultyProxy;
  const inside = new Map<string, Client>();
  const inMember = (name: string) => inside.get(name) as Client;
  const cluster = (name: string) => plane.get(Cluster, { name });
  const condition = async (name: string, type = "Ready") =>
    (await cluster(name)).status?.conditions?.find((found) => found.type === type);
  const untilReady = (name: string, status: string, limitMs = 90_000) =>
    eventually(async () => (await condition(name))?.status === status, limitMs);
  const untilUntainted = (name: string) =>
    eventually(async () => ((await cluster(name)).spec?.taints ?? []).length === 0, 60_000);
  const copy = (name: string, workload: string) => inMember(name).find(Deployment, at(workload));
  const binding = (workload: string) => plane.get(ResourceBinding, at(`${workload}-deployment`));
  const targets = async (workload: string) =>
    ((await binding(workload)).spec.clusters ?? []).map(({ name }) => name).join();
  const tasks = async (workload: string) => (await binding(workload)).spec.gracefulEvictionTasks ?? [];
  const untilIn = (name: string, workload: string, limitMs = 90_000) =>
    eventually(async () => (await copy(name, workload))?.status?.readyReplicas === 2, limitMs);
  const untilGone = (name: string, workload: string) =>
    eventually(async () => (await copy(name, workload)) === undefined, 90_000);
  /** Makes a workload of two replicas, and waits until it runs in its first cluster and says so. */
  async function deploy(workload: string, placement: object, more: object = {}): Promise<string> {
    const made = aDeployment(workload, 2);
    const labels = { workload };
    await plane.create(
      PropagationPolicy,
      aPropagationPolicy(workload, placement, "default", {
        resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name: workload }],
        ...more,
      }),
    );
    await plane.create(Deployment, {
      ...made,
      spec: {
        ...made.spec,
        selector: { matchLabels: labels },
        template: { ...made.spec?.template, metadata: { labels } },
      },
    } as Deployment);
    return eventually(async () => {
      const { spec, status } = await binding(workload);
      const [first] = spec.clusters ?? [];
      const isHealthy = status?.aggregatedStatus?.some(
        ({ clusterName, health }) => clusterName === first?.name && health === "Healthy",
      );
      return isHealthy ? first?.name : undefined;
    }, 60_000);
  }
  const evict = (workload: string, task: Partial<GracefulEvictionTask> & { readonly fromCluster: string }) =>
    retryOnConflict(async () => {
      const present = await binding(workload);
      await plane.update(ResourceBinding, {
        ...present,
        spec: {
          ...present.spec,
          clusters: (present.spec.clusters ?? []).filter(({ name }) => name !== task.fromCluster),
          gracefulEvictionTasks: [
            { reason: "Maintenance", producer: "somebody", ...task } as unknown as GracefulEvictionTask,
          ],
        },
      });
    });

  beforeAll(async () => {
    program = await bundleProgram();
    await Promise.all([
      startServer(),
      ...PUSH.map(async (name) => {
        const real = await startRealMember({ name, folder: join(folder, name), isUnsafe: true });
        members.set(name, real);
        inside.set(name, connect(real.kubeconfig));
        ways.set(
          name,
          await startFaultyProxy({
            host: "127.0.0.1",
            port: 0,
            to: { host: "127.0.0.1", port: real.port },
            clock: systemClock,
          }),
        );
      }),
      startRealApiServer({ name: "west", folder: join(folder, "west"), isUnsafe: true }).then((real) => {
        west = real;
        inside.set("west", connect(real.kubeconfig));
      }),
    ]);
  });

  afterAll(async () => {
    await closeClients();
    await program?.close();
    await Promise.all([...ways.values()].map((one) => one.close()));
    await Promise.all([...members.values(), west].map((real) => real?.stop()));
    rmSync(folder, { recursive: true, force: true });
  });

  test("three clusters join through networks that can break, one is registered by its agent; outages become NoExecute taints", async () => {
    for (const name of PUSH) {
      const { pki } = member(name);
      const through = join(folder, `${name}-through.kubeconfig`);
      const address = `https://127.0.0.1:${way(name).port}`;
      writeKubeconfig(through, name, address, pki.authority.certificate, pki.admin);
      expect(await program.run("join", name, "--kubeconfig", admin, "--cluster-kubeconfig", through)).toMatchObject({
        code: 0,
        stdout: `cluster(${name}) is joined successfully\n`,
      });
    }
    await startAgent();
    for (const name of [...PUSH, "west"]) await untilReady(name, "True");
    for (const name of [...PUSH, "west"]) await untilUntainted(name);
    await plane.create(ClusterTaintPolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "ClusterTaintPolicy",
      metadata: { name: "outage" },
      spec: {
        addOnConditions: [{ conditionType: "Ready", operator: "In", statusValues: ["False", "Unknown"] }],
        removeOnConditions: [{ conditionType: "Ready", operator: "In", statusValues: ["True"] }],
        taints: [{ key: "example.com/outage", effect: "NoExecute" }],
      },
    } as unknown as ClusterTaintPolicy);
  });

  test("[GF-1] [GF-36] S1 §20.2: an API server is killed: its workload moves, and what it kept goes when it is back", async () => {
    expect(await deploy("killed", inOrder("south", "north"))).toBe("south");
    const { uid } = (await copy("south", "killed"))?.metadata ?? {};
    await member("south").process().kill();
    await untilIn("north", "killed");
    expect(await condition("south")).toMatchObject({ status: "False", reason: "ClusterNotReachable" });
    await eventually(async () => (await tasks("killed")).length === 0, 60_000);
    await member("south").restart();
    await untilGone("south", "killed");
    await untilReady("south", "True");
    await untilUntainted("south");
    expect(await targets("killed")).toBe("north");
    expect(uid).toBeDefined();
  });

  test("S15 TM-4: a network that is cut for less than is tolerated moves nothing", async () => {
    const clusterTolerations = [
      { key: "example.com/outage", operator: "Exists", effect: "NoExecute", tolerationSeconds: 3_600 },
    ];
    expect(await deploy("patient", { ...inOrder("south", "north"), clusterTolerations })).toBe("south");
    const before = await copy("south", "patient");
    way("south").setFaults({ isDown: true });
    await untilReady("south", "False");
    way("south").setFaults({ isDown: false });
    await untilReady("south", "True");
    await untilUntainted("south");
    expect(await targets("patient")).toBe("south");
    expect((await copy("south", "patient"))?.metadata.uid).toBe(before?.metadata.uid);
    expect(await tasks("patient")).toEqual([]);
  });

  test("[RN-4] a network that is cut for longer: the workload moves, and comes back by itself once home has been well", async () => {
    expect(await deploy("homesick", inOrder("south", "north"))).toBe("south");
    await plane.patch(PropagationPolicy, at("homesick"), "application/merge-patch+json", {
      metadata: { annotations: { "failover.flotilla.io/fail-back-after": "2s" } },
    });
    way("south").setFaults({ isDown: true });
    await untilIn("north", "homesick");
    await eventually(async () => (await tasks("homesick")).length === 0, 60_000);
    way("south").setFaults({ isDown: false });
    await untilIn("south", "homesick");
    await untilGone("north", "homesick");
    expect(await targets("homesick")).toBe("south");
  });

  test("GE-1 the leader is killed in mid-eviction: the old copy stays, the task keeps its time, and the next leader ends it", async () => {
    expect(await deploy("orphaned", inOrder("south", "north"))).toBe("south");
    // The new copy cannot start, so that the eviction is under way for as long as wanted.
    await plane.create(OverridePolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "OverridePolicy",
      metadata: at("hold-orphaned"),
      spec: {
        resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name: "orphaned" }],
        overrideRules: [
          {
            targetCluster: { clusterNames: ["north"] },
            overriders: {
              plaintext: [{ path: "/spec/template/spec/nodeSelector", operator: "add", value: { "no-such": "node" } }],
            },
          },
        ],
      },
    } as unknown as OverridePolicy);
    await evict("orphaned", { fromCluster: "south", purgeMode: "Gracefully", gracePeriodSeconds: 3_600 });
    await eventually(async () => (await copy("north", "orphaned")) !== undefined, 60_000);
    const [before] = await eventually(async () => {
      const found = await tasks("orphaned");
      return found[0]?.creationTimestamp === undefined ? undefined : found;
    });
    await server.end("SIGKILL");
    await startServer();
    await untilReady("south", "True");
    expect(await tasks("orphaned")).toEqual([before]);
    expect((await copy("south", "orphaned"))?.status?.readyReplicas).toBe(2);
    await plane.delete(OverridePolicy, at("hold-orphaned"));
    await untilGone("south", "orphaned");
    expect((await copy("north", "orphaned"))?.status?.readyReplicas).toBe(2);
  });

  // A probe that is never answered takes its whole time, and one alone is not believed yet: this one ends with the file.
  test("an API server is stopped and accepts without answering: the others are served as ever", async () => {
    expect(await deploy("stopped", inOrder("east", "north"))).toBe("east");
    member("east").process().signal("SIGSTOP");
    expect(await deploy("beside", inOrder("north"))).toBe("north");
  });

  test("§7 purge modes: Never leaves the old copy to a person, Directly takes it away before the new one is made", async () => {
    for (const name of ["kept", "moved"]) expect(await deploy(name, inOrder("south", "north"))).toBe("south");
    await evict("kept", { fromCluster: "south", purgeMode: "Never", suppressDeletion: true });
    await untilIn("north", "kept");
    expect((await copy("south", "kept"))?.status?.readyReplicas).toBe(2);
    await retryOnConflict(async () => {
      const present = await binding("kept");
      const [task] = present.spec.gracefulEvictionTasks as [GracefulEvictionTask];
      await plane.update(ResourceBinding, {
        ...present,
        spec: { ...present.spec, gracefulEvictionTasks: [{ ...task, suppressDeletion: false }] },
      });
    });
    await untilGone("south", "kept");

    const seen: string[] = [];
    const stops = ["south", "north"].map((name) =>
      inMember(name).watch(
        Deployment,
        { namespace: "default", fieldSelector: "metadata.name=moved" },
        {
          event: (type) => seen.push(`${type} ${name}`),
          closed() {},
        },
      ),
    );
    await evict("moved", { fromCluster: "south", purgeMode: "Directly" });
    await untilIn("north", "moved");
    for (const { stop } of stops) stop();
    expect(seen.indexOf("DELETED south")).toBeGreaterThanOrEqual(0);
    expect(seen.indexOf("DELETED south")).toBeLessThan(seen.indexOf("ADDED north"));
  });

  test("E3 FO-9 D-2 an outage carries state: the new copy is made with what the old one last reported, and the old one goes when its cluster is back", async () => {
    const rules = [{ aliasLabelName: "carried-ready", jsonPath: "{.readyReplicas}" }];
    expect(
      await deploy("carrier", inOrder("south", "north"), {
        failover: { cluster: { purgeMode: "Directly", statePreservation: { rules } } },
      }),
    ).toBe("south");
    await eventually(async () =>
      (await binding("carrier")).status?.aggregatedStatus?.some(
        (item) => getPath(item, "status", "readyReplicas") === 2,
      ),
    );
    const made: (string | undefined)[] = [];
    const { stop } = inMember("north").watch(
      Deployment,
      { namespace: "default", fieldSelector: "metadata.name=carrier" },
      {
        event: (type, object) => {
          if (type === "ADDED") made.push(object.metadata.labels?.["carried-ready"]);
        },
        closed() {},
      },
    );
    way("south").setFaults({ isDown: true });
    await untilIn("north", "carrier");
    stop();
    expect(made).toEqual(["2"]);
    // The label is for the start; it goes with the task, once the new copy is well.
    await eventually(async () => (await tasks("carrier")).length === 0, 90_000);
    await eventually(
      async () => (await copy("north", "carrier"))?.metadata.labels?.["carried-ready"] === undefined,
      60_000,
    );
    expect((await copy("south", "carrier"))?.status?.readyReplicas).toBe(2);
    way("south").setFaults({ isDown: false });
    await untilGone("south", "carrier");
    await untilReady("south", "True");
    await untilUntainted("south");
  });

  test("[GF-2] E25 drain empties a cluster gracefully, and says what stays", async () => {
    expect(await deploy("drained", inOrder("south", "north"))).toBe("south");
    expect(await deploy("pinned", inOrder("south"))).toBe("south");
    // It comes home from the last outage by itself, and cannot go back to where its old copy is still being removed.
    await eventually(
      async () => (await targets("homesick")) === "south" && (await tasks("homesick")).length === 0,
      60_000,
    );
    let least = Number.POSITIVE_INFINITY;
    let isOver = false;
    const count = async () => {
      while (!isOver) {
        const ready = async (name: string) => (await copy(name, "drained"))?.status?.readyReplicas ?? 0;
        least = Math.min(least, (await ready("south")) + (await ready("north")));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const counting = count();
    const drained = await program.run("drain", "cluster", "south", "--kubeconfig", admin);
    isOver = true;
    await counting;
    expect(drained.stderr.match(/^.* stays/gm)).toEqual(["Deployment default/pinned stays"]);
    expect(drained.stdout).toMatch(/^cluster\/south drained of \d+ workloads; 1 workload stays\n$/);
    expect(least).toBeGreaterThanOrEqual(2);
    expect(await targets("drained")).toBe("north");
    await untilGone("south", "drained");
    const keys = async () => (await cluster("south")).spec?.taints?.map(({ key, effect }) => `${key}:${effect}`) ?? [];
    expect(await keys()).toEqual(["cluster.karmada.io/unschedulable:NoSchedule"]);
    expect((await program.run("uncordon", "south", "--kubeconfig", admin)).code).toBe(0);
    expect(await keys()).toEqual([]);
  });

  test("[RN-6] [RN-12] [RN-13] S16: a Flink job that fails goes on from its checkpoint elsewhere: a MutatingAdmissionPolicy of the member reads its id from the creation request", async () => {
    const definition = flinkDefinition();
    const policies: ResourceKind = {
      group: "admissionregistration.k8s.io",
      version: "v1",
      kind: "MutatingAdmissionPolicy",
      resource: "mutatingadmissionpolicies",
      namespaced: false,
    };
    await plane.create(CustomResourceDefinition, definition);
    for (const name of ["north", "south"]) {
      await inMember(name).create(CustomResourceDefinition, definition);
      await inMember(name).create(policies, {
        apiVersion: "admissionregistration.k8s.io/v1",
        kind: "MutatingAdmissionPolicy",
        metadata: { name: "start-from-checkpoint" },
        spec: {
          failurePolicy: "Fail",
          reinvocationPolicy: "Never",
          matchConstraints: {
            resourceRules: [
              {
                apiGroups: [FlinkDeployment.group],
                apiVersions: [FlinkDeployment.version],
                operations: ["CREATE"],
                resources: [FlinkDeployment.resource],
              },
            ],
          },
          matchConditions: [
            {
              name: "carries-a-job",
              expression: `has(object.metadata.labels) && '${FLINK_JOB_LABEL}' in object.metadata.labels`,
            },
          ],
          mutations: [
            {
              patchType: "ApplyConfiguration",
              applyConfiguration: {
                expression: `Object{spec: Object.spec{job: Object.spec.job{initialSavepointPath: '/shared/' + object.metadata.namespace + '/' + object.metadata.labels['${FLINK_JOB_LABEL}'] + '/checkpoints/chk-42'}}}`,
              },
            },
          ],
        },
      } as unknown as KubeObject);
      await inMember(name).create(
        { ...policies, kind: `${policies.kind}Binding`, resource: "mutatingadmissionpolicybindings" },
        {
          apiVersion: "admissionregistration.k8s.io/v1",
          kind: "MutatingAdmissionPolicyBinding",
          metadata: { name: "start-from-checkpoint" },
          spec: { policyName: "start-from-checkpoint" },
        } as unknown as KubeObject,
      );
    }
    await eventually(
      async () =>
        (
          await Promise.all(
            ["north", "south"].map(async (name) =>
              (
                await cluster(name)
              ).status?.apiEnablements?.some(({ groupVersion }) => groupVersion === "flink.apache.org/v1beta1"),
            ),
          )
        ).every(Boolean),
      60_000,
    );
    await plane.create(
      PropagationPolicy,
      aPropagationPolicy("flink", inOrder("south", "north"), "default", flinkPolicy(2, "Directly")),
    );
    await plane.create(FlinkDeployment, aFlinkJob("stream"));
    const job = (name: string) => inMember(name).find(FlinkDeployment, at("stream"));
    await eventually(async () => (await job("south")) !== undefined, 60_000);
    const report = (state: string) =>
      retryOnConflict(async () => {
        const object = (await job("south")) as KubeObject;
        const status = flinkStatus("a3f8c1d2e4", state);
        await inMember("south").updateStatus(FlinkDeployment, { ...object, status } as KubeObject);
      });
    await report("RUNNING");
    await eventually(
      async () =>
        (await plane.get(ResourceBinding, at("stream-flinkdeployment"))).status?.aggregatedStatus?.[0]?.health ===
        "Healthy",
      60_000,
    );
    expect(getPath((await job("south")) as KubeObject, "spec", "job", "initialSavepointPath")).toBeUndefined();
    await report("CREATED");
    const moved = await eventually(() => job("north"), 60_000);
    expect(moved.metadata.labels?.[FLINK_JOB_LABEL]).toBe("a3f8c1d2e4");
    expect(getPath(moved, "spec", "job", "initialSavepointPath")).toBe("/shared/default/a3f8c1d2e4/checkpoints/chk-42");
    expect(await job("south")).toBeUndefined();
  });

  test("[GF-16] [GF-19] S5 §20.3: an agent is killed: its cluster is Unknown, the workload moves, and the old copy goes when an agent is back", async () => {
    await plane.create(
      PropagationPolicy,
      aPropagationPolicy("watched", inOrder("west", "north"), "default", {
        resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name: "watched" }],
      }),
    );
    await plane.create(Deployment, { ...aDeployment("watched", 2) });
    await eventually(async () => (await copy("west", "watched")) !== undefined, 60_000);
    await agent.end("SIGKILL");
    await untilReady("west", "Unknown");
    await eventually(
      async () => (await cluster("west")).spec?.taints?.some(({ key }) => key === "cluster.karmada.io/unreachable"),
      60_000,
    );
    await untilIn("north", "watched");
    expect(await copy("west", "watched")).toBeDefined();
    await startAgent();
    await untilReady("west", "True");
    await untilGone("west", "watched");
    expect(await targets("watched")).toBe("north");
  });

  test("[GF-1] §20.1 the API server that was stopped is found out, its workload moved, and its old copy removed when it wakes", async () => {
    await untilReady("east", "False", 150_000);
    expect((await condition("east"))?.reason).toBe("ClusterNotReachable");
    await untilIn("north", "stopped");
    member("east").process().signal("SIGCONT");
    await untilGone("east", "stopped");
    await untilReady("east", "True");
    await untilUntainted("east");
    expect(await targets("stopped")).toBe("north");
  });

  test("all members gone at once hold every eviction, say so, and go on as if nothing had been when they are back", async () => {
    const before = await targets("pinned");
    await agent.end("SIGKILL");
    await untilReady("west", "Unknown");
    for (const name of PUSH) way(name).setFaults({ isDown: true });
    await eventually(async () => (await condition("south", "EvictionHeld"))?.status === "True", 60_000);
    const held = await program.run("release", "evictions", "--kubeconfig", admin);
    expect(held.stdout).toMatch(/south\s+\S+\s+4 of 4 clusters fail at once/);
    expect(await tasks("pinned")).toEqual([]);
    for (const name of PUSH) way(name).setFaults({ isDown: false });
    await startAgent();
    for (const name of [...PUSH, "west"]) await untilReady(name, "True");
    for (const name of [...PUSH, "west"]) await untilUntainted(name);
    await eventually(async () => (await condition("south", "EvictionHeld"))?.status === "False", 60_000);
    expect([await targets("pinned"), await tasks("pinned")]).toEqual([before, []]);
    expect((await copy("south", "pinned"))?.status?.readyReplicas).toBe(2);
  });
});
