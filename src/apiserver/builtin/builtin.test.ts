import { beforeAll, describe, expect, it } from "vitest";
import type { VirtualClock } from "#base";
import { type ApiError, getPath, type KubeObject } from "#machinery";
import { certificateRequest, createTestServer, type TestServer } from "#testing";

let server: TestServer;
beforeAll(async () => {
  server = await createTestServer();
});

let made = 0;
const nextName = () => `o${++made}`;
const template = (spec: object = {}) => ({
  metadata: { labels: { app: "a" } },
  spec: { containers: [{ name: "c", image: "nginx" }], ...spec },
});
const workload = (spec: object = {}) => ({ selector: { matchLabels: { app: "a" } }, template: template(), ...spec });

/** Creates an object in `default` (or cluster-wide) from its members beside the head. */
function create(resource: string, kind: string, members: object, name = nextName()): Promise<KubeObject> {
  const [, version = "", group = ""] = resource.split("/").reverse();
  const apiVersion = group === "" ? version : `${group}/${version}`;
  const definition = server.server.registry.find(group, version, resource.split("/").at(-1) ?? "");
  const body = { apiVersion, kind, metadata: { name }, ...members };
  return server.send("create", resource, { ...(definition?.kind.namespaced ? { namespace: "default" } : {}), body });
}

const causesOf = (promise: Promise<unknown>) =>
  promise.then(
    () => [],
    (error: ApiError) =>
      error.status?.details?.causes?.map(({ field, message }) => `${field}: ${message}`) ?? [error.message],
  );

describe("defaults", () => {
  it.each<[string, string, string, object, Readonly<Record<string, unknown>>]>([
    [
      "a Deployment rolls out in quarters",
      "apps/v1/deployments",
      "Deployment",
      { spec: workload() },
      {
        "spec.replicas": 1,
        "spec.strategy": { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" } },
        "spec.revisionHistoryLimit": 10,
        "spec.progressDeadlineSeconds": 600,
        "spec.template.spec.restartPolicy": "Always",
        "spec.template.spec.dnsPolicy": "ClusterFirst",
        "spec.template.spec.terminationGracePeriodSeconds": 30,
        "spec.template.spec.schedulerName": "default-scheduler",
        "spec.template.spec.containers.0.imagePullPolicy": "Always",
        "spec.template.spec.containers.0.terminationMessagePath": "/dev/termination-log",
        "spec.template.spec.containers.0.terminationMessagePolicy": "File",
      },
    ],
    [
      "a DaemonSet updates one pod at a time",
      "apps/v1/daemonsets",
      "DaemonSet",
      { spec: workload() },
      {
        "spec.updateStrategy": { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
        "status.numberReady": 0,
      },
    ],
    [
      "a StatefulSet keeps order",
      "apps/v1/statefulsets",
      "StatefulSet",
      { spec: workload() },
      { "spec.podManagementPolicy": "OrderedReady", "spec.updateStrategy.rollingUpdate.partition": 0 },
    ],
    [
      "a Job runs once",
      "batch/v1/jobs",
      "Job",
      { spec: { template: template({ restartPolicy: "Never" }) } },
      { "spec.completions": 1, "spec.parallelism": 1, "spec.backoffLimit": 6, "spec.completionMode": "NonIndexed" },
    ],
    [
      "a CronJob keeps three that succeeded, and fills its pods",
      "batch/v1/cronjobs",
      "CronJob",
      { spec: { schedule: "*/5 * * * *", jobTemplate: { spec: { template: template({ restartPolicy: "Never" }) } } } },
      {
        "spec.concurrencyPolicy": "Allow",
        "spec.successfulJobsHistoryLimit": 3,
        "spec.jobTemplate.spec.template.spec.dnsPolicy": "ClusterFirst",
      },
    ],
    [
      "a Service gets an address and a target port",
      "v1/services",
      "Service",
      { spec: { ports: [{ port: 80 }] } },
      {
        "spec.type": "ClusterIP",
        "spec.sessionAffinity": "None",
        "spec.ports.0.targetPort": 80,
        "spec.ports.0.protocol": "TCP",
        "spec.ipFamilyPolicy": "SingleStack",
      },
    ],
    [
      "client affinity lasts three hours",
      "v1/services",
      "Service",
      { spec: { sessionAffinity: "ClientIP", ports: [{ port: 80 }] } },
      { "spec.sessionAffinityConfig.clientIP.timeoutSeconds": 10_800 },
    ],
    [
      "an autoscaler looks at the processor",
      "autoscaling/v2/horizontalpodautoscalers",
      "HorizontalPodAutoscaler",
      { spec: { maxReplicas: 3, scaleTargetRef: { kind: "Deployment", name: "d", apiVersion: "apps/v1" } } },
      { "spec.minReplicas": 1, "spec.metrics.0.resource.target.averageUtilization": 80 },
    ],
    [
      "a NetworkPolicy with egress governs both ways",
      "networking.k8s.io/v1/networkpolicies",
      "NetworkPolicy",
      { spec: { podSelector: {}, egress: [{ ports: [{ port: 53 }] }] } },
      { "spec.policyTypes": ["Ingress", "Egress"], "spec.egress.0.ports.0.protocol": "TCP" },
    ],
    [
      "a Secret is opaque and hides its texts",
      "v1/secrets",
      "Secret",
      { stringData: { k: "v" } },
      { type: "Opaque", "data.k": "dg==", stringData: undefined },
    ],
    [
      "a Namespace is active and held",
      "v1/namespaces",
      "Namespace",
      {},
      { "spec.finalizers": ["kubernetes"], "status.phase": "Active" },
    ],
    [
      "a pod has the priority and tolerations of its cluster",
      "v1/pods",
      "Pod",
      { spec: template().spec },
      {
        "spec.priority": 0,
        "spec.preemptionPolicy": "PreemptLowerPriority",
        "spec.tolerations.0.tolerationSeconds": 300,
        "status.phase": "Pending",
      },
    ],
    [
      "amounts are written in their shortest form",
      "v1/pods",
      "Pod",
      { spec: { containers: [{ name: "c", image: "i:1", resources: { limits: { cpu: 0.5, memory: "1024Mi" } } }] } },
      {
        "spec.containers.0.resources.limits": { cpu: "500m", memory: "1Gi" },
        "spec.containers.0.resources.requests": { cpu: "500m", memory: "1Gi" },
      },
    ],
  ])("%s", async (_title, resource, kind, members, expected) => {
    const object = await create(resource, kind, members);
    for (const [path, value] of Object.entries(expected))
      expect
        .soft(getPath(object, ...path.split(".").map((part) => (/^\d+$/.test(part) ? Number(part) : part))), path)
        .toEqual(value);
  });
});

describe("validation", () => {
  const container = (rest: object) => ({
    spec: workload({ template: template({ containers: [{ name: "c", image: "i", ...rest }] }) }),
  });
  it.each<[string, string, string, object, string[]]>([
    [
      "a selector must select the template",
      "apps/v1/deployments",
      "Deployment",
      { spec: workload({ selector: { matchLabels: { app: "b" } } }) },
      ['spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`'],
    ],
    [
      "an empty selector",
      "apps/v1/daemonsets",
      "DaemonSet",
      { spec: workload({ selector: {} }) },
      ["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
    ],
    [
      "pods of a Deployment restart always",
      "apps/v1/deployments",
      "Deployment",
      { spec: workload({ template: template({ restartPolicy: "Never" }) }) },
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ],
    [
      "negative replicas",
      "apps/v1/deployments",
      "Deployment",
      { spec: workload({ replicas: -1 }) },
      ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    ],
    [
      "a rollout that cannot move",
      "apps/v1/deployments",
      "Deployment",
      { spec: workload({ strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 0 } } }) },
      ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
    ],
    [
      "a volume that is mounted but not there",
      "apps/v1/deployments",
      "Deployment",
      container({ volumeMounts: [{ name: "v", mountPath: "/v" }] }),
      ['spec.template.spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    ],
    [
      "a request above its limit",
      "apps/v1/deployments",
      "Deployment",
      container({ resources: { requests: { cpu: "2" }, limits: { cpu: "1" } } }),
      [
        'spec.template.spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
      ],
    ],
    [
      "a port out of range",
      "apps/v1/deployments",
      "Deployment",
      container({ ports: [{ containerPort: 70_000 }] }),
      [
        "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
      ],
    ],
    [
      "an amount that is none",
      "apps/v1/deployments",
      "Deployment",
      container({ resources: { requests: { cpu: "lots" } } }),
      [
        "Deployment in version \"v1\" cannot be handled as a Deployment: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
      ],
    ],
    [
      "a Job must say how it ends",
      "batch/v1/jobs",
      "Job",
      { spec: { template: template() } },
      ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ],
    [
      "a schedule of four fields",
      "batch/v1/cronjobs",
      "CronJob",
      { spec: { schedule: "* * * *", jobTemplate: { spec: { template: template({ restartPolicy: "Never" }) } } } },
      ['spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]'],
    ],
    ["a Service without ports", "v1/services", "Service", { spec: {} }, ["spec.ports: Required value"]],
    [
      "two ports need names",
      "v1/services",
      "Service",
      { spec: { ports: [{ port: 80 }, { port: 81 }] } },
      ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
    ],
    [
      "a TLS Secret without key",
      "v1/secrets",
      "Secret",
      { type: "kubernetes.io/tls", data: { "tls.crt": "" } },
      ["data[tls.key]: Required value"],
    ],
    [
      "a claim that asks for nothing",
      "v1/persistentvolumeclaims",
      "PersistentVolumeClaim",
      { spec: {} },
      [
        "spec.accessModes: Required value: at least 1 access mode is required",
        "spec.resources[storage]: Required value",
      ],
    ],
    [
      "an Ingress without rules",
      "networking.k8s.io/v1/ingresses",
      "Ingress",
      { spec: {} },
      ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
    ],
    [
      "a priority only the system may have",
      "scheduling.k8s.io/v1/priorityclasses",
      "PriorityClass",
      { value: 2_000_000_000 },
      ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    ],
    [
      "a rule without verbs",
      "rbac.authorization.k8s.io/v1/roles",
      "Role",
      { rules: [{ apiGroups: [""], resources: ["pods"], verbs: [] }] },
      ["rules[0].verbs: Required value: verbs must contain at least one value"],
    ],
    [
      "a lease of no time",
      "coordination.k8s.io/v1/leases",
      "Lease",
      { spec: { leaseDurationSeconds: 0 } },
      ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    ],
    [
      "two ways to disrupt",
      "policy/v1/poddisruptionbudgets",
      "PodDisruptionBudget",
      { spec: { minAvailable: 1, maxUnavailable: 1 } },
      [
        'spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set',
      ],
    ],
    [
      "an autoscaler below its floor",
      "autoscaling/v2/horizontalpodautoscalers",
      "HorizontalPodAutoscaler",
      {
        spec: {
          minReplicas: 5,
          maxReplicas: 3,
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "d" },
        },
      },
      ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
    ],
    [
      "the names of claims that pods and StatefulSets make, and profiles without a type",
      "v1/pods",
      "Pod",
      {
        spec: {
          ...template().spec,
          securityContext: { seccompProfile: { localhostProfile: "p" } },
          volumes: [
            {
              name: "V",
              ephemeral: {
                volumeClaimTemplate: {
                  metadata: { name: "x" },
                  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
                },
              },
            },
          ],
        },
      },
      [
        "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
        expect.stringMatching(
          /^spec\.volumes\[0\]\.name: Invalid value: "V": PVC name "o0-V": a lowercase RFC 1123 subdomain/,
        ),
        expect.stringMatching(/^spec\.volumes\[0\]\.name: Invalid value: "V": a lowercase RFC 1123 label/),
        "spec.securityContext.seccompProfile.type: Required value: type is required when seccompProfile is set",
        'spec.securityContext.seccompProfile.localhostProfile: Invalid value: {"Type":"","LocalhostProfile":"p"}: can only be set when seccomp type is Localhost',
      ],
    ],
    [
      "a claim of a StatefulSet without a name",
      "apps/v1/statefulsets",
      "StatefulSet",
      { spec: workload({ volumeClaimTemplates: [{}] }) },
      [
        "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
        "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
        "spec.template.spec.volumes[0].persistentVolumeClaim.claimName: Required value",
        "spec.template.spec.volumes[0].name: Required value",
      ],
    ],
    [
      "a priority class that is not there",
      "v1/pods",
      "Pod",
      { spec: { ...template().spec, priorityClassName: "none" } },
      [`pods "o0" is forbidden: no PriorityClass with name none was found`],
    ],
  ])("refuses %s", async (_title, resource, kind, members, expected) => {
    expect(await causesOf(create(resource, kind, members, "o0"))).toEqual(expected);
  });

  it.each([
    ["apps/v1/statefulsets", "StatefulSet", "a.b"],
    ["v1/services", "Service", "a.b"],
    ["v1/namespaces", "Namespace", "a.b"],
    ["batch/v1/cronjobs", "CronJob", "c".repeat(53)],
    ["v1/configmaps", "ConfigMap", "UPPER"],
    ["rbac.authorization.k8s.io/v1/roles", "Role", "a/b"],
  ])("%s refuses the name %s", async (resource, kind, name) => {
    expect(
      (await causesOf(create(resource, kind, {}, name))).some((text) =>
        text.startsWith("metadata.name: Invalid value"),
      ),
    ).toBe(true);
  });

  it("lets roles be named with colons", async () => {
    expect(
      (await create("rbac.authorization.k8s.io/v1/clusterroles", "ClusterRole", { rules: [] }, "system:my:Role"))
        .metadata.name,
    ).toBe("system:my:Role");
  });
});

describe("updates", () => {
  const update = (resource: string, object: KubeObject, spec: object) =>
    server.send("update", resource, {
      namespace: "default",
      name: object.metadata.name,
      body: { ...object, spec: { ...(getPath(object, "spec") as object), ...spec } },
    });

  it("a selector never changes", async () => {
    const object = await create("apps/v1/deployments", "Deployment", { spec: workload() });
    const causes = await causesOf(
      update("apps/v1/deployments", object, {
        selector: { matchLabels: { app: "b" } },
        template: { ...template(), metadata: { labels: { app: "b" } } },
      }),
    );
    expect(causes).toEqual(['spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable']);
  });

  it("a pod keeps its spec but for its images", async () => {
    const pod = await create("v1/pods", "Pod", { spec: template().spec });
    const containers = getPath(pod, "spec", "containers") as readonly object[];
    await update("v1/pods", pod, { containers: [{ ...containers[0], image: "nginx:2" }] });
    const now = await server.send("get", "v1/pods", { namespace: "default", name: pod.metadata.name });
    expect((await causesOf(update("v1/pods", now, { hostNetwork: true })))[0]).toMatch(
      /^spec: Forbidden: pod updates may not change fields other than/,
    );
  });

  it("an immutable ConfigMap keeps its data", async () => {
    const object = await create("v1/configmaps", "ConfigMap", { immutable: true, data: { k: "v" } });
    const causes = await causesOf(
      server.send("update", "v1/configmaps", {
        namespace: "default",
        name: object.metadata.name,
        body: { ...object, data: {} },
      }),
    );
    expect(causes).toEqual(["data: Forbidden: field is immutable when `immutable` is set"]);
  });

  it("a pod sent as it was made is taken, though its priority came later", async () => {
    const sent = template({ nodeName: "n" }).spec;
    const pod = await create("v1/pods", "Pod", { spec: sent });
    const { apiVersion, kind, metadata } = pod;
    const again = { apiVersion, kind, metadata: { name: metadata.name, labels: { a: "b" } }, spec: sent };
    const now = await server.send("update", "v1/pods", {
      namespace: "default",
      name: metadata.name,
      body: again as KubeObject,
    });
    expect(now).toMatchObject({ metadata: { labels: { a: "b" } }, spec: { priority: 0 } });
  });

  it("what was sent empty is told empty, and stored as nothing", async () => {
    const empty = template({ containers: [{ name: "c", image: "i", args: [] }] }).spec;
    const pod = await create("v1/pods", "Pod", { spec: empty });
    expect(getPath(pod, "spec", "containers", "0", "args")).toBeUndefined();
    const [, ...lines] = (
      (await causesOf(update("v1/pods", pod, { containers: [{ name: "c", image: "i", args: ["a"] }] })))[0] ?? ""
    ).split("\n");
    expect(lines.filter((line) => line.includes("Args"))).toEqual(['-   "Args": null,', '+   "Args": [']);
    const full = await create("v1/pods", "Pod", {
      spec: template({ containers: [{ name: "c", image: "i", args: ["a"] }] }).spec,
    });
    expect(await causesOf(update("v1/pods", full, { containers: [{ name: "c", image: "i", args: [] }] }))).toEqual([
      expect.stringContaining('+   "Args": [],'),
    ]);
    const selects = create("apps/v1/deployments", "Deployment", {
      spec: workload({ template: { ...template(), metadata: { labels: {} } } }),
    });
    expect(await causesOf(selects)).toEqual([
      "spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`",
    ]);
  });

  it("a claim keeps its spec", async () => {
    const claim = await create("v1/persistentvolumeclaims", "PersistentVolumeClaim", {
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    });
    expect((await causesOf(update("v1/persistentvolumeclaims", claim, { accessModes: ["ReadWriteMany"] })))[0]).toMatch(
      /^spec: Forbidden: spec is immutable after creation/,
    );
    const former = { ...claim.metadata, annotations: { "volume.beta.kubernetes.io/storage-class": "x" } };
    const annotated = (await server.send("update", "v1/persistentvolumeclaims", {
      namespace: "default",
      name: claim.metadata.name,
      body: { ...claim, metadata: former },
    })) as KubeObject;
    expect((await causesOf(update("v1/persistentvolumeclaims", annotated, { storageClassName: "y" })))[0]).toMatch(
      /"StorageClassName\\?": \\?"y/,
    );
    const moved = await update("v1/persistentvolumeclaims", annotated, { storageClassName: "x" });
    expect(getPath(moved, "spec", "storageClassName")).toBe("x");
  });
});

describe("statuses", () => {
  const write = (resource: string, object: KubeObject, status: object) =>
    server.send("update", resource, {
      ...(object.metadata.namespace === undefined ? {} : { namespace: "default" }),
      name: object.metadata.name,
      subresource: "status",
      body: { ...object, metadata: { name: object.metadata.name }, status } as unknown as KubeObject,
    });

  it.each([
    ["a node is not proposed to a pod that has one", { nominatedNodeName: "m" }, "status.nominatedNodeName: Forbidden"],
    ["its class of service stays", { qosClass: "Guaranteed" }, "status.qosClass: Invalid"],
    ["addresses are addresses", { podIP: "x" }, "status.podIPs[0]: Invalid"],
    ["one address of each family", { podIPs: [{ ip: "1.2.3.4" }, { ip: "1.2.3.5" }] }, "status.podIPs: Invalid"],
    [
      "the first address of the host is its address",
      { hostIP: "1.2.3.4", hostIPs: [{ ip: "1.2.3.5" }] },
      "status.hostIPs[0].ip: Invalid",
    ],
    [
      "claims are those of the spec",
      { resourceClaimStatuses: [{ name: "x" }] },
      "status.resourceClaimStatuses[0].name",
    ],
    ["conditions have a name", { conditions: [{ type: "", status: "True" }] }, "status.conditions[0].Type: Invalid"],
    [
      "users are numbers in their range",
      { containerStatuses: [{ name: "c", user: { linux: { uid: -1, gid: 1 } } }] },
      "status.containerStatuses[0].user.linux.uid: Invalid",
    ],
  ])("of pods: %s", async (_title, status, cause) => {
    const pod = await create("v1/pods", "Pod", { spec: template({ nodeName: "n" }).spec });
    expect((await causesOf(write("v1/pods", pod, status)))[0]).toContain(cause);
  });

  it.each([
    ["an index that is none", { completedIndexes: "1,a" }, "status.completedIndexes: Invalid"],
    ["indexes that do not rise", { completedIndexes: "3-1" }, "non-increasing order, previous: 3, current: 1"],
    [
      "a pod counted twice",
      { uncountedTerminatedPods: { succeeded: ["a"], failed: ["a"] } },
      "status.uncountedTerminatedPods.failed[0]: Duplicate",
    ],
  ])("of jobs: %s", async (_title, status, cause) => {
    const job = await create("batch/v1/jobs", "Job", { spec: { template: template({ restartPolicy: "Never" }) } });
    expect((await causesOf(write("batch/v1/jobs", job, status)))[0]).toContain(cause);
  });

  it("of claims on devices: only what was allocated is used, and by somebody", async () => {
    const claim = await create("resource.k8s.io/v1/resourceclaims", "ResourceClaim", {
      spec: { devices: { requests: [{ name: "r", exactly: { deviceClassName: "c" } }] } },
    });
    const device = { driver: "a.example.com", pool: "p", device: "d" };
    const causes = await causesOf(
      write("resource.k8s.io/v1/resourceclaims", claim, { devices: [device], reservedFor: [{ resource: "pods" }] }),
    );
    expect(causes.map((cause) => cause.replace(/: \w+.*/, ""))).toEqual([
      "status.devices[0]",
      "status.reservedFor[0].name",
      "status.reservedFor[0].uid",
      "status.reservedFor",
    ]);
    const allocation = { devices: { results: [{ request: "r", ...device }] } };
    await write("resource.k8s.io/v1/resourceclaims", claim, { allocation, devices: [device] });
  });

  it("of volumes: tell since when they are in their phase", async () => {
    const volume = await create("v1/persistentvolumes", "PersistentVolume", {
      spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/x" } },
    });
    const began = getPath(volume, "status", "lastPhaseTransitionTime");
    await (server.clock as VirtualClock).advance(60_000);
    const same = await write("v1/persistentvolumes", volume, { phase: "Pending", message: "m" });
    expect(getPath(same, "status", "lastPhaseTransitionTime")).toBe(began);
    const bound = await write("v1/persistentvolumes", volume, { phase: "Bound" });
    expect(String(getPath(bound, "status", "lastPhaseTransitionTime")) > String(began)).toBe(true);
  });
});

describe("services", () => {
  const service = (spec: object) => create("v1/services", "Service", { spec: { ports: [{ port: 80 }], ...spec } });

  it("no two hold the same address or node port, also not when made at once", async () => {
    const all = await Promise.all(Array.from({ length: 40 }, () => service({ type: "NodePort" })));
    expect(new Set(all.map((one) => getPath(one, "spec", "clusterIP"))).size).toBe(40);
    expect(new Set(all.map((one) => getPath(one, "spec", "ports", 0, "nodePort"))).size).toBe(40);
  });

  it("an address asked for is refused when it is taken, and free again after deletion", async () => {
    const first = await service({});
    const clusterIP = getPath(first, "spec", "clusterIP");
    expect(await causesOf(service({ clusterIP }))).toEqual([
      `spec.clusterIPs: Invalid value: ["${clusterIP}"]: failed to allocate IP ${clusterIP}: provided IP is already allocated`,
    ]);
    await server.send("delete", "v1/services", { namespace: "default", name: first.metadata.name });
    expect(getPath(await service({ clusterIP }), "spec", "clusterIP")).toBe(clusterIP);
  });

  it("a type that needs no node port gives it back, and allocated values survive a replace", async () => {
    const first = await service({ type: "NodePort" });
    const body = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: first.metadata.name },
      spec: { type: "NodePort", ports: [{ port: 80 }] },
    };
    const replaced = await server.send("update", "v1/services", {
      namespace: "default",
      name: first.metadata.name,
      body,
    });
    expect(getPath(replaced, "spec")).toEqual(getPath(first, "spec"));
    const patched = await server.send("patch", "v1/services", {
      namespace: "default",
      name: first.metadata.name,
      patchType: "application/merge-patch+json",
      body: { spec: { type: "ClusterIP" } },
    });
    expect(getPath(patched, "spec", "ports", 0)).not.toHaveProperty("nodePort");
    expect(getPath(patched, "spec", "clusterIP")).toBe(getPath(first, "spec", "clusterIP"));
  });
});

describe("versions", () => {
  it("an autoscaler written as v1 is read as v2, and back", async () => {
    const v1 = await create("autoscaling/v1/horizontalpodautoscalers", "HorizontalPodAutoscaler", {
      spec: {
        maxReplicas: 3,
        targetCPUUtilizationPercentage: 70,
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "d" },
      },
    });
    expect(getPath(v1, "spec", "targetCPUUtilizationPercentage")).toBe(70);
    const at = { namespace: "default", name: v1.metadata.name };
    const v2 = await server.send("get", "autoscaling/v2/horizontalpodautoscalers", at);
    expect(getPath(v2, "spec", "metrics")).toEqual([
      { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 70 } } },
    ]);
    const metrics = [
      ...(getPath(v2, "spec", "metrics") as readonly object[]),
      { type: "Pods", pods: { metric: { name: "rps" }, target: { type: "AverageValue", averageValue: "5" } } },
    ];
    await server.send("update", "autoscaling/v2/horizontalpodautoscalers", {
      ...at,
      body: { ...v2, spec: { ...(getPath(v2, "spec") as object), metrics } },
    });
    const again = await server.send("get", "autoscaling/v1/horizontalpodautoscalers", at);
    expect(again.metadata.annotations?.["autoscaling.alpha.kubernetes.io/metrics"]).toBe(
      '[{"type":"Pods","pods":{"metricName":"rps","targetAverageValue":"5"}}]',
    );
    await server.send("update", "autoscaling/v1/horizontalpodautoscalers", {
      ...at,
      body: { ...again, spec: { ...(getPath(again, "spec") as object), maxReplicas: 4 } },
    });
    expect(getPath(await server.send("get", "autoscaling/v2/horizontalpodautoscalers", at), "spec", "metrics")).toEqual(
      [metrics[1], metrics[0]],
    );
  });

  it("an Event of one group is an Event of the other", async () => {
    const event = await create("events.k8s.io/v1/events", "Event", {
      note: "hello",
      regarding: { kind: "Pod", name: "p", namespace: "default" },
      reason: "Said",
      type: "Normal",
      eventTime: "2026-01-01T00:00:00.000000Z",
      reportingController: "c",
      reportingInstance: "i",
      action: "Say",
    });
    expect(event).toMatchObject({ note: "hello", regarding: { name: "p" } });
    const core = await server.send("get", "v1/events", { namespace: "default", name: event.metadata.name });
    expect(core).toMatchObject({
      apiVersion: "v1",
      message: "hello",
      involvedObject: { name: "p" },
      reportingComponent: "c",
    });
    const { items } = await server.inside.list({
      group: "events.k8s.io",
      version: "v1",
      resource: "events",
      fieldSelector: "regarding.name=p",
    });
    expect(items).toEqual([event]);
  });
});

describe("admission", () => {
  it("refuses to delete the namespaces everything needs", async () => {
    expect(await causesOf(server.send("delete", "v1/namespaces", { name: "default" }))).toEqual([
      'namespaces "default" is forbidden: this namespace may not be deleted',
    ]);
  });

  it("fills in and holds to the LimitRange of a namespace", async () => {
    await server.send("create", "v1/namespaces", {
      body: { apiVersion: "v1", kind: "Namespace", metadata: { name: "limited" } },
    });
    const range = {
      apiVersion: "v1",
      kind: "LimitRange",
      metadata: { name: "r" },
      spec: {
        limits: [{ type: "Container", default: { cpu: "1" }, defaultRequest: { cpu: "200m" }, max: { cpu: "2" } }],
      },
    };
    await server.send("create", "v1/limitranges", { namespace: "limited", body: range });
    const pod = (name: string, resources: object) =>
      server.send("create", "v1/pods", {
        namespace: "limited",
        body: {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name },
          spec: { containers: [{ name: "c", image: "i", resources }] },
        },
      });
    expect(getPath(await pod("a", {}), "spec", "containers", 0, "resources")).toEqual({
      limits: { cpu: "1" },
      requests: { cpu: "200m" },
    });
    expect(await causesOf(pod("b", { limits: { cpu: "3" } }))).toEqual([
      'pods "b" is forbidden: maximum cpu usage per Container is 2, but limit is 3',
    ]);
  });

  it("refuses what would exceed a quota", async () => {
    await server.send("create", "v1/namespaces", {
      body: { apiVersion: "v1", kind: "Namespace", metadata: { name: "small" } },
    });
    const hard = { "requests.cpu": "1", "count/configmaps": "1" };
    const quota = await server.send("create", "v1/resourcequotas", {
      namespace: "small",
      body: { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "q" }, spec: { hard } },
    });
    await server.send("update", "v1/resourcequotas", {
      namespace: "small",
      name: "q",
      subresource: "status",
      body: { ...quota, status: { hard, used: { "requests.cpu": "0", "count/configmaps": "0" } } },
    });
    const pod = (name: string) =>
      server.send("create", "v1/pods", {
        namespace: "small",
        body: {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name },
          spec: { containers: [{ name: "c", image: "i", resources: { requests: { cpu: "600m" } } }] },
        },
      });
    await pod("a");
    expect(await causesOf(pod("b"))).toEqual([
      'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1',
    ]);
    const map = (name: string) =>
      server.send("create", "v1/configmaps", {
        namespace: "small",
        body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name } },
      });
    await map("a");
    expect(await causesOf(map("b"))).toEqual([
      'configmaps "b" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1',
    ]);
  });

  it("leaves the pods of a Job alone unless told otherwise, as batch/v1 always did", async () => {
    const job = await create("batch/v1/jobs", "Job", { spec: { template: template({ restartPolicy: "Never" }) } });
    const at = { namespace: "default", name: job.metadata.name };
    expect((await server.send("delete", "batch/v1/jobs", at)).metadata.finalizers).toEqual(["orphan"]);
    const other = await create("batch/v1/jobs", "Job", { spec: { template: template({ restartPolicy: "Never" }) } });
    expect(
      await server.send("delete", "batch/v1/jobs", {
        namespace: "default",
        name: other.metadata.name,
        options: { propagationPolicy: "Background" },
      }),
    ).toMatchObject({ kind: "Status" });
  });

  it("forgets an Event an hour after it was last seen", async () => {
    const own = await createTestServer();
    const event = (name: string, lastTimestamp: string) =>
      own.send("create", "v1/events", {
        namespace: "default",
        body: {
          apiVersion: "v1",
          kind: "Event",
          metadata: { name },
          involvedObject: { kind: "Pod", name: "p", namespace: "default" },
          lastTimestamp,
        },
      });
    await event("old", "2026-01-01T00:00:00Z");
    await event("fresh", "2026-01-01T00:50:00Z");
    await (own.clock as VirtualClock).advance(3_720_000);
    const { items } = await own.inside.list({ group: "", version: "v1", resource: "events" });
    expect(items.map(({ metadata }) => metadata.name)).toEqual(["fresh"]);
    own.stop();
  });

  it("approves a certificate request without touching what was asked", async () => {
    const request = Buffer.from(certificateRequest).toString("base64");
    const csr = await create("certificates.k8s.io/v1/certificatesigningrequests", "CertificateSigningRequest", {
      spec: { request, signerName: "kubernetes.io/kube-apiserver-client", usages: ["client auth"] },
    });
    const conditions = [{ type: "Approved", status: "True", reason: "Ok", message: "" }];
    const approved = await server.send("update", "certificates.k8s.io/v1/certificatesigningrequests", {
      name: csr.metadata.name,
      subresource: "approval",
      body: { ...csr, spec: { ...(getPath(csr, "spec") as object), signerName: "other.io/x" }, status: { conditions } },
    });
    expect(approved).toMatchObject({
      status: { conditions: [{ type: "Approved" }] },
      spec: { signerName: "kubernetes.io/kube-apiserver-client", username: "system:flotilla" },
    });
  });
});
