/** Real clusters as push members: joined, given workloads, broken in every way that production knows, and let go. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { ClusterRole, ClusterRoleBinding, Deployment, Namespace, Secret, ServiceAccount } from "#apis/kubernetes";
import { Cluster, OverridePolicy, PropagationPolicy, Work } from "#apis/karmada";
import { writeKubeconfig } from "#certs";
import type { Client } from "#client";
import {
  aDeployment,
  aPropagationPolicy,
  eventually,
  kubeconfigClients,
  kubectl,
  type RunningKubectl,
  startConnectProxy,
  startKubectl,
} from "#testing";
import { describeReal, memberParts } from "./parts.ts";
import { provisioned, putProvisioned, serveClusterApi } from "../cluster-api.ts";
import { type PushFleet, startPushFleet } from "./push-fleet.ts";

describeReal("push members on real Kubernetes", [...memberParts, "kubectl"], () => {
  let fleet: PushFleet;
  let plane: Client;

  const member = (name: string) => fleet.member(name);
  const inMember = (name: string) => fleet.inMember(name);
  const untilReady = (name: string, status: string, limitMs?: number) => fleet.untilReady(name, status, limitMs);
  const replicasIn = async (name: string) =>
    (await inMember(name).find(Deployment, { namespace: "default", name: "nginx" }))?.spec?.replicas;

  /** What pods of members show as their log, and what forwarded ports lead to. */
  const scratch = mkdtempSync(join(tmpdir(), "flotilla-push-"));
  const logsFile = join(scratch, "log");
  const said = (second: number, text: string) =>
    `2026-01-01T00:00:${String(second).padStart(2, "0")}Z stdout F ${text}\n`;
  const web = createServer((request, response) => void response.end(`${request.method} ${request.url}`));

  beforeAll(async () => {
    writeFileSync(logsFile, said(0, "first words"));
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
    fleet = await startPushFleet({
      members: ["north", "south"],
      streams: { logsFile, port: (web.address() as AddressInfo).port },
      // A kind that comes later is looked for every half minute, which the tests without real clusters wait for.
      async prepare(members) {
        const { connect, close } = kubeconfigClients();
        await serveClusterApi(connect(members.get("north")?.kubeconfig ?? ""));
        await close();
      },
      flags: (members) => [`--cluster-api-kubeconfig=${members.get("north")?.kubeconfig}`],
    });
    ({ plane } = fleet);
  });

  afterAll(async () => {
    await fleet?.stop();
    web.closeAllConnections();
    web.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** A kubeconfig that reaches a member through the control plane: its administrator's, or that of an account there. */
  function through(name: string, token?: string): string {
    const own = parse(readFileSync(fleet.admin, "utf8")) as {
      clusters: { cluster: { server: string } }[];
      users: { user: object }[];
    };
    const cluster = own.clusters[0]?.cluster as { server: string };
    cluster.server += `/apis/cluster.karmada.io/v1alpha1/clusters/${name}/proxy`;
    if (token !== undefined) (own.users[0] as { user: object }).user = { token };
    const path = join(scratch, `${name}-${token === undefined ? "admin" : "account"}.kubeconfig`);
    writeFileSync(path, JSON.stringify(own), { mode: 0o600 });
    return path;
  }

  test("[DR-3] [DR-36] join makes them members and their status tells what they are", async () => {
    for (const name of ["north", "south"])
      expect(await fleet.join(name, `--cluster-region=${name}`, "--cluster-provider=lab")).toMatchObject({
        code: 0,
        stdout: `cluster(${name}) is joined successfully\n`,
      });
    await untilReady("north", "True");
    await untilReady("south", "True");
    const north = await eventually(async () => {
      const cluster = await plane.get(Cluster, { name: "north" });
      return cluster.status?.resourceSummary === undefined ? undefined : cluster;
    });
    const system = await inMember("north").get(Namespace, { name: "kube-system" });
    expect(north.spec).toMatchObject({
      syncMode: "Push",
      id: system.metadata.uid,
      apiEndpoint: member("north").server,
      region: "north",
      provider: "lab",
    });
    expect(north.status).toMatchObject({
      kubernetesVersion: "v1.36.2",
      nodeSummary: { totalNum: 2, readyNum: 2 },
      resourceSummary: { allocatable: { cpu: "64", pods: "220" } },
    });
    expect(north.status?.apiEnablements?.map(({ groupVersion }) => groupVersion)).toContain("apps/v1");
  });

  test("[DR-26] a Deployment runs in both, overridden in one, and its status comes back", async () => {
    await plane.create(
      PropagationPolicy,
      aPropagationPolicy("nginx", {
        replicaScheduling: {
          replicaSchedulingType: "Divided",
          replicaDivisionPreference: "Weighted",
          weightPreference: {
            staticWeightList: [
              { targetCluster: { clusterNames: ["north"] }, weight: 2 },
              { targetCluster: { clusterNames: ["south"] }, weight: 1 },
            ],
          },
        },
      }),
    );
    await plane.create(OverridePolicy, {
      apiVersion: "policy.karmada.io/v1alpha1",
      kind: "OverridePolicy",
      metadata: { namespace: "default", name: "mirror" },
      spec: {
        resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name: "nginx" }],
        overrideRules: [
          {
            targetCluster: { clusterNames: ["south"] },
            overriders: {
              imageOverrider: [{ component: "Registry", operator: "add", value: "mirror.example.com" }],
            },
          },
        ],
      },
    } as unknown as OverridePolicy);
    await plane.create(Deployment, aDeployment("nginx", 6));
    await eventually(
      async () => (await plane.get(Deployment, { namespace: "default", name: "nginx" })).status?.readyReplicas === 6,
      60_000,
    );
    expect([await replicasIn("north"), await replicasIn("south")]).toEqual([4, 2]);
    const image = async (name: string) =>
      (await inMember(name).get(Deployment, { namespace: "default", name: "nginx" })).spec?.template.spec?.containers[0]
        ?.image;
    expect([await image("north"), await image("south")]).toEqual(["nginx:1.29", "mirror.example.com/nginx:1.29"]);
  });

  test("[GF-31] pods of a real member are spoken to through the control plane: logs, exec, attach and ports, by WebSockets and SPDY", async () => {
    const north = through("north");
    const [pod] = (await kubectl(north, ["get", "pods", "-l", "workload=test", "-o", "name"])).trim().split("\n");
    const name = pod as string;
    expect(await kubectl(north, ["logs", name])).toBe("first words\n");
    const running: RunningKubectl[] = [];
    const start = (words: readonly string[], env = {}) => {
      const begun = startKubectl(north, words, env);
      running.push(begun);
      return begun;
    };
    try {
      const following = start(["logs", "-f", name]);
      await following.until(/first words/);
      const attached = ["true", "false"].map((isWebSocket) =>
        start(["attach", name], { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: isWebSocket }),
      );
      for (const { until } of attached) await until(/try pressing enter/);
      // Who attaches hears what comes from then on, and nobody says when he is there.
      let second = 0;
      let isHeard = false;
      const heard = Promise.all([following.until(/more words/), ...attached.map(({ until }) => until(/more words/))]);
      heard.then(
        () => (isHeard = true),
        () => (isHeard = true),
      );
      await eventually(() => {
        appendFileSync(logsFile, said(++second % 60, "more words"));
        return isHeard;
      }, 60_000);
      await heard;
      for (const isWebSocket of ["true", "false"]) {
        const env = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: isWebSocket, KUBECTL_PORT_FORWARD_WEBSOCKETS: isWebSocket };
        // As without us in between, whatever becomes of a program's exit code there.
        const execute = async (kubeconfig: string) => {
          const words = ["exec", name, "--", "sh", "-c", "echo over here; exit 3"];
          const text = await kubectl(kubeconfig, words, undefined, env).catch((error: unknown) => String(error));
          return text.replaceAll(kubeconfig, "");
        };
        expect(await execute(north)).toBe(await execute(member("north").kubeconfig));
        expect(await kubectl(north, ["exec", name, "--", "echo", "over here"], undefined, env)).toBe("over here\n");
        const [port] = await start(["port-forward", name, ":80"], env).until(/127\.0\.0\.1:(\d+) -> 80/);
        for (const n of [1, 2])
          expect(await (await fetch(`http://127.0.0.1:${port}/path?n=${n}`)).text()).toBe(`GET /path?n=${n}`);
      }
    } finally {
      await Promise.all(running.map(({ stop }) => stop()));
    }
  });

  test("[GF-31] UA-4 whoever asks through the control plane is himself in the member, with the rights he has there", async () => {
    const account = { namespace: "default", name: "reader" };
    await plane.create(ServiceAccount, { apiVersion: "v1", kind: "ServiceAccount", metadata: account });
    const rbac = "rbac.authorization.k8s.io";
    const groups = ["system:serviceaccounts", "system:serviceaccounts:default"];
    const give = async (client: Client, rules: readonly object[], ...more: readonly string[]) => {
      const metadata = { name: "reader" };
      await client.create(ClusterRole, {
        apiVersion: `${rbac}/v1`,
        kind: "ClusterRole",
        metadata,
        rules,
      } as unknown as ClusterRole);
      await client.create(ClusterRoleBinding, {
        apiVersion: `${rbac}/v1`,
        kind: "ClusterRoleBinding",
        metadata,
        subjects: [
          { kind: "ServiceAccount", ...account },
          ...more.map((name) => ({ apiGroup: rbac, kind: "Group", name })),
        ],
        roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "reader" },
      } as unknown as ClusterRoleBinding);
    };
    const token = (await kubectl(fleet.admin, ["create", "token", "reader"])).trim();
    const reader = through("north", token);
    const outcome = (...words: string[]) => kubectl(reader, words).catch((error: unknown) => String(error));
    // Refused here: nobody let him through.
    expect(await outcome("get", "pods")).toMatch(/cannot get resource "clusters\/proxy"/);
    // The groups he is in by nature are bound with him: the control plane may name nobody in the member whom it lets in nowhere.
    const rule = {
      apiGroups: ["cluster.karmada.io"],
      resources: ["clusters/proxy"],
      resourceNames: ["north"],
      verbs: ["*"],
    };
    await give(plane, [rule], ...groups);
    // Refused there, under his own name: the control plane's rights in the member are not his.
    await eventually(async () => {
      const text = await outcome("get", "pods");
      expect(text).toMatch(/User "system:serviceaccount:default:reader" cannot list resource "pods"/);
      return true;
    }, 60_000);
    await give(inMember("north"), [{ apiGroups: [""], resources: ["pods", "pods/log"], verbs: ["get", "list"] }]);
    await eventually(async () => /nginx-/.test(await outcome("get", "pods")), 60_000);
    const [pod = ""] = (await outcome("get", "pods", "-l", "workload=test", "-o", "name")).trim().split("\n");
    expect(await outcome("logs", pod)).toMatch(/^first words\n/);
    expect(await outcome("exec", pod, "--", "true")).toMatch(
      /User "system:serviceaccount:default:reader" cannot (create|get) resource "pods\/exec"/,
    );
    expect(await outcome("delete", pod)).toMatch(/cannot delete resource "pods"/);
  });

  test("a change by hand in a member is put right, and what users may keep stays", async () => {
    const north = inMember("north");
    await north.patch(Deployment, { namespace: "default", name: "nginx" }, "application/merge-patch+json", {
      metadata: { annotations: { "example.com/by-hand": "yes" } },
      spec: { replicas: 1 },
    });
    await eventually(async () => (await replicasIn("north")) === 4, 30_000);
    expect(
      (await north.get(Deployment, { namespace: "default", name: "nginx" })).metadata.annotations?.[
        "example.com/by-hand"
      ],
    ).toBe("yes");
  });

  test("an API server that was killed is not ready, the other member is served meanwhile, and it recovers", async () => {
    await member("south").process().kill();
    expect(await untilReady("south", "False")).toMatchObject({ reason: "ClusterNotReachable" });
    await plane.patch(Deployment, { namespace: "default", name: "nginx" }, "application/merge-patch+json", {
      metadata: { labels: { during: "outage" } },
    });
    const labelled = async (name: string) =>
      (await inMember(name).get(Deployment, { namespace: "default", name: "nginx" })).metadata.labels?.["during"] ===
      "outage";
    await eventually(() => labelled("north"), 10_000);
    await member("south").restart();
    await untilReady("south", "True");
    await eventually(() => labelled("south"), 30_000);
    expect(await replicasIn("south")).toBe(2);
  });

  test("an API server that hangs is not ready, does not slow the other member, and recovers", {
    timeout: 300_000,
  }, async () => {
    member("south").process().signal("SIGSTOP");
    try {
      await plane.create(Deployment, aDeployment("beside", 3));
      await eventually(
        async () =>
          (await inMember("north").find(Deployment, { namespace: "default", name: "beside" }))?.spec?.replicas === 2,
        20_000,
      );
      // A probe that is never answered takes eight seconds here, and one alone is not believed yet.
      expect(await untilReady("south", "False", 120_000)).toMatchObject({ reason: "ClusterNotReachable" });
    } finally {
      member("south").process().signal("SIGCONT");
    }
    await untilReady("south", "True");
    await eventually(
      async () => (await plane.get(Deployment, { namespace: "default", name: "beside" })).status?.readyReplicas === 3,
      60_000,
    );
  });

  test("credentials that the member refuses are seen and can be put right without a restart", async () => {
    const name = { namespace: "karmada-cluster", name: "south" };
    const before = await plane.get(Secret, name);
    const setToken = (token: string) => plane.patch(Secret, name, "application/merge-patch+json", { data: { token } });
    await setToken(Buffer.from("not-a-token").toString("base64"));
    const condition = await untilReady("south", "False");
    expect(condition?.message).not.toBe("");
    await setToken(before.data?.["token"] ?? "");
    await untilReady("south", "True");
  });

  test("[DR-37] a proxy named on the Cluster is used at once for synchronisation, status and cluster proxy, and another as soon as it is named", {
    timeout: 300_000,
  }, async () => {
    const proxy = await startConnectProxy();
    const name = (proxyURL: string | null) =>
      plane.patch(Cluster, { name: "south" }, "application/merge-patch+json", { spec: { proxyURL } });
    const nodes = () =>
      kubectl(through("south"), ["get", "nodes", "-o", "name"]).catch((error: unknown) => String(error));
    const step = (text: string) =>
      plane.patch(Deployment, { namespace: "default", name: "nginx" }, "application/merge-patch+json", {
        metadata: { labels: { step: text } },
      });
    const arrived = async () =>
      (await inMember("south").get(Deployment, { namespace: "default", name: "nginx" })).metadata.labels?.["step"];
    try {
      // One that is not there: nothing goes past it.
      await name("http://127.0.0.1:1");
      expect(await untilReady("south", "False")).toMatchObject({ reason: "ClusterNotReachable" });
      expect(await nodes()).not.toContain("node/south");
      await step("behind");
      // And the other member is served as ever.
      await eventually(
        async () =>
          (await inMember("north").get(Deployment, { namespace: "default", name: "nginx" })).metadata.labels?.[
            "step"
          ] === "behind",
        30_000,
      );
      expect(await arrived()).toBeUndefined();
      await name(proxy.url);
      await untilReady("south", "True");
      await eventually(async () => (await arrived()) === "behind", 60_000);
      expect(proxy.asked.length).toBeGreaterThan(0);
      await eventually(async () => (await nodes()).includes("node/south-node-1"), 60_000);
      expect(new Set(proxy.asked)).toEqual(new Set([new URL(member("south").server).host]));
    } finally {
      await name(null);
      await untilReady("south", "True");
      proxy.close();
    }
    // Without it, too.
    await step("direct");
    await eventually(async () => (await arrived()) === "direct", 60_000);
  });

  test("joining the same cluster twice, or without rights, is refused by name", async () => {
    const twice = await fleet.join("north");
    expect(twice.code).toBe(1);
    expect(twice.stderr).toMatch(/the cluster ID \S+ or the cluster name north has been registered/);
    const other = await fleet.program.run(
      "join",
      "again",
      "--kubeconfig",
      fleet.admin,
      "--cluster-kubeconfig",
      member("north").kubeconfig,
    );
    expect(other.stderr).toMatch(/the cluster ID \S+ or the cluster name again has been registered/);
    const powerless = join(fleet.folder, "powerless.kubeconfig");
    const { authority } = member("north").pki;
    const nobody = await authority.issueClient("nobody");
    writeKubeconfig(powerless, "north", member("north").server, authority.certificate, nobody);
    const refused = await fleet.program.run(
      "join",
      "again",
      "--kubeconfig",
      fleet.admin,
      "--cluster-kubeconfig",
      powerless,
    );
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /namespaces "kube-system" is forbidden: User "nobody" cannot get resource "namespaces"/,
    );
    expect(await plane.find(Cluster, { name: "again" })).toBeUndefined();
  });

  test("unjoin takes back what was given and what was made", async () => {
    expect(
      await fleet.program.run(
        "unjoin",
        "south",
        "--kubeconfig",
        fleet.admin,
        "--cluster-kubeconfig",
        member("south").kubeconfig,
        "--wait=60s",
      ),
    ).toMatchObject({ code: 0 });
    expect(await plane.find(Cluster, { name: "south" })).toBeUndefined();
    await eventually(async () => (await plane.find(Namespace, { name: "karmada-es-south" })) === undefined, 30_000);
    expect((await plane.list(Work, { namespace: "karmada-es-south" })).items).toEqual([]);
    await eventually(
      async () => (await plane.find(Secret, { namespace: "karmada-cluster", name: "south" })) === undefined,
    );
    const south = inMember("south");
    const role = { name: "karmada-controller-manager:karmada-south" };
    await eventually(async () => (await south.find(Namespace, { name: "karmada-cluster" })) === undefined, 30_000);
    expect(await south.find(ClusterRole, role)).toBeUndefined();
    expect(await south.find(ClusterRoleBinding, role)).toBeUndefined();
    expect(await south.find(ServiceAccount, { namespace: "karmada-cluster", name: "karmada-south" })).toBeUndefined();
    expect(await south.find(Deployment, { namespace: "default", name: "nginx" })).toBeUndefined();
    expect(await replicasIn("north")).toBe(6);
  });

  test("a cluster that a management cluster provisions is joined by itself, and leaves with its object", async () => {
    const source = inMember("north");
    const at = { namespace: "default", name: "south" };
    const kubeconfig = readFileSync(member("south").kubeconfig, "utf8");
    await putProvisioned(source, { ...at, phase: "Provisioned", kubeconfig });
    await eventually(() => plane.find(Cluster, { name: "south" }), 60_000);
    await untilReady("south", "True");
    const { uid } = (await source.get(provisioned, at)).metadata;
    expect((await plane.get(Cluster, { name: "south" })).metadata.annotations).toMatchObject({
      "cluster-api.flotilla.io/object": "default/south",
      "cluster-api.flotilla.io/uid": uid,
    });
    // A later event of an object that was joined asks for nothing more.
    await source.patch(provisioned, at, "application/merge-patch+json", { metadata: { labels: { seen: "again" } } });
    await source.delete(provisioned, at);
    await eventually(async () => (await plane.find(Cluster, { name: "south" })) === undefined, 60_000);
    expect(fleet.server.output()).not.toContain("has been registered");
    // What belongs to the member stays there.
    const account = { namespace: "karmada-cluster", name: "karmada-south" };
    expect(await inMember("south").find(ServiceAccount, account)).toBeDefined();
  });
});
