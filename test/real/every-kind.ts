/** One object of every kind users keep in a control plane, Kubernetes' own and all of Karmada's. */
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
export const shop = "shop";

/** One object of every group users keep in a control plane. */
export const objects = [
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
  named(
    "policy.karmada.io/v1alpha1",
    "OverridePolicy",
    "op",
    {
      spec: {
        resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", name: "config" }],
        overrideRules: [{ overriders: { annotationsOverrider: [{ operator: "add", value: { x: "y" } }] } }],
      },
    },
    shop,
  ),
  named("policy.karmada.io/v1alpha1", "ClusterPropagationPolicy", "cpp", {
    spec: {
      resourceSelectors: [{ apiVersion: "v1", kind: "ConfigMap", namespace: "none", name: "none" }],
      placement: { clusterAffinity: { clusterNames: ["m1"] } },
    },
  }),
  named("policy.karmada.io/v1alpha1", "ClusterTaintPolicy", "ctp", {
    spec: {
      addOnConditions: [{ conditionType: "NetworkReady", operator: "In", statusValues: ["False"] }],
      taints: [{ key: "network", effect: "NoSchedule" }],
    },
  }),
  named("policy.karmada.io/v1alpha1", "FederatedResourceQuota", "frq", { spec: { overall: { cpu: "10" } } }, shop),
  named(
    "autoscaling.karmada.io/v1alpha1",
    "FederatedHPA",
    "fhpa",
    {
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        minReplicas: 1,
        maxReplicas: 5,
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 70 } } },
        ],
      },
    },
    shop,
  ),
  named(
    "autoscaling.karmada.io/v1alpha1",
    "CronFederatedHPA",
    "cfhpa",
    {
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        rules: [{ name: "night", schedule: "0 0 1 1 *", targetReplicas: 2, suspend: true }],
      },
    },
    shop,
  ),
  named("config.karmada.io/v1alpha1", "ResourceInterpreterCustomization", "ric", {
    spec: {
      target: { apiVersion: "example.com/v1", kind: "Boat" },
      customizations: {
        retention: { luaScript: "function Retain(desiredObj, observedObj)\n  return desiredObj\nend" },
      },
    },
  }),
  named("config.karmada.io/v1alpha1", "ResourceInterpreterWebhookConfiguration", "riwc", {
    webhooks: [
      {
        name: "boats.example.com",
        clientConfig: { url: "https://127.0.0.1:1/interpret" },
        rules: [
          { operations: ["InterpretHealth"], apiGroups: ["ships.example.com"], apiVersions: ["v1"], kinds: ["Ship"] },
        ],
        timeoutSeconds: 3,
        interpreterContextVersions: ["v1alpha1"],
      },
    ],
  }),
  named("networking.karmada.io/v1alpha1", "MultiClusterService", "mcs", { spec: { types: ["CrossCluster"] } }, shop),
  named(
    "networking.karmada.io/v1alpha1",
    "MultiClusterIngress",
    "mci",
    { spec: { defaultBackend: { service: { name: "web", port: { number: 80 } } } } },
    shop,
  ),
  named("multicluster.x-k8s.io/v1alpha1", "ServiceExport", "web", {}, shop),
  named(
    "multicluster.x-k8s.io/v1alpha1",
    "ServiceImport",
    "web",
    { spec: { type: "ClusterSetIP", ports: [{ port: 80, protocol: "TCP" }] } },
    shop,
  ),
  named("apps.karmada.io/v1alpha1", "WorkloadRebalancer", "rebalancer", {
    spec: { workloads: [{ apiVersion: "apps/v1", kind: "Deployment", namespace: shop, name: "none" }] },
  }),
  named("remedy.karmada.io/v1alpha1", "Remedy", "remedy", {
    spec: {
      clusterAffinity: { clusterNames: ["none"] },
      decisionMatches: [
        {
          clusterConditionMatch: {
            conditionType: "ServiceDomainNameResolutionReady",
            operator: "Equal",
            conditionStatus: "False",
          },
        },
      ],
      actions: ["TrafficControl"],
    },
  }),
  named("search.karmada.io/v1alpha1", "ResourceRegistry", "registry", {
    spec: {
      targetCluster: { clusterNames: ["m1"] },
      resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment" }],
    },
  }),
];
/** What an upstream search server left in the same etcd, under its own key. */
export const upstreamRegistry = named("search.karmada.io/v1alpha1", "ResourceRegistry", "from-upstream", {
  spec: { targetCluster: {}, resourceSelectors: [{ apiVersion: "v1", kind: "Pod" }] },
});
const boat = named("example.com/v1", "Boat", "one", { spec: { hull: "red" } }, shop);
const cluster = named("cluster.karmada.io/v1alpha1", "Cluster", "m1", {
  spec: { syncMode: "Push", apiEndpoint: "https://127.0.0.1:1", insecureSkipTLSVerification: true },
});
const reference = { apiVersion: "v1", kind: "Secret", namespace: shop, name: "secret" };
const suspended = { suspension: { scheduling: true, dispatching: true } };

/** What needs the kinds or the namespaces that others bring. */
export const lateObjects = [
  boat,
  cluster,
  named(
    "work.karmada.io/v1alpha1",
    "Work",
    "by-hand",
    {
      spec: {
        suspendDispatching: true,
        workload: { manifests: [named("v1", "ConfigMap", "far", { data: { a: "b" } }, shop)] },
      },
    },
    "karmada-es-m1",
  ),
  named(
    "work.karmada.io/v1alpha2",
    "ResourceBinding",
    "secret-secret",
    { spec: { resource: reference, ...suspended } },
    shop,
  ),
  named("work.karmada.io/v1alpha2", "ClusterResourceBinding", "fast-storageclass", {
    spec: { resource: { apiVersion: "storage.k8s.io/v1", kind: "StorageClass", name: "fast" }, ...suspended },
  }),
];
