/** The estimator's gRPC against a program that shares no line with ours: it asks our estimator, and answers what ours asks. */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Deployment, Node, Pod } from "#apis/kubernetes";
import type { Component, ReplicaRequirements } from "#apis/karmada";
import { type CertificateAuthority, createCertificateAuthority } from "#certs";
import { dialEstimator } from "#estimator";
import { partPath } from "#lab";
import { aDeployment, eventually, kubeconfigClients } from "#testing";
import { bundleProgram, type Finished, type Program } from "../program.ts";
import { describeReal } from "./parts.ts";

const LIMIT_MS = 90_000;

describeReal("the estimator's wire", ["estimator-wire"], () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-wire-"));
  const file = (name: string) => join(folder, name);
  const { connect, close } = kubeconfigClients();
  let program: Program;
  let authority: CertificateAuthority;

  beforeAll(async () => {
    program = await bundleProgram();
    authority = await createCertificateAuthority("estimators");
    const server = await authority.issueServer("estimator", ["127.0.0.1"]);
    const client = await authority.issueClient("scheduler");
    for (const [name, text] of [
      ["ca.crt", authority.certificate],
      ["server.crt", server.certificate],
      ["server.key", server.key],
      ["client.crt", client.certificate],
      ["client.key", client.key],
    ] as const)
      writeFileSync(file(name), text, { mode: 0o600 });
  });
  afterAll(async () => {
    await close();
    await program?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const environment = (side: string) => ({
    CERT: file(`${side}.crt`),
    KEY: file(`${side}.key`),
    CA: file("ca.crt"),
  });

  test("[AE-1] [AE-4] [AE-5] [AE-6] [AE-9] §23: a foreign client is answered as the contract says, errors by code and text", async () => {
    await program.start(
      ["simulate", "member", "m1", "--nodes=2", "--node-cpu=8", `--data-dir=${file("m1")}`],
      /m1 is ready/,
    );
    const kubeconfig = join(file("m1"), "m1.kubeconfig");
    const member = connect(kubeconfig);
    await member.patch(Node, { name: "m1-node-2" }, "application/merge-patch+json", {
      spec: { taints: [{ key: "dedicated", value: "ssd", effect: "NoSchedule" }] },
    });
    const pods = Number((await member.get(Node, { name: "m1-node-1" })).status?.allocatable?.["pods"]);
    const plain = aDeployment("web", 3);
    const [container] = plain.spec?.template?.spec?.containers ?? [];
    await member.create(Deployment, {
      ...plain,
      spec: {
        ...plain.spec,
        template: {
          ...plain.spec?.template,
          spec: { containers: [{ ...container, resources: { requests: { cpu: "100" } } }] },
        },
      },
    } as unknown as Deployment);
    await eventually(async () => {
      const { items } = await member.list(Pod, { namespace: "default" });
      return (
        items.filter(({ status }) => status?.conditions?.some(({ reason }) => reason === "Unschedulable")).length === 3
      );
    }, LIMIT_MS);
    const running = await program.start(
      [
        "estimator",
        "--cluster-name=m1",
        `--kubeconfig=${kubeconfig}`,
        "--bind-address=127.0.0.1",
        "--server-port=0",
        `--grpc-auth-cert-file=${file("server.crt")}`,
        `--grpc-auth-key-file=${file("server.key")}`,
        `--grpc-client-ca-file=${file("ca.crt")}`,
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
      ],
      /estimator runs.*port/,
    );
    const port = Number(/estimator runs.*port"?[=:]\s*(\d+)/.exec(running.output())?.[1]);
    const ask = () =>
      new Promise<Finished>((resolve) =>
        execFile(
          partPath("estimator-wire"),
          ["client", `127.0.0.1:${port}`],
          { timeout: LIMIT_MS, env: environment("client") },
          (error, stdout, stderr) => resolve({ code: error === null ? 0 : 1, stdout, stderr }),
        ),
      );
    await eventually(async () => {
      const { code, stdout, stderr } = await ask();
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout.trim().split("\n")).toEqual([
        `anything ${pods}`,
        "half 16",
        "selected 16",
        "affine 0",
        "affine-by-field 16",
        "tolerant 32",
        "after-assumed 12",
        "elsewhere error 2 cluster name does not match, got: m2, desire: m1",
        "sets 4",
        "no-components 2147483647",
        "unschedulable 3",
        "unschedulable-for-long 0",
        "unschedulable-job error 2 kind(Job) of workload(default/web) is not supported",
        expect.stringMatching(/^unknown error 12 /),
      ]);
      return true;
    }, LIMIT_MS);
  });

  test("§23: a foreign estimator understands every field that ours sends, and ours its answers", async () => {
    const child = spawn(partPath("estimator-wire"), ["server"], {
      env: environment("server"),
      stdio: ["ignore", "pipe", "pipe"],
    });
    onTestFinished(() => void child.kill());
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const address = await eventually(() => /listens on (\S+)\n/.exec(said)?.[1], LIMIT_MS);
    const client = {
      certificate: readFileSync(file("client.crt"), "utf8"),
      key: readFileSync(file("client.key"), "utf8"),
    };
    const dial = (cluster: string) =>
      dialEstimator({
        addresses: [address],
        cluster,
        security: { authority: authority.certificate, ...client },
        timeoutMs: LIMIT_MS,
      });
    const estimator = await dial("m1");
    const nodeClaim = {
      nodeSelector: { disk: "ssd" },
      hardNodeAffinity: {
        nodeSelectorTerms: [
          {
            matchExpressions: [{ key: "zone", operator: "In", values: ["a", "b"] }],
            matchFields: [{ key: "metadata.name", operator: "NotIn", values: ["n9"] }],
          },
        ],
      },
      tolerations: [
        { key: "dedicated", operator: "Equal", value: "ssd", effect: "NoExecute", tolerationSeconds: 30 },
        { operator: "Exists" },
      ],
    };
    const asking = {
      signal: AbortSignal.timeout(LIMIT_MS),
      object: { apiVersion: "apps/v1", kind: "Deployment", namespace: "shop", name: "web" },
      assumed: [
        {
          namespace: "shop",
          components: [{ name: "c", replicas: 2, replicaRequirements: { resourceRequest: { cpu: "1" } } }],
        },
      ],
    } as never;
    const requirements = {
      nodeClaim,
      namespace: "shop",
      priorityClassName: "high",
      resourceRequest: { cpu: "250m", memory: "1Gi", "example.com/gpu": "2" },
    } as unknown as ReplicaRequirements;
    const components = [
      {
        name: "a",
        replicas: 1,
        replicaRequirements: { nodeClaim, priorityClassName: "low", resourceRequest: { cpu: "1" } },
      },
      { name: "b", replicas: 300 },
    ] as unknown as readonly Component[];
    expect(await estimator.maxReplicas(requirements, asking)).toBe(7);
    expect(await estimator.maxReplicas(undefined, { signal: AbortSignal.timeout(LIMIT_MS) })).toBe(7);
    expect(await estimator.maxSets(components, "shop", asking)).toBe(8);
    const resource = { apiVersion: "apps/v1", kind: "Deployment", namespace: "shop", name: "web" };
    expect(await estimator.unschedulableReplicas(resource, 60_000, asking)).toBe(9);
    const other = await dial("m9");
    await expect(other.maxReplicas(undefined, asking)).rejects.toThrow(
      "cluster name does not match, got: m9, desire: m1",
    );
    estimator.close?.();
    other.close?.();
    const claimed = {
      nodeSelector: nodeClaim.nodeSelector,
      nodeAffinity: nodeClaim.hardNodeAffinity,
      tolerations: nodeClaim.tolerations,
    };
    const amount = (string: string) => ({ string });
    const assumedWorkloads = [
      {
        namespace: "shop",
        components: [{ name: "c", replicas: 2, replicaRequirements: { resourceRequest: { cpu: amount("1") } } }],
      },
    ];
    const questions = await eventually(() => {
      const lines = said.split("\n").filter((line) => line.startsWith("{") && line.endsWith("}"));
      return lines.length < 5 ? undefined : lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    }, LIMIT_MS);
    expect(said).not.toMatch(/^error/m);
    expect(questions).toMatchObject([
      {
        method: "MaxAvailableReplicas",
        object: "kind=Deployment, name=shop/web",
        http: "HTTP/2.0",
        te: "trailers",
        type: expect.stringMatching(/^application\/grpc(\+proto)?$/),
        question: {
          cluster: "m1",
          replicaRequirements: {
            nodeClaim: claimed,
            namespace: "shop",
            priorityClassName: "high",
            resourceRequest: { cpu: amount("250m"), memory: amount("1Gi"), "example.com/gpu": amount("2") },
          },
          assumedWorkloads,
        },
      },
      { method: "MaxAvailableReplicas", object: "", question: { cluster: "m1" } },
      {
        method: "MaxAvailableComponentSets",
        question: {
          cluster: "m1",
          namespace: "shop",
          components: [
            {
              name: "a",
              replicas: 1,
              replicaRequirements: {
                nodeClaim: claimed,
                priorityClassName: "low",
                resourceRequest: { cpu: amount("1") },
              },
            },
            { name: "b", replicas: 300 },
          ],
          assumedWorkloads,
        },
      },
      {
        method: "GetUnschedulableReplicas",
        question: { cluster: "m1", resource, unschedulableThreshold: 60_000_000_000 },
      },
      { question: { cluster: "m9" } },
    ]);
    expect(questions[1]?.["question"]).not.toHaveProperty("replicaRequirements");
  });
});
