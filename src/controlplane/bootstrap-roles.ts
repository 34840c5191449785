import type { StartOptions } from "#apiserver";

type BootstrapRoles = NonNullable<StartOptions["bootstrapRoles"]>;

const rbac = "rbac.authorization.k8s.io";
const role = (kind: "ClusterRole" | "Role", name: string) => ({ apiGroup: rbac, kind, name });
const group = (name: string) => ({ apiGroup: rbac, kind: "Group", name });
const user = (name: string) => ({ apiGroup: rbac, kind: "User", name });

/** The kinds users of a namespace work with, by group. */
const USER_KINDS: Readonly<Record<string, readonly string[]>> = {
  "autoscaling.karmada.io": ["cronfederatedhpas", "cronfederatedhpas/status", "federatedhpas", "federatedhpas/status"],
  "multicluster.x-k8s.io": ["serviceexports", "serviceexports/status", "serviceimports", "serviceimports/status"],
  "networking.karmada.io": [
    "multiclusteringresses",
    "multiclusteringresses/status",
    "multiclusterservices",
    "multiclusterservices/status",
  ],
  "policy.karmada.io": ["overridepolicies", "propagationpolicies"],
  "work.karmada.io": ["resourcebindings", "resourcebindings/status", "works", "works/status"],
};
const userRole = (name: string, aggregateTo: string, verbs: readonly string[]) => ({
  name,
  labels: {
    "kubernetes.io/bootstrapping": "rbac-defaults",
    [`rbac.authorization.k8s.io/aggregate-to-${aggregateTo}`]: "true",
  },
  rules: Object.entries(USER_KINDS).map(([apiGroup, resources]) => ({ apiGroups: [apiGroup], resources, verbs })),
});

const BOOTSTRAPPERS = group("system:bootstrappers:karmada:default-cluster-token");
const requests = (subresource: string) => [
  { apiGroups: ["certificates.k8s.io"], resources: [`certificatesigningrequests/${subresource}`], verbs: ["create"] },
];

/** What `karmadactl init` sets up: roles of users, and the road of a pull member from a token to its own identity. */
export const karmadaBootstrapRoles: BootstrapRoles = {
  clusterroles: [
    {
      name: "cluster-proxy-admin",
      rules: [{ apiGroups: ["cluster.karmada.io"], resources: ["clusters/proxy"], verbs: ["*"] }],
    },
    userRole("karmada-view", "view", ["get", "list", "watch"]),
    userRole("karmada-edit", "edit", ["create", "update", "patch", "delete", "deletecollection"]),
    {
      name: "system:karmada:agent-rbac-generator",
      rules: [
        { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
        { nonResourceURLs: ["*"], verbs: ["*"] },
      ],
    },
    { name: "system:karmada:certificatesigningrequest:autoapprover", rules: requests("clusteragent") },
    { name: "system:karmada:certificatesigningrequest:selfautoapprover", rules: requests("selfclusteragent") },
  ],
  clusterrolebindings: [
    {
      name: "cluster-proxy-admin",
      roleRef: role("ClusterRole", "cluster-proxy-admin"),
      subjects: [user("system:admin")],
    },
    {
      name: "system:karmada:agent-rbac-generator",
      roleRef: role("ClusterRole", "system:karmada:agent-rbac-generator"),
      subjects: [user("system:karmada:agent:rbac-generator")],
    },
    {
      name: "system:karmada:agent-bootstrap",
      roleRef: role("ClusterRole", "system:node-bootstrapper"),
      subjects: [BOOTSTRAPPERS],
    },
    {
      name: "system:karmada:agent-autoapprove-bootstrap",
      roleRef: role("ClusterRole", "system:karmada:certificatesigningrequest:autoapprover"),
      subjects: [BOOTSTRAPPERS],
    },
    {
      name: "system:karmada:agent-autoapprove-certificate-rotation",
      roleRef: role("ClusterRole", "system:karmada:certificatesigningrequest:selfautoapprover"),
      subjects: [group("system:karmada:agents")],
    },
  ],
  roles: [
    {
      name: "system:karmada:bootstrap-signer-clusterinfo",
      namespace: "kube-public",
      rules: [{ apiGroups: [""], resources: ["configmaps"], resourceNames: ["cluster-info"], verbs: ["get"] }],
    },
  ],
  rolebindings: [
    {
      name: "system:karmada:bootstrap-signer-clusterinfo",
      namespace: "kube-public",
      roleRef: role("Role", "system:karmada:bootstrap-signer-clusterinfo"),
      subjects: [user("system:anonymous")],
    },
  ],
};
