/** A fleet outgrows us and comes back: the same etcd under flotilla, under kube-apiserver, and under flotilla again. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadPki, parseKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, createHttpTransport, createKindMapper, type HttpTransport } from "#client";
import { systemClock } from "#base";
import { type Etcd, startEtcd, startRealApiServer } from "#lab";
import type { KubeObject, ResourceKind } from "#machinery";
import { eventually, kubectl } from "#testing";
import { apiServerParts, describeReal } from "./parts.ts";
import { bundleProgram, type Program } from "../program.ts";

const yaml = (documents: readonly object[]) => documents.map((document) => JSON.stringify(document)).join("\n---\n");
const named = (apiVersion: string, kind: string, name: string, rest: object = {}, namespace?: string) => ({
  apiVersion,
  kind,
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
  ...rest,
});
const pod = {
  containers: [{ name: "app", image: "nginx:1.29", resources: { requests: { cpu: "500m", memory: "64Mi" } } }],
};
const workload = (more: object = {}) => ({
  spec: { selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } }, spec: pod }, ...more },
});
const shop = "shop";

/** One object of every group users keep in a control plane. */
const objects = [
  named("v1", "Namespace", shop),
  named("v1", "ConfigMap", "config", { data: { a: "1", c: "größe 🚀" }, binaryData: { b: "AAEC" } }, shop),
  named("v1", "Secret", "secret", { stringData: { password: "x" } }, shop),
  named("v1", "Service", "web", { spec: { selector: { a: "b" }, ports: [{ port: 80 }] } }, shop),
  named("v1", "ServiceAccount", "robot", {}, shop),
  named(
    "v1",
    "PersistentVolumeClaim",
    "disk",
    { spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } },
    shop,
  ),
  named("v1", "PersistentVolume", "volume", {
    spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/x", type: "Directory" } },
  }),
  named("v1", "ResourceQuota", "quota", { spec: { hard: { pods: "100" } } }, shop),
  named("v1", "LimitRange", "limits", { spec: { limits: [{ type: "Container", default: { cpu: "1" } }] } }, shop),
  named("apps/v1", "Deployment", "web", workload({ replicas: 2 }), shop),
  named("apps/v1", "StatefulSet", "db", workload({ serviceName: "db" }), shop),
  named("apps/v1", "DaemonSet", "agent", workload(), shop),
  named("batch/v1", "Job", "job", { spec: { template: { spec: { ...pod, restartPolicy: "Never" } } } }, shop),
  named(
    "batch/v1",
    "CronJob",
    "cron",
    {
      spec: {
        schedule: "0 0 * * *",
        jobTemplate: { spec: { template: { spec: { ...pod, restartPolicy: "Never" } } } },
      },
    },
    shop,
  ),
  named(
    "autoscaling/v2",
    "HorizontalPodAutoscaler",
    "hpa",
    {
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        maxReplicas: 5,
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 70 } } },
        ],
      },
    },
    shop,
  ),
  named(
    "policy/v1",
    "PodDisruptionBudget",
    "pdb",
    { spec: { minAvailable: 1, selector: { matchLabels: { a: "b" } } } },
    shop,
  ),
  named(
    "networking.k8s.io/v1",
    "Ingress",
    "ingress",
    { spec: { defaultBackend: { service: { name: "web", port: { number: 80 } } } } },
    shop,
  ),
  named("networking.k8s.io/v1", "NetworkPolicy", "net", { spec: { podSelector: {} } }, shop),
  named(
    "rbac.authorization.k8s.io/v1",
    "Role",
    "role",
    { rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }] },
    shop,
  ),
  named(
    "rbac.authorization.k8s.io/v1",
    "RoleBinding",
    "binding",
    {
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "role" },
      subjects: [{ kind: "User", name: "u", apiGroup: "rbac.authorization.k8s.io" }],
    },
    shop,
  ),
  named("storage.k8s.io/v1", "StorageClass", "fast", { provisioner: "example.com/x" }),
  named("scheduling.k8s.io/v1", "PriorityClass", "urgent", { value: 1000 }),
  named("coordination.k8s.io/v1", "Lease", "lease", { spec: { holderIdentity: "me", leaseDurationSeconds: 10 } }, shop),
  named("apiextensions.k8s.io/v1", "CustomResourceDefinition", "boats.example.com", {
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "boats", singular: "boat", kind: "Boat" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: "object",
              properties: { spec: { type: "object", properties: { hull: { type: "string" } } } },
            },
          },
        },
      ],
    },
  }),
  named(
    "policy.karmada.io/v1alpha1",
    "PropagationPolicy",
    "pp",
    {
      spec: {
        resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "config" }],
        placement: { clusterAffinity: { clusterNames: ["m1"] } },
      },
    },
    shop,
  ),
  named("policy.karmada.io/v1alpha1", "ClusterOverridePolicy", "cop", {
    spec: { overrideRules: [{ overriders: { labelsOverrider: [{ operator: "add", value: { x: "y" } }] } }] },
  }),
];
const boat = named("example.com/v1", "Boat", "one", { spec: { hull: "red" } }, shop);
const cluster = named("cluster.karmada.io/v1alpha1", "Cluster", "m1", {
  spec: { syncMode: "Push", apiEndpoint: "https://127.0.0.1:1", insecureSkipTLSVerification: true },
});

describeReal("graduation to kube-apiserver and back", apiServerParts, () => {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-graduation-"));
  const transports: HttpTransport[] = [];
  const plane = join(folder, "plane");
  const admin = join(plane, "admin.kubeconfig");
  let program: Program;
  let etcd: Etcd;

  function connect(kubeconfig: string): Client {
    const { namespace: _namespace, ...endpoint } = resolveContext(parseKubeconfig(kubeconfig));
    const transport = createHttpTransport(endpoint);
    transports.push(transport);
    return createClient(transport);
  }
  const startServer = () =>
    program.start(
      ["server", `--data-dir=${plane}`, "--secure-port=0", `--store=etcd://${new URL(etcd.url).host}`],
      /control plane is ready/,
    );
  /** Everything the server holds of the kinds above, by kind and name; what only one of the two servers owns is left out. */
  async function everything(client: Client): Promise<Map<string, KubeObject>> {
    const mapper = createKindMapper(client.transport, systemClock);
    const found = new Map<string, KubeObject>();
    for (const wanted of [...objects, boat, cluster]) {
      const kind = await mapper.find(wanted.apiVersion, wanted.kind);
      if (kind === undefined) throw new Error(`${wanted.apiVersion} ${wanted.kind} is not served`);
      const { name, namespace } = wanted.metadata as { name: string; namespace?: string };
      const object = await client.find(kind as ResourceKind<KubeObject>, { namespace, name });
      if (object !== undefined) found.set(`${wanted.kind} ${name}`, object);
    }
    return found;
  }
  /** What must be the same, whoever shows it: not who wrote which field, nor defaults that only one of them spells out. */
  const core = ({ metadata: { managedFields: _managed, ...metadata }, ...rest }: KubeObject) => ({ ...rest, metadata });
  const versions = (all: Map<string, KubeObject>) =>
    new Map([...all].map(([key, { metadata }]) => [key, Number(metadata.resourceVersion)]));

  beforeAll(async () => {
    program = await bundleProgram();
    etcd = await startEtcd({ version: "3.6", isUnsafe: true });
  });
  afterAll(async () => {
    await Promise.all(transports.map((transport) => transport.close()));
    await program?.close();
    await etcd?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("nothing is lost on either way, and no resource version runs backwards", async () => {
    const first = await startServer();
    await kubectl(admin, ["apply", "-f", "-"], yaml(objects));
    await eventually(async () => {
      try {
        await kubectl(admin, ["apply", "-f", "-"], yaml([boat, cluster]));
        return true;
      } catch {
        return false;
      }
    }, 20_000);
    // Controllers that look at these for the first time write a little; then it is quiet.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await first.end("SIGTERM");
    const second = await startServer();
    const before = await everything(connect(admin));
    await second.end("SIGTERM");
    expect(before.size).toBe(objects.length + 2);

    const real = await startRealApiServer({ etcd, folder: join(folder, "real"), pki: await loadPki(plane) });
    let changed: Map<string, KubeObject>;
    try {
      const guest = await program.start(
        ["controllers", `--kubeconfig=${real.kubeconfig}`, "--webhook-port=0"],
        /controllers run/,
      );
      const client = connect(real.kubeconfig);
      const there = await everything(client);
      expect([...there.keys()]).toEqual([...before.keys()]);
      for (const [key, object] of there) {
        const old = before.get(key) as KubeObject;
        expect({ key, uid: object.metadata.uid, name: object.metadata.name }).toEqual({
          key,
          uid: old.metadata.uid,
          name: old.metadata.name,
        });
        expect(Number(object.metadata.resourceVersion), key).toBeGreaterThanOrEqual(
          Number(old.metadata.resourceVersion),
        );
        expect((object as { spec?: unknown }).spec, key).toMatchObject(
          ((old as { spec?: object }).spec ?? {}) as object,
        );
        for (const part of ["data", "rules", "provisioner", "value", "roleRef"])
          expect((object as unknown as Record<string, unknown>)[part], `${key} ${part}`).toEqual(
            (old as unknown as Record<string, unknown>)[part],
          );
      }
      // Changed by its hand: a label on every object, in its own way of storing it.
      for (const wanted of [...objects, boat, cluster])
        await kubectl(real.kubeconfig, [
          "label",
          `${wanted.kind}.${wanted.apiVersion.includes("/") ? `v${wanted.apiVersion.split("/v")[1]}.${wanted.apiVersion.split("/")[0]}` : "v1."}`,
          wanted.metadata.name,
          ...("namespace" in wanted.metadata ? ["-n", shop] : []),
          "seen-by=kube-apiserver",
          "--overwrite",
        ]);
      await kubectl(real.kubeconfig, ["delete", "configmap", "-n", shop, "config"]);
      await kubectl(real.kubeconfig, ["create", "configmap", "-n", shop, "made-there", "--from-literal=a=b"]);
      changed = await everything(client);
      await guest.end("SIGTERM");
    } finally {
      await real.stop();
    }

    const third = await startServer();
    const after = await everything(connect(admin));
    expect([...after.keys()]).toEqual([...changed.keys()]);
    expect(after.has("ConfigMap config")).toBe(false);
    const [then, now] = [versions(changed), versions(after)];
    for (const [key, object] of after) {
      expect(now.get(key), key).toBeGreaterThanOrEqual(then.get(key) as number);
      expect(object.metadata.labels?.["seen-by"], key).toBe("kube-apiserver");
      expect(core(object), key).toMatchObject({
        metadata: { uid: changed.get(key)?.metadata.uid },
        ...((changed.get(key) as { spec?: object }).spec === undefined
          ? {}
          : { spec: (changed.get(key) as { spec?: object }).spec as object }),
      });
    }
    expect(await kubectl(admin, ["get", "configmap", "-n", shop, "made-there", "-o", "jsonpath={.data.a}"])).toBe("b");
    await third.end("SIGTERM");
  });
});
