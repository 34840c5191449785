/** The estimator beside a real cluster: what it says there is room for is what kube-scheduler then finds room for. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { Deployment, Node, Pod, Secret } from "#apis/kubernetes";
import type { ReplicaRequirements } from "#apis/karmada";
import { createCertificateAuthority, kubeconfigText } from "#certs";
import type { Client } from "#client";
import { type ClusterEstimator, dialEstimator } from "#estimator";
import { partPath, type RealMember, startRealMember } from "#lab";
import { aDeployment, eventually, kubeconfigClients } from "#testing";
import { bundleProgram, type Program } from "../program.ts";
import { describeReal, memberParts } from "./parts.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const LIMIT_MS = 60_000;

/** The arguments of the estimator's pod. */
const podArguments = (): readonly string[] => {
  const { spec } = parse(readFileSync(join(root, "install/kustomize/estimator/deployment.yaml"), "utf8")) as Deployment;
  return (spec?.template.spec?.containers[0] as { args?: readonly string[] } | undefined)?.args ?? [];
};

describeReal("flotilla estimator beside a real cluster", [...memberParts, "kubectl"], () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-estimator-"));
  const file = (name: string) => join(folder, name);
  const { connect, close } = kubeconfigClients();
  const { signal } = new AbortController();
  let program: Program;
  let member: RealMember;
  let client: Client;
  let estimator: ClusterEstimator;
  let dial: (security: { certificate?: string; key?: string }) => Promise<ClusterEstimator>;

  beforeAll(async () => {
    program = await bundleProgram();
    member = await startRealMember({
      name: "edge",
      folder: file("edge"),
      isUnsafe: true,
      nodeCapacity: { cpu: "4", memory: "8Gi", pods: "20" },
    });
    client = connect(member.kubeconfig);
    // The second node is for those who ask for it and bear its taint.
    await client.patch(Node, { name: "edge-node-2" }, "application/merge-patch+json", {
      metadata: { labels: { disk: "ssd" } },
      spec: { taints: [{ key: "dedicated", value: "ssd", effect: "NoSchedule" }] },
    });
    // With no more than the rights that the manifests give, and the command of their pod.
    const kubectl = (...words: readonly string[]) =>
      execFileSync(partPath("kubectl"), ["--kubeconfig", member.kubeconfig, ...words], { encoding: "utf8" });
    kubectl("apply", "-k", join(root, "install/kustomize/estimator-account"));
    const token = await eventually(async () => {
      const secret = await client.get(Secret, { namespace: "karmada-system", name: "karmada-scheduler-estimator" });
      return secret.data?.["token"];
    }, LIMIT_MS);
    const authority = await createCertificateAuthority("estimators", () => Date.now());
    const service = await authority.issueServer("karmada-scheduler-estimator", ["127.0.0.1"]);
    const scheduler = await authority.issueClient("scheduler");
    writeFileSync(file("ca.crt"), authority.certificate);
    writeFileSync(file("tls.crt"), service.certificate);
    writeFileSync(file("tls.key"), service.key);
    writeFileSync(file("token"), Buffer.from(token, "base64"));
    const config = parse(
      kubeconfigText({
        name: "edge",
        server: member.server,
        authority: member.pki.authority.certificate,
        client: scheduler,
      }),
    ) as Record<string, unknown>;
    const text = JSON.stringify({ ...config, users: [{ name: "edge", user: { tokenFile: "token" } }] });
    writeFileSync(file("edge-kubeconfig"), text);
    const running = await program.start(
      [
        ...podArguments().map((word) =>
          word.replaceAll("$(CLUSTER_NAME)", "edge").replace(/\/etc\/(member|cert)\//, `${folder}/`),
        ),
        "--bind-address=127.0.0.1",
        "--server-port=0",
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
      ],
      /estimator runs.*port/,
    );
    const port = Number(/estimator runs.*port"?[=:]\s*(\d+)/.exec(running.output())?.[1]);
    dial = (security) =>
      dialEstimator({
        addresses: [`127.0.0.1:${port}`],
        cluster: "edge",
        security: { authority: authority.certificate, ...security },
        timeoutMs: LIMIT_MS,
      });
    estimator = await dial(scheduler);
  });

  afterAll(async () => {
    estimator?.close?.();
    await close();
    await program?.close();
    await member?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A workload whose pods ask for what the question asks for. */
  function workload(name: string, replicas: number, { resourceRequest, nodeClaim }: ReplicaRequirements): Deployment {
    const plain = aDeployment(name, replicas);
    const template = plain.spec?.template;
    const { nodeSelector, tolerations } = (nodeClaim ?? {}) as Record<string, never>;
    return {
      ...plain,
      spec: {
        ...plain.spec,
        selector: { matchLabels: { workload: name } },
        template: {
          metadata: { labels: { workload: name } },
          spec: {
            ...template?.spec,
            containers: [{ name: "app", image: "nginx:1.29", resources: { requests: resourceRequest } }],
            ...(nodeSelector === undefined ? {} : { nodeSelector }),
            ...(tolerations === undefined ? {} : { tolerations }),
          },
        },
      },
    } as unknown as Deployment;
  }
  const podsOf = async (name: string) =>
    (await client.list(Pod, { namespace: "default", labelSelector: `workload=${name}` })).items;
  const refusedOf = (pods: readonly Pod[]) =>
    pods.filter(({ status }) =>
      status?.conditions?.some(({ type, reason }) => type === "PodScheduled" && reason === "Unschedulable"),
    ).length;
  const placedOf = (pods: readonly Pod[]) => pods.filter(({ spec }) => (spec?.nodeName ?? "") !== "").length;
  const ask = (requirements?: ReplicaRequirements) => estimator.maxReplicas(requirements, { signal });
  const unschedulable = (name: string, thresholdMs = 0) =>
    estimator.unschedulableReplicas(
      { apiVersion: "apps/v1", kind: "Deployment", namespace: "default", name },
      thresholdMs,
      {
        signal,
      },
    );
  /** Runs a workload of that many replicas; resolves with how many found a node once every pod has its answer. */
  async function schedule(name: string, replicas: number, requirements: ReplicaRequirements): Promise<number> {
    await client.create(Deployment, workload(name, replicas, requirements));
    return eventually(async () => {
      const pods = await podsOf(name);
      expect(placedOf(pods) + refusedOf(pods)).toBe(replicas);
      return placedOf(pods);
    }, LIMIT_MS);
  }

  const ssd = { nodeSelector: { disk: "ssd" } };
  const tolerant = { ...ssd, tolerations: [{ key: "dedicated", operator: "Exists", effect: "NoSchedule" }] };

  test("[AE-3] [AE-4] [AE-5] [AE-9] as many replicas find a node as it said there was room for, and the rest it counts", async () => {
    const requirements = (resourceRequest: Record<string, string>, nodeClaim?: object) =>
      ({ resourceRequest, ...(nodeClaim === undefined ? {} : { nodeClaim }) }) as ReplicaRequirements;
    // By CPU on the node that everybody may use: 4 of 4 CPUs in pieces of 0.7.
    const small = requirements({ cpu: "700m", memory: "64Mi" });
    expect(await ask(small)).toBe(5);
    expect(await schedule("small", 7, small)).toBe(5);
    await eventually(async () => (await unschedulable("small")) === 2, LIMIT_MS);
    expect(await unschedulable("small", 3_600_000)).toBe(0);
    // What those took is gone; what is left goes by memory.
    const large = requirements({ cpu: "100m", memory: "3Gi" });
    await eventually(async () => (await ask(small)) === 0, LIMIT_MS);
    const room = await ask(large);
    expect(room).toBe(2);
    expect(await schedule("large", 3, large)).toBe(room);
    await eventually(async () => (await unschedulable("large")) === 1, LIMIT_MS);
    // A selector alone does not bear the taint; with a toleration there is the other node.
    const withTaint = requirements({ cpu: "1" }, ssd);
    expect(await ask(withTaint)).toBe(0);
    expect(await schedule("selective", 1, withTaint)).toBe(0);
    const tolerated = requirements({ cpu: "1" }, tolerant);
    expect(await ask(tolerated)).toBe(4);
    expect(await schedule("tolerant", 5, tolerated)).toBe(4);
    await eventually(async () => (await ask(tolerated)) === 0, LIMIT_MS);
  });

  test("[AE-1] [AE-9] answers follow the cluster: scaled down workloads give back, cordoned nodes have no room", async () => {
    const tolerated = { resourceRequest: { cpu: "1" }, nodeClaim: tolerant } as unknown as ReplicaRequirements;
    await client.patch(Deployment, { namespace: "default", name: "tolerant" }, "application/merge-patch+json", {
      spec: { replicas: 1 },
    });
    await eventually(async () => (await ask(tolerated)) === 3, LIMIT_MS);
    await eventually(async () => (await unschedulable("tolerant")) === 0, LIMIT_MS);
    await client.patch(Node, { name: "edge-node-2" }, "application/merge-patch+json", {
      spec: { unschedulable: true },
    });
    await eventually(async () => (await ask(tolerated)) === 0, LIMIT_MS);
    await expect(unschedulable("unheard-of")).rejects.toThrow("apps/v1 Deployment default/unheard-of not found");
    await expect(
      estimator.unschedulableReplicas({ apiVersion: "v1", kind: "Pod", namespace: "default", name: "a" }, 0, {
        signal,
      }),
    ).rejects.toThrow("kind(Pod) of workload(default/a) is not supported");
  });

  test("nobody is answered without a certificate, and a token that is replaced is used without a restart", async () => {
    const stranger = await dial({})
      .then(
        (anonymous) => anonymous.maxReplicas(undefined, { signal: AbortSignal.timeout(LIMIT_MS) }),
        (error: unknown) => Promise.reject(error instanceof Error ? error : new Error(String(error))),
      )
      .catch((error: unknown) => error);
    expect(String(stranger)).toMatch(/UNAVAILABLE|cannot connect/);
    // The account's Secret is deleted, which takes its token back; another token comes into the file.
    const at = { namespace: "karmada-system", name: "karmada-scheduler-estimator" };
    const fresh = execFileSync(
      partPath("kubectl"),
      ["--kubeconfig", member.kubeconfig, "-n", at.namespace, "create", "token", at.name],
      { encoding: "utf8" },
    );
    writeFileSync(file("token"), fresh);
    await client.delete(Secret, at);
    // Its watches end with the API server; those that follow need the new token.
    await member.process().kill();
    await member.restart();
    await client.patch(Node, { name: "edge-node-2" }, "application/merge-patch+json", {
      spec: { unschedulable: null },
    });
    const tolerated = { resourceRequest: { cpu: "1" }, nodeClaim: tolerant } as unknown as ReplicaRequirements;
    await eventually(async () => (await ask(tolerated)) === 3, LIMIT_MS);
  });
});
