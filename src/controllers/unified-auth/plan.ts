import type { ClusterRole, ClusterRoleBinding } from "#apis/kubernetes";
import { SYSTEM } from "#apis/karmada";
import type { KubeObject } from "#machinery";

const RBAC = "rbac.authorization.k8s.io";
export const IMPERSONATOR = "karmada-impersonator";

interface Rule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
}

const has = (list: readonly string[] | undefined, ...wanted: readonly string[]) =>
  wanted.some((one) => list?.includes(one) ?? false);

/** Whether a rule lets its subjects into a cluster: by the cluster proxy, or by the unified endpoint of search. */
function ruleGrants(rule: Rule, cluster: string | undefined): boolean {
  if (has(rule.apiGroups, "cluster.karmada.io", "*") && has(rule.resources, "clusters/proxy", "*")) {
    const names = rule.resourceNames ?? [];
    if (cluster === undefined || names.length === 0 || names.includes(cluster)) return true;
  }
  return has(rule.apiGroups, "search.karmada.io", "*") && has(rule.resources, "proxying/proxy", "*");
}

/** Whether a role lets its subjects into the cluster, or into any when none is named. */
export const roleGrants = (role: ClusterRole, cluster?: string): boolean =>
  ((role as { rules?: readonly Rule[] | null }).rules ?? []).some((rule) => ruleGrants(rule, cluster));

interface Subject {
  readonly kind: string;
  readonly name: string;
}

const RESOURCES = [
  ["User", "users"],
  ["ServiceAccount", "serviceaccounts"],
  ["Group", "groups"],
] as const;

/** The rights of the impersonator in a cluster: to act as everybody the control plane lets in. */
export function planImpersonation(
  cluster: string,
  namespace: string,
  roles: readonly ClusterRole[],
  bindings: readonly ClusterRoleBinding[],
): readonly [KubeObject, KubeObject] {
  const granting = new Set(roles.filter((role) => roleGrants(role, cluster)).map(({ metadata }) => metadata.name));
  const subjects = bindings
    .filter(({ roleRef }) => roleRef.kind === "ClusterRole" && granting.has(roleRef.name))
    .flatMap((binding) => (binding.subjects ?? []) as readonly Subject[]);
  const rules = RESOURCES.flatMap(([kind, resource]) => {
    const names = [...new Set(subjects.filter((subject) => subject.kind === kind).map(({ name }) => name))].sort();
    return names.length === 0
      ? []
      : [{ apiGroups: [""], resources: [resource], verbs: ["impersonate"], resourceNames: names }];
  });
  const metadata = { name: IMPERSONATOR, labels: { [SYSTEM]: "true" } };
  return [
    { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata, rules } as KubeObject,
    {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRoleBinding",
      metadata,
      subjects: [{ kind: "ServiceAccount", name: IMPERSONATOR, namespace }],
      roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: IMPERSONATOR },
    } as KubeObject,
  ];
}
