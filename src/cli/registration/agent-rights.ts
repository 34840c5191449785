import { ClusterRole, ClusterRoleBinding, Namespace, Role, RoleBinding } from "#apis/kubernetes";
import { agentRoleName, agentSecretRoleName, agentWorkRoleName, executionNamespace, SYSTEM } from "#apis/karmada";
import { type Client, ensureObject } from "#client";
import type { KubeObject, ResourceKind } from "#machinery";

const RBAC = "rbac.authorization.k8s.io";
const labels = { [SYSTEM]: "true" };

interface RightsObject {
  readonly kind: ResourceKind;
  readonly object: KubeObject;
}

const rule = (apiGroup: string, resources: string[], verbs: string[], resourceNames?: string[]) => ({
  apiGroups: [apiGroup],
  resources,
  verbs,
  ...(resourceNames === undefined ? {} : { resourceNames }),
});

/** Name of an agent in the control plane. */
export const agentUser = (cluster: string): string => `system:karmada:agent:${cluster}`;

/** The least an agent needs in the control plane (`AG-3`), roles before their bindings. */
export function agentRights(cluster: string, clusterNamespace: string): readonly RightsObject[] {
  const subjects = [{ kind: "User", apiGroup: RBAC, name: agentUser(cluster) }];
  const pair = (name: string, rules: object[], namespace?: string): RightsObject[] => {
    const kind = namespace === undefined ? "ClusterRole" : "Role";
    const metadata = { name, labels, ...(namespace === undefined ? {} : { namespace }) };
    return [
      {
        kind: namespace === undefined ? ClusterRole : Role,
        object: { apiVersion: `${RBAC}/v1`, kind, metadata, rules } as KubeObject,
      },
      {
        kind: namespace === undefined ? ClusterRoleBinding : RoleBinding,
        object: {
          apiVersion: `${RBAC}/v1`,
          kind: `${kind}Binding`,
          metadata,
          subjects,
          roleRef: { apiGroup: RBAC, kind, name },
        } as KubeObject,
      },
    ];
  };
  const space = executionNamespace(cluster);
  return [
    ...pair(agentRoleName(cluster), [
      rule("cluster.karmada.io", ["clusters"], ["get", "delete"], [cluster]),
      rule("cluster.karmada.io", ["clusters"], ["create", "list", "watch"]),
      rule("cluster.karmada.io", ["clusters/status"], ["update"], [cluster]),
      rule(
        "config.karmada.io",
        ["resourceinterpretercustomizations", "resourceinterpreterwebhookconfigurations"],
        ["get", "list", "watch"],
      ),
      rule("", ["namespaces"], ["get"]),
      rule("coordination.k8s.io", ["leases"], ["get", "create", "update"]),
      rule("certificates.k8s.io", ["certificatesigningrequests"], ["get", "create"]),
      rule("", ["services"], ["list", "watch"]),
      rule("", ["events"], ["patch", "create", "update"]),
      // Whether Works go because their kind does, so that an agent then leaves what they made.
      rule("apiextensions.k8s.io", ["customresourcedefinitions"], ["get"], ["works.work.karmada.io"]),
    ]),
    ...pair(
      agentSecretRoleName(cluster),
      [
        rule("", ["secrets"], ["get", "patch"], [cluster, `${cluster}-impersonator`]),
        rule("", ["secrets"], ["create"]),
      ],
      clusterNamespace,
    ),
    ...pair(
      agentWorkRoleName(cluster),
      [
        rule("work.karmada.io", ["works"], ["get", "create", "list", "watch", "update", "delete"]),
        rule("work.karmada.io", ["works/status"], ["patch", "update"]),
      ],
      space,
    ),
  ];
}

/** Gives an agent what it needs, anew: what an agent before it had may be about to go with its Cluster. */
export async function grantAgentRights(client: Client, cluster: string, clusterNamespace: string): Promise<void> {
  await revokeAgentRights(client, cluster, clusterNamespace);
  for (const name of [executionNamespace(cluster), clusterNamespace])
    await ensureObject(client, Namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  for (const { kind, object } of agentRights(cluster, clusterNamespace)) await ensureObject(client, kind, object);
}

/** Takes an agent's rights away; what is gone already is no error. */
export async function revokeAgentRights(client: Client, cluster: string, clusterNamespace: string): Promise<void> {
  for (const { kind, object } of [...agentRights(cluster, clusterNamespace)].reverse())
    await client.delete(kind, { namespace: object.metadata.namespace, name: object.metadata.name ?? "" });
}
