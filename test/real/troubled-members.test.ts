/** Real push members that are in trouble of their own: too busy to answer, and with a certificate that is not theirs. */
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { Deployment, Event, Namespace, Secret, ServiceAccount, ValidatingWebhookConfiguration } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, Work } from "#apis/karmada";
import { systemClock } from "#base";
import { type Client, createHttpTransport } from "#client";
import type { KubeObject, ResourceKind } from "#machinery";
import { type FaultyProxy, startFaultyProxy } from "#network";
import { aDeployment, aPropagationPolicy, eventually, kubectl } from "#testing";
import { describeReal, memberParts } from "./parts.ts";
import { type PushFleet, startPushFleet } from "./push-fleet.ts";

const flowcontrol = (kind: string, resource: string): ResourceKind<KubeObject> => ({
  group: "flowcontrol.apiserver.k8s.io",
  version: "v1",
  kind,
  resource,
  namespaced: false,
});
const PriorityLevel = flowcontrol("PriorityLevelConfiguration", "prioritylevelconfigurations");
const FlowSchema = flowcontrol("FlowSchema", "flowschemas");
const LIMIT_MS = 120_000;
const SPACE = "team-a";

describeReal("members in trouble", [...memberParts, "kubectl"], () => {
  let fleet: PushFleet;
  let plane: Client;
  const sockets = new Set<Socket>();
  /** Leads to a member from an address that its certificate does not name. */
  let detour: FaultyProxy;

  beforeAll(async () => {
    fleet = await startPushFleet({ members: ["east", "west"] });
    ({ plane } = fleet);
    const { hostname, port } = new URL(fleet.member("west").server);
    detour = await startFaultyProxy({
      host: "127.0.0.2",
      port: 0,
      to: { host: hostname, port: Number(port) },
      clock: systemClock,
    });
  });
  afterAll(async () => {
    await fleet?.stop();
    for (const socket of sockets) socket.destroy();
    await detour?.close();
  });

  /** A member's kubeconfig with what is changed of its cluster. */
  function changed(name: string, change: Readonly<Record<string, unknown>>): string {
    const own = parse(readFileSync(fleet.member(name).kubeconfig, "utf8")) as {
      clusters: { cluster: Record<string, unknown> }[];
    };
    const cluster = own.clusters[0]?.cluster as Record<string, unknown>;
    Object.assign(cluster, change);
    if (change["insecure-skip-tls-verify"] === true) delete cluster["certificate-authority-data"];
    const path = join(fleet.folder, `${name}-changed-${Object.keys(change).length}.kubeconfig`);
    writeFileSync(path, JSON.stringify(own), { mode: 0o600 });
    return path;
  }
  /** What is said of a cluster in events. */
  const said = async (name: string) =>
    (await plane.list(Event)).items
      .filter((event) => (event as KubeObject & { involvedObject?: { name?: string } }).involvedObject?.name === name)
      .map((event) => (event as { message?: string }).message ?? "")
      .join("\n");
  const condition = async (name: string, wanted: string) =>
    (await plane.get(Cluster, { name })).status?.conditions?.find(({ type }) => type === wanted);
  const copies = async (name: string) =>
    (await fleet.inMember(name).list(Deployment, { namespace: "default" })).items.length;
  const through = () => {
    const own = parse(readFileSync(fleet.admin, "utf8")) as { clusters: { cluster: { server: string } }[] };
    const cluster = own.clusters[0]?.cluster as { server: string };
    cluster.server += "/apis/cluster.karmada.io/v1alpha1/clusters/west/proxy";
    const path = join(fleet.folder, "west-through.kubeconfig");
    writeFileSync(path, JSON.stringify(own), { mode: 0o600 });
    return kubectl(path, ["get", "nodes", "-o", "name"]).catch((error: unknown) => String(error));
  };

  test("a wrong certificate is named by join, and with insecureSkipTLSVerification it keeps nobody: synchronisation, status and proxy; credentials lie where --cluster-namespace says", {
    timeout: 300_000,
  }, async () => {
    const server = `https://127.0.0.2:${detour.port}`;
    const joinBy = (kubeconfig: string) =>
      fleet.program.run(
        "join",
        "west",
        "--kubeconfig",
        fleet.admin,
        "--cluster-kubeconfig",
        kubeconfig,
        `--cluster-namespace=${SPACE}`,
      );
    const mismatch = /IP: 127\.0\.0\.2 is not in the cert's list/;
    const refused = await joinBy(changed("west", { server }));
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(mismatch)]);
    expect(await plane.find(Cluster, { name: "west" })).toBeUndefined();

    expect(await joinBy(changed("west", { server, "insecure-skip-tls-verify": true }))).toMatchObject({ code: 0 });
    await fleet.untilReady("west", "True");
    const { spec, status } = await plane.get(Cluster, { name: "west" });
    expect(spec).toMatchObject({
      apiEndpoint: server,
      insecureSkipTLSVerification: true,
      secretRef: { namespace: SPACE, name: "west" },
      impersonatorSecretRef: { namespace: SPACE, name: "west-impersonator" },
    });
    expect(status?.kubernetesVersion).toBe("v1.36.2");
    expect(await fleet.inMember("west").find(ServiceAccount, { namespace: SPACE, name: "karmada-west" })).toBeDefined();
    await plane.create(PropagationPolicy, aPropagationPolicy("all", {}));
    await plane.create(Deployment, aDeployment("web", 2));
    await eventually(
      async () => (await plane.get(Deployment, { namespace: "default", name: "web" })).status?.readyReplicas === 2,
      LIMIT_MS,
    );
    await eventually(async () => (await through()).includes("node/west-node-1"), LIMIT_MS);

    // Without the flag nothing gets through, and it is said why.
    const verify = (isOff: boolean) =>
      plane.patch(Cluster, { name: "west" }, "application/merge-patch+json", {
        spec: { insecureSkipTLSVerification: isOff },
      });
    await verify(false);
    expect(await fleet.untilReady("west", "False")).toMatchObject({ reason: "ClusterNotReachable" });
    await eventually(async () => mismatch.test(await said("west")), LIMIT_MS);
    expect(await through()).toMatch(mismatch);
    await verify(true);
    await fleet.untilReady("west", "True");
    await eventually(async () => (await through()).includes("node/west-node-1"), LIMIT_MS);
  });

  test("a member that answers 429 slows nobody else, says so in condition, event, measure and trace, and is served without a restart", {
    timeout: 300_000,
  }, async () => {
    expect(await fleet.join("east")).toMatchObject({ code: 0 });
    await fleet.untilReady("east", "True");
    await eventually(async () => (await copies("east")) === 1, LIMIT_MS);
    const east = fleet.inMember("east");
    // One seat for us, which is the least, and no queue: kube-apiserver's own fairness turns away what comes beside it.
    await east.create(PriorityLevel, {
      apiVersion: "flowcontrol.apiserver.k8s.io/v1",
      kind: "PriorityLevelConfiguration",
      metadata: { name: "one-seat" },
      spec: {
        type: "Limited",
        limited: {
          nominalConcurrencyShares: 0,
          lendablePercent: 0,
          borrowingLimitPercent: 0,
          limitResponse: { type: "Reject" },
        },
      },
    } as unknown as KubeObject);
    const account = { namespace: "karmada-cluster", name: "karmada-east" };
    await east.create(FlowSchema, {
      apiVersion: "flowcontrol.apiserver.k8s.io/v1",
      kind: "FlowSchema",
      metadata: { name: "one-seat" },
      spec: {
        priorityLevelConfiguration: { name: "one-seat" },
        matchingPrecedence: 2,
        rules: [
          {
            subjects: [{ kind: "ServiceAccount", serviceAccount: account }],
            resourceRules: [
              { verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true },
            ],
          },
        ],
      },
    } as unknown as KubeObject);
    const token = Buffer.from(
      (await plane.get(Secret, { namespace: "karmada-cluster", name: "east" })).data?.["token"] ?? "",
      "base64",
    ).toString();
    const asUs = createHttpTransport({ server: fleet.member("east").server, token, insecureSkipTlsVerify: true });
    // And that is taken: a webhook that never answers keeps a request, as slow admission does in production.
    const slow = createServer((socket) => void sockets.add(socket.on("error", () => undefined)));
    await new Promise<void>((resolve) => slow.listen(0, "127.0.0.1", resolve));
    await east.create(ValidatingWebhookConfiguration, {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingWebhookConfiguration",
      metadata: { name: "slow.example.com" },
      webhooks: [
        {
          name: "slow.example.com",
          admissionReviewVersions: ["v1"],
          sideEffects: "None",
          failurePolicy: "Fail",
          timeoutSeconds: 30,
          clientConfig: {
            url: `https://127.0.0.1:${(slow.address() as AddressInfo).port}/`,
            caBundle: Buffer.from(fleet.member("east").pki.authority.certificate).toString("base64"),
          },
          rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["configmaps"] }],
        },
      ],
    } as unknown as ValidatingWebhookConfiguration);
    const configMaps = "/api/v1/namespaces/default/configmaps";
    const body = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { generateName: "slow-" } });
    const headers = { "content-type": "application/json" };
    const held = new AbortController();
    const holding = (async () => {
      while (!held.signal.aborted) {
        await asUs.raw({ method: "POST", path: configMaps, headers, body, signal: held.signal }).catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    const letGo = async () => {
      held.abort();
      await holding;
      await asUs.close();
      slow.close();
    };
    onTestFinished(letGo);
    await eventually(async () => {
      expect((await asUs.raw({ method: "GET", path: configMaps })).status).toBe(429);
      return true;
    }, LIMIT_MS);

    for (let at = 0; at < 100; at++) await plane.create(Deployment, aDeployment(`many-${at}`, 1));
    await eventually(async () => (await copies("west")) === 101, LIMIT_MS);
    expect(await copies("east")).toBeLessThan(101);
    await eventually(async () => {
      expect(await condition("east", "SynchronizationDelayed")).toMatchObject({
        status: "True",
        reason: "MemberThrottles",
        message: expect.stringContaining("the member cluster answers 429"),
      });
      return true;
    }, LIMIT_MS);
    const late = "cluster(east) is synchronized late: changes wait: the member cluster answers 429";
    await eventually(async () => (await said("east")).includes(late), LIMIT_MS);
    expect(await condition("east", "Ready")).toMatchObject({ status: "True" });
    expect(await condition("west", "SynchronizationDelayed")).toBeUndefined();
    const measures = await kubectl(fleet.admin, ["get", "--raw", "/metrics"]);
    const measured = (state: string) =>
      Number(
        new RegExp(`^flotilla_member_requests\\{member_cluster="east",state="${state}"\\} (\\d+)$`, "m").exec(
          measures,
        )?.[1],
      );
    expect(measured("limit")).toBeLessThan(32);
    expect(measured("aside")).toBeGreaterThan(0);
    const { stdout } = await fleet.program.run("trace", "deployment/many-99", "--kubeconfig", fleet.admin);
    expect(stdout).toMatch(/east: (not applied yet, changes wait|.*429|.*Too many requests)/i);
    // Another one is served as ever meanwhile.
    await plane.create(Deployment, aDeployment("late", 1));
    await eventually(
      async () => (await fleet.inMember("west").find(Deployment, { namespace: "default", name: "late" })) !== undefined,
      LIMIT_MS,
    );

    await letGo();
    await east.delete(ValidatingWebhookConfiguration, { name: "slow.example.com" });
    await east.delete(FlowSchema, { name: "one-seat" });
    await east.delete(PriorityLevel, { name: "one-seat" });
    await eventually(async () => (await copies("east")) === 102, LIMIT_MS);
    await eventually(async () => (await condition("east", "SynchronizationDelayed"))?.status === "False", LIMIT_MS);
    const works = (await plane.list(Work, { namespace: "karmada-es-east" })).items;
    await eventually(
      async () =>
        (await plane.list(Work, { namespace: "karmada-es-east" })).items.every(({ status }) =>
          status?.conditions?.some(({ type, status: is }) => type === "Applied" && is === "True"),
        ),
      LIMIT_MS,
    );
    expect(works.length).toBeGreaterThan(100);
    expect(fleet.server.isRunning()).toBe(true);
  });

  test("unjoin finds the credentials where the cluster says they lie", { timeout: 300_000 }, async () => {
    const west = fleet.inMember("west");
    expect(
      await fleet.program.run(
        "unjoin",
        "west",
        "--kubeconfig",
        fleet.admin,
        "--cluster-kubeconfig",
        fleet.member("west").kubeconfig,
        "--cascade=orphan",
        "--wait=120s",
      ),
    ).toMatchObject({ code: 0, stderr: "" });
    expect(await plane.find(Cluster, { name: "west" })).toBeUndefined();
    await eventually(async () => (await west.find(Namespace, { name: SPACE })) === undefined, LIMIT_MS);
    await eventually(async () => (await plane.list(Secret, { namespace: SPACE })).items.length === 0, LIMIT_MS);
    const left = await west.get(Deployment, { namespace: "default", name: "web" });
    expect(Object.keys(left.metadata.labels ?? {}).filter((key) => key.includes("karmada.io"))).toEqual([]);
  });
});
