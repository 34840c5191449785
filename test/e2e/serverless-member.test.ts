/**
 * A standby on a cloud vendor's serverless cluster: its nodes are virtual and nobody's to look at, and the account one gets
 * may do what applications need and nothing else.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Cluster, OverridePolicy, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import {
  ClusterRole,
  ClusterRoleBinding,
  ConfigMap,
  DaemonSet,
  Deployment,
  Event,
  Namespace,
  Node,
  Secret,
  ServiceAccount,
} from "#apis/kubernetes";
import { parseKubeconfig, resolveContext } from "#certs";
import { accountToken, aDeployment, aPropagationPolicy, eventually, kubeconfigClients } from "#testing";
import { bundleProgram, type Program } from "../program.ts";

const folder = mkdtempSync(join(tmpdir(), "flotilla-serverless-"));
const { connect, close: closeClients } = kubeconfigClients();
const PATIENCE_MS = 90_000;
let program: Program;

afterAll(async () => {
  await closeClients();
  await program?.close();
  rmSync(folder, { recursive: true, force: true });
});

test("[DR-12] a member with virtual nodes and a restricted API is joined by hand, kept in step, and says by name what it does not allow", {
  timeout: 240_000,
}, async () => {
  program = await bundleProgram();
  await program.start(
    [
      "server",
      `--data-dir=${join(folder, "plane")}`,
      "--secure-port=0",
      "--cluster-status-update-frequency=500ms",
      "--cluster-success-threshold=1s",
    ],
    /control plane is ready/,
  );
  await program.start(
    ["simulate", "member", "cloud", "--nodes=1", `--data-dir=${join(folder, "cloud")}`],
    /cloud is ready/,
  );
  const plane = connect(join(folder, "plane", "admin.kubeconfig"));
  const kubeconfig = join(folder, "cloud", "cloud.kubeconfig");
  const vendor = connect(kubeconfig);

  // What the vendor gives: applications in all namespaces, no nodes, no pods, no DaemonSets, no cluster-wide settings.
  const account = { namespace: "kube-system", name: "customer" };
  const [node] = (await vendor.list(Node)).items;
  await vendor.patch(Node, { name: node?.metadata.name ?? "" }, "application/merge-patch+json", {
    metadata: { labels: { type: "virtual-kubelet" } },
  });
  await vendor.create(ServiceAccount, { apiVersion: "v1", kind: "ServiceAccount", metadata: account });
  const everything = ["get", "list", "watch", "create", "update", "patch", "delete"];
  await vendor.create(ClusterRole, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "customer" },
    rules: [
      { apiGroups: [""], resources: ["namespaces", "configmaps", "services", "secrets"], verbs: everything },
      { apiGroups: ["apps"], resources: ["deployments"], verbs: everything },
    ],
  });
  await vendor.create(ClusterRoleBinding, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "customer" },
    subjects: [{ kind: "ServiceAccount", ...account }],
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "customer" },
  });
  const token = await accountToken(vendor.transport, account);

  // An account that may not make accounts cannot be joined by `join`; the Cluster is written by hand.
  const { server, certificateAuthority } = resolveContext(parseKubeconfig(kubeconfig));
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const secret = { namespace: "karmada-cluster", name: "cloud" };
  if ((await plane.find(Namespace, { name: secret.namespace })) === undefined)
    await plane.create(Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: secret.namespace } });
  await plane.create(Secret, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: secret,
    data: { token: base64(token), caBundle: base64(String(certificateAuthority)) },
  });
  await plane.create(Cluster, {
    apiVersion: "cluster.karmada.io/v1alpha1",
    kind: "Cluster",
    metadata: { name: "cloud" },
    spec: { syncMode: "Push", apiEndpoint: server, secretRef: secret },
  });
  await eventually(async () => {
    const { status: seen } = await plane.get(Cluster, { name: "cloud" });
    return seen?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;
  }, PATIENCE_MS);

  const summary = (await plane.get(Cluster, { name: "cloud" })).status;
  expect([summary?.nodeSummary, summary?.resourceSummary]).toEqual([undefined, undefined]);
  const hidden =
    /^cluster\(cloud\) does not show what it has.*: nodes is forbidden: User "system:serviceaccount:kube-system:customer" cannot list/;
  await eventually(async () => {
    const events = (await plane.list(Event, {})).items;
    return events.some(({ reason, message }) => reason === "ClusterResourcesHidden" && hidden.test(message ?? ""));
  }, PATIENCE_MS);

  await plane.create(PropagationPolicy, {
    ...aPropagationPolicy("all", { clusterAffinity: { clusterNames: ["cloud"] } }),
    spec: {
      resourceSelectors: [
        { apiVersion: "apps/v1", kind: "Deployment" },
        { apiVersion: "apps/v1", kind: "DaemonSet" },
        { apiVersion: "v1", kind: "ConfigMap", labelSelector: { matchLabels: { app: "web" } } },
      ],
      placement: { clusterAffinity: { clusterNames: ["cloud"] } },
    },
  });
  await plane.create(OverridePolicy, {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: "OverridePolicy",
    metadata: { namespace: "default", name: "standby" },
    spec: {
      resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment" }],
      overrideRules: [
        {
          overriders: {
            plaintext: [
              { path: "/spec/replicas", operator: "replace", value: 0 },
              {
                path: "/spec/template/spec/tolerations",
                operator: "add",
                value: [{ key: "virtual-kubelet.io/provider", operator: "Exists" }],
              },
            ],
          },
        },
      ],
    },
  });
  const web = { namespace: "default", name: "web" };
  const labels = { app: "web" };
  await plane.create(ConfigMap, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { ...web, labels },
    data: { greeting: "hello" },
  });
  await plane.create(Deployment, aDeployment("web", 3));
  await eventually(async () => (await vendor.find(Deployment, web)) !== undefined, PATIENCE_MS);
  expect((await vendor.get(Deployment, web)).spec).toMatchObject({
    replicas: 0,
    template: { spec: { tolerations: [{ key: "virtual-kubelet.io/provider", operator: "Exists" }] } },
  });
  await eventually(async () => (await vendor.find(ConfigMap, web)) !== undefined, PATIENCE_MS);

  // What is changed there by somebody else is put right, and what changes here follows.
  await vendor.patch(ConfigMap, web, "application/merge-patch+json", { data: { greeting: "changed there" } });
  await eventually(async () => (await vendor.get(ConfigMap, web)).data?.["greeting"] === "hello", PATIENCE_MS);
  await plane.patch(ConfigMap, web, "application/merge-patch+json", { data: { greeting: "hello again" } });
  await eventually(async () => (await vendor.get(ConfigMap, web)).data?.["greeting"] === "hello again", PATIENCE_MS);

  // A kind that is not allowed is named where users look, and holds nothing else up.
  await plane.create(DaemonSet, {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { namespace: "default", name: "logs" },
    spec: {
      selector: { matchLabels: { app: "logs" } },
      template: { metadata: { labels: { app: "logs" } }, spec: { containers: [{ name: "logs", image: "logs:1" }] } },
    },
  });
  const refusal = /daemonsets\.apps .*is forbidden: User "system:serviceaccount:kube-system:customer" cannot/;
  await eventually(async () => {
    const works = (await plane.list(Work, { namespace: "karmada-es-cloud" })).items;
    return works.some(({ status: of }) => of?.conditions?.some(({ message = "" }) => refusal.test(message)) === true);
  }, PATIENCE_MS);
  await plane.patch(ConfigMap, web, "application/merge-patch+json", { data: { greeting: "still in step" } });
  await eventually(async () => (await vendor.get(ConfigMap, web)).data?.["greeting"] === "still in step", PATIENCE_MS);
  const binding = await plane.get(ResourceBinding, { namespace: "default", name: "web-deployment" });
  expect(binding.spec.clusters?.map(({ name }) => name)).toEqual(["cloud"]);

  // The copy goes when its template does, and nothing else of the vendor's.
  await plane.delete(Deployment, web);
  await eventually(async () => (await vendor.find(Deployment, web)) === undefined, PATIENCE_MS);
  expect(await vendor.find(ServiceAccount, account)).toBeDefined();
});
