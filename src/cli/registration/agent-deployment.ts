import { ClusterRole, ClusterRoleBinding, Deployment, Secret, ServiceAccount } from "#apis/kubernetes";
import { SYSTEM } from "#apis/karmada";
import type { Client } from "#client";
import type { KubeObject, ResourceKind } from "#machinery";

export const AGENT = "karmada-agent";
export const AGENT_ACCOUNT = "karmada-agent-sa";
export const AGENT_KUBECONFIG = "karmada-kubeconfig";
const MOUNT = "/etc/kubeconfig";
const RBAC = "rbac.authorization.k8s.io";

export interface AgentOptions {
  readonly cluster: string;
  readonly namespace: string;
  readonly clusterNamespace: string;
  readonly apiEndpoint: string;
  readonly provider: string;
  readonly region: string;
  readonly zones: string;
  readonly proxyServerAddress: string;
  readonly image: string;
  readonly replicas: number;
  readonly rotatesCertificates: boolean;
  /** The agent's kubeconfig for the control plane. */
  readonly kubeconfig: string;
}

/** The command line of an agent; `unregister` reads it there (wire). */
const commandOf = (options: AgentOptions): readonly string[] => [
  "/bin/karmada-agent",
  `--karmada-kubeconfig=${MOUNT}/${AGENT_KUBECONFIG}`,
  `--cluster-name=${options.cluster}`,
  `--cluster-api-endpoint=${options.apiEndpoint}`,
  `--cluster-provider=${options.provider}`,
  `--cluster-region=${options.region}`,
  `--cluster-zones=${options.zones}`,
  `--controllers=*${options.rotatesCertificates ? ",certRotation" : ""}`,
  `--proxy-server-address=${options.proxyServerAddress}`,
  `--leader-elect-resource-namespace=${options.namespace}`,
  `--cluster-namespace=${options.clusterNamespace}`,
  "--cluster-status-update-frequency=10s",
  "--metrics-bind-address=:8080",
  "--health-probe-bind-address=0.0.0.0:10357",
  "--v=2",
];

interface MemberObject {
  readonly kind: ResourceKind;
  readonly object: KubeObject;
}

/** What an agent needs in its member before it starts. */
export function agentPrerequisites(options: AgentOptions): readonly MemberObject[] {
  const labels = { [SYSTEM]: "true" };
  const { namespace, kubeconfig } = options;
  return [
    {
      kind: Secret,
      object: {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { namespace, name: AGENT_KUBECONFIG, labels },
        type: "Opaque",
        data: { [AGENT_KUBECONFIG]: Buffer.from(kubeconfig).toString("base64") },
      } as KubeObject,
    },
    {
      kind: ClusterRole,
      object: {
        apiVersion: `${RBAC}/v1`,
        kind: "ClusterRole",
        metadata: { name: AGENT, labels },
        rules: [
          { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
          { nonResourceURLs: ["*"], verbs: ["*"] },
        ],
      } as KubeObject,
    },
    {
      kind: ServiceAccount,
      object: { apiVersion: "v1", kind: "ServiceAccount", metadata: { namespace, name: AGENT_ACCOUNT, labels } },
    },
    {
      kind: ClusterRoleBinding,
      object: {
        apiVersion: `${RBAC}/v1`,
        kind: "ClusterRoleBinding",
        metadata: { name: AGENT, labels },
        roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: AGENT },
        subjects: [{ kind: "ServiceAccount", name: AGENT_ACCOUNT, namespace }],
      } as KubeObject,
    },
  ];
}

/** The agent itself. */
export function agentDeployment(options: AgentOptions): Deployment {
  const labels = { app: AGENT, [SYSTEM]: "true" };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { namespace: options.namespace, name: AGENT, labels },
    spec: {
      replicas: options.replicas,
      selector: { matchLabels: { app: AGENT } },
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName: AGENT_ACCOUNT,
          containers: [
            {
              name: AGENT,
              image: options.image,
              command: commandOf(options),
              volumeMounts: [{ name: "kubeconfig", mountPath: MOUNT }],
            },
          ],
          volumes: [{ name: "kubeconfig", secret: { secretName: AGENT_KUBECONFIG } }],
          tolerations: [{ key: "node-role.kubernetes.io/master", operator: "Exists" }],
        },
      },
    },
  } as unknown as Deployment;
}

/** The credentials an agent's Deployment was given: the text of its kubeconfig and the context in it. */
export async function kubeconfigOfAgent(
  client: Client,
  namespace: string,
  name: string,
): Promise<{ readonly text: string; readonly context: string | undefined }> {
  const deployment = await client.get(Deployment, { namespace, name });
  const pod = deployment.spec?.template?.spec;
  const container = pod?.containers?.[0];
  const flagOf = (flag: string) =>
    (container?.command ?? []).find((word) => word.startsWith(`--${flag}=`))?.slice(flag.length + 3);
  const path = flagOf("karmada-kubeconfig");
  if (path === undefined)
    throw new Error(
      `the command of deployment ${namespace}/${name} has no --karmada-kubeconfig; give --karmada-config`,
    );
  const slash = path.lastIndexOf("/");
  const mount = container?.volumeMounts?.find(({ mountPath }) => mountPath.replace(/\/$/, "") === path.slice(0, slash));
  const secretName = pod?.volumes?.find((volume) => volume.name === mount?.name)?.secret?.secretName;
  if (secretName === undefined)
    throw new Error(
      `deployment ${namespace}/${name} mounts no secret at ${path.slice(0, slash)}; give --karmada-config`,
    );
  const secret = await client.get(Secret, { namespace, name: secretName });
  const data = secret.data?.[path.slice(slash + 1)];
  if (data === undefined) throw new Error(`secret ${namespace}/${secretName} has no key ${path.slice(slash + 1)}`);
  return { text: Buffer.from(data, "base64").toString("utf8"), context: flagOf("karmada-context") };
}
