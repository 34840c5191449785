/** Estimators, descheduler and schedulers as programs of their own beside a control plane, over gRPC and leases. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { ResourceBinding } from "#apis/karmada";
import { Deployment, Event, Lease, Node, PriorityClass, Secret, Service } from "#apis/kubernetes";
import { seededRandom, silentLogger, silentMetrics, systemClock } from "#base";
import { parseKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, createHttpTransport } from "#client";
import { deschedulerFlags, estimatorFlags, type FlagTable, readFlags, schedulerFlags } from "#config";
import { type Fleet, type Program, startDescheduler, startEstimator, startScheduler } from "#controlplane";
import { type EstimatorServer, startEstimatorServer } from "#estimator";
import type { KubeObject } from "#machinery";
import { accountToken, eventually, startTestFleet } from "#testing";
import { bindingOf, place, placed, sumOf } from "./placing.ts";

let fleet: Fleet;
let client: Client;
let port: number;
let hanging: EstimatorServer;
const programs: Program[] = [];

const quiet = ["--metrics-bind-address=0", "--health-probe-bind-address=0"];
const parts = {
  clock: systemClock,
  random: seededRandom(7),
  log: silentLogger,
  metrics: silentMetrics,
  metricsText: () => Promise.resolve(""),
};
const config = <T extends FlagTable>(table: T, ...words: readonly string[]) => readFlags(table, [...words, ...quiet]);

/** The Service that tells where a cluster's estimator is, as upstream's deployments outside the host cluster have it. */
const announce = (cluster: string, targetPort: number) =>
  client.create(Service, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "karmada-system", name: `est-${cluster}` },
    spec: { type: "ExternalName", externalName: "127.0.0.1", ports: [{ name: "grpc", port: 9443, targetPort }] },
  } as Service);

beforeAll(async () => {
  // The server's own scheduler must leave these bindings alone; a third member has no estimator at all.
  fleet = await startTestFleet();
  client = createClient(fleet.controlPlane.transport);
  const estimator = await startEstimator({
    ...parts,
    config: config(estimatorFlags, "--cluster-name=member1", "--server-port=0", "--bind-address=127.0.0.1"),
    transport: (fleet.members.get("member1") as NonNullable<ReturnType<Fleet["members"]["get"]>>).transport,
  });
  programs.push(estimator);
  port = estimator.port;
  const never = () => new Promise<number>(() => undefined);
  hanging = await startEstimatorServer({
    cluster: "member2",
    estimator: { maxReplicas: never, maxSets: never, unschedulableReplicas: never },
    log: silentLogger,
    host: "127.0.0.1",
    port: 0,
  });
  await announce("member1", port);
  await announce("member2", hanging.port);
  const estimatorWords = [
    "--scheduler-estimator-port=9443",
    "--scheduler-estimator-service-prefix=est",
    "--scheduler-estimator-timeout=300ms",
  ];
  programs.push(
    await startScheduler({
      ...parts,
      config: config(
        schedulerFlags,
        "--scheduler-name=accurate",
        "--enable-scheduler-estimator",
        "--leader-elect-resource-name=accurate",
        // The general estimator then answers from sums, which are easily wrong.
        "--feature-gates=CustomizedClusterResourceModeling=false",
        ...estimatorWords,
      ),
      transport: fleet.controlPlane.transport,
    }),
    await startDescheduler({
      ...parts,
      config: config(
        deschedulerFlags,
        "--descheduling-interval=300ms",
        "--unschedulable-threshold=100ms",
        ...estimatorWords,
      ),
      transport: fleet.controlPlane.transport,
    }),
  );
});
afterAll(async () => {
  await Promise.all(programs.map((program) => program.stop()));
  await hanging.stop();
  await fleet.stop();
});

describe("scheduling programs", () => {
  it("[O-2] several schedulers by name; estimators found by Service and asked over gRPC, one that hangs degrades only its own cluster", async () => {
    // Three nodes of 8 cpu hold three of 5 cpu; the sums say four. member1 knows better, member2 hangs, member3 has none.
    await place(client, {
      name: "accurate",
      replicas: 11,
      clusters: ["member1", "member2", "member3"],
      cpu: "5",
      policy: { schedulerName: "accurate" },
    });
    const replicas = await placed(client, "accurate", (found) => sumOf(found) > 0);
    expect(replicas).toEqual({ member1: 3, member2: 4, member3: 4 });
    // Its lease, and none of the other scheduler's.
    const leases = (await client.list(Lease, { namespace: "karmada-system" })).items.map(
      ({ metadata }) => metadata.name,
    );
    expect(leases).toEqual(expect.arrayContaining(["accurate", "karmada-descheduler"]));
    expect(leases).not.toContain("karmada-scheduler");
  });

  it("[O-2] tells the server what it decides, for explain to say", async () => {
    const path = "/apis/work.karmada.io/v1alpha2/namespaces/default/resourcebindings/accurate-deployment/decision";
    const { transport } = fleet.controlPlane;
    const answerTo = async (method: string, body?: object) => {
      const answer = await transport.raw({
        method,
        path,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return JSON.parse(Buffer.from(answer.body).toString("utf8"));
    };
    const told = await eventually(async () => {
      const answer = await answerTo("GET");
      return answer.source === "kept" ? answer : undefined;
    });
    expect(told).toMatchObject({ scheduler: "accurate", decision: { result: expect.anything() } });
    // What only that scheduler could know: its own estimators, and its gates.
    const [{ candidates }] = told.decision.terms;
    const estimates = Object.fromEntries(
      candidates.map((one: { cluster: string; estimates: object }) => [one.cluster, one.estimates]),
    );
    expect(estimates).toEqual({
      member1: { "general-estimator": 4, "scheduler-estimator": 3 },
      member2: { "general-estimator": 4, "scheduler-estimator": -1 },
      member3: { "general-estimator": 4, "scheduler-estimator": -1 },
    });
    expect((await answerTo("PUT", { decision: { ...told.decision, terms: 7 } })).message).toContain(
      "decision.terms: must be a list of objects",
    );
    expect(
      (await answerTo("PUT", { decision: { ...told.decision, binding: "ResourceBinding/default/x" } })).message,
    ).toContain("decision.binding: must be");
  });

  it("[O-2] takes waiting bindings by the priority of their policies' classes", async () => {
    const order: string[] = [];
    const classes = { low: -10, none: 0, high: 1_000 };
    for (const [name, value] of Object.entries(classes))
      await client.create(PriorityClass, {
        apiVersion: "scheduling.k8s.io/v1",
        kind: "PriorityClass",
        metadata: { name: `of-${name}` },
        value,
      } as PriorityClass);
    const names = ["low", "none", "high"].flatMap((name) => [`${name}-1`, `${name}-2`]);
    for (const name of names)
      await place(client, {
        name,
        replicas: 1,
        clusters: ["member2"],
        cpu: "10m",
        policy: {
          schedulerName: "orderly",
          schedulePriority: { priorityClassSource: "KubePriorityClass", priorityClassName: `of-${name.split("-")[0]}` },
        },
      });
    await eventually(async () => {
      const found = await Promise.all(names.map((name) => bindingOf(client, name)));
      return found.every((binding) => binding !== undefined);
    });
    fleet.controlPlane.manager.informers.of(ResourceBinding).handle({
      update({ metadata, spec }) {
        const name = (metadata.name ?? "").replace("-deployment", "");
        if (names.includes(name) && (spec.clusters ?? []).length > 0 && !order.includes(name)) order.push(name);
      },
    });
    // They wait for a scheduler that comes only now.
    programs.push(
      await startScheduler({
        ...parts,
        config: config(schedulerFlags, "--scheduler-name=orderly", "--leader-elect-resource-name=orderly"),
        transport: fleet.controlPlane.transport,
      }),
    );
    await eventually(() => order.length === names.length);
    expect(order.map((name) => name.split("-")[0])).toEqual(["high", "high", "none", "none", "low", "low"]);
  });

  it("a scheduler with the rights of install/kustomize/scheduler, and no others, decides, tells why, and asks estimators", async () => {
    const objects = parseAllDocuments(
      readFileSync(new URL("../../install/kustomize/scheduler/rbac.yaml", import.meta.url), "utf8"),
    ).map((document) => document.toJS() as KubeObject);
    for (const object of objects) {
      const { namespace, name = "" } = object.metadata;
      await client.transport.send({
        verb: "create",
        group: object.kind === "ServiceAccount" ? "" : "rbac.authorization.k8s.io",
        version: "v1",
        resource: `${object.kind.toLowerCase()}s`,
        ...(namespace === undefined ? {} : { namespace }),
        name,
        body: object,
      });
    }
    const token = await accountToken(client.transport, {
      namespace: "karmada-system",
      name: "flotilla-scheduler",
    });
    const admin = resolveContext(parseKubeconfig(fleet.kubeconfigs.get("flotilla") ?? ""));
    const refused: string[] = [];
    const transport = createHttpTransport({
      server: admin.server,
      certificateAuthority: admin.certificateAuthority ?? "",
      token,
      measure: (method, _host, code) => void (code === "403" && refused.push(method)),
    });
    await place(client, {
      name: "with-rights",
      replicas: 2,
      clusters: ["member1"],
      cpu: "10m",
      policy: { schedulerName: "limited" },
    });
    const program = await startScheduler({
      ...parts,
      config: config(
        schedulerFlags,
        "--scheduler-name=limited",
        "--leader-elect-resource-name=limited",
        "--enable-scheduler-estimator",
        "--scheduler-estimator-port=9443",
        "--scheduler-estimator-service-prefix=est",
      ),
      transport,
    });
    try {
      expect(await placed(client, "with-rights", (found) => sumOf(found) === 2)).toEqual({ member1: 2 });
      const path = "/apis/work.karmada.io/v1alpha2/namespaces/default/resourcebindings/with-rights-deployment/decision";
      await eventually(async () => {
        const { body } = await client.transport.raw({ method: "GET", path });
        expect(JSON.parse(Buffer.from(body).toString())).toMatchObject({ source: "kept" });
        return true;
      });
      await eventually(async () =>
        (await client.list(Event, { namespace: "default" })).items.some(
          ({ involvedObject, reason }) =>
            involvedObject?.name === "with-rights-deployment" && reason === "ScheduleBindingSucceed",
        ),
      );
      expect(refused).toEqual([]);
      await expect(createClient(transport).list(Secret, { namespace: "karmada-cluster" })).rejects.toMatchObject({
        code: 403,
      });
    } finally {
      await program.stop();
      await transport.close();
    }
  });

  it("[O-2] the descheduler takes replicas that found no node away, and the scheduler places them elsewhere", async () => {
    const member = createClient(
      (fleet.members.get("member1") as { transport: Fleet["controlPlane"]["transport"] }).transport,
    );
    await place(client, {
      name: "stuck",
      replicas: 4,
      clusters: ["member1", "member3"],
      cpu: "1",
      policy: { schedulerName: "default-scheduler" },
    });
    await placed(client, "stuck", (found) => sumOf(found) === 4);
    // All nodes of member1 are cordoned, and pods that run there are asked for more than runs: they find no node.
    for (const node of (await member.list(Node)).items)
      await member.patch(Node, { name: node.metadata.name ?? "" }, "application/merge-patch+json", {
        spec: { unschedulable: true },
      });
    const before = await placed(client, "stuck", (found) => (found["member1"] ?? 0) > 0);
    await client.patch(Deployment, { namespace: "default", name: "stuck" }, "application/merge-patch+json", {
      spec: { replicas: 8 },
    });
    const after = await placed(client, "stuck", (found) => sumOf(found) === 8 && (found["member3"] ?? 0) > 4);
    expect(after["member1"] ?? 0).toBeLessThanOrEqual((before["member1"] ?? 0) + 4);
  });
});
