import type { KubeObject } from "#machinery";

const GROUP = "flowcontrol.apiserver.k8s.io";
/** Says whether the server may bring an object's specification up to date. */
export const AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec";
const metadata = (name: string) => ({ name, annotations: { [AUTOUPDATE]: "true" } });

const limited = (
  name: string,
  nominalConcurrencyShares: number,
  lendablePercent: number,
  queuing: { readonly queues: number; readonly handSize: number; readonly queueLengthLimit: number } | undefined,
): KubeObject =>
  ({
    apiVersion: `${GROUP}/v1`,
    kind: "PriorityLevelConfiguration",
    metadata: metadata(name),
    spec: {
      type: "Limited",
      limited: {
        nominalConcurrencyShares,
        lendablePercent,
        limitResponse: queuing === undefined ? { type: "Reject" } : { type: "Queue", queuing },
      },
    },
  }) as unknown as KubeObject;

const queues = (count: number, handSize: number, queueLengthLimit = 50) => ({
  queues: count,
  handSize,
  queueLengthLimit,
});

/** kube-apiserver's default priority levels. */
export const bootstrapLevels: readonly KubeObject[] = [
  {
    apiVersion: `${GROUP}/v1`,
    kind: "PriorityLevelConfiguration",
    metadata: metadata("exempt"),
    spec: { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } },
  } as unknown as KubeObject,
  limited("catch-all", 5, 0, undefined),
  limited("system", 30, 33, queues(64, 6)),
  limited("node-high", 40, 25, queues(64, 6)),
  limited("leader-election", 10, 0, queues(16, 4)),
  limited("workload-high", 40, 50, queues(128, 6)),
  limited("workload-low", 100, 90, queues(128, 6)),
  limited("global-default", 20, 50, queues(128, 6)),
];

const users = (...names: string[]) => names.map((name) => ({ kind: "User", user: { name } }));
const groups = (...names: string[]) => names.map((name) => ({ kind: "Group", group: { name } }));
const accounts = (...names: string[]) =>
  names.map((name) => ({ kind: "ServiceAccount", serviceAccount: { namespace: "kube-system", name } }));
const resources = (apiGroups: string[], names: string[], verbs: string[], more: object) => ({
  apiGroups,
  resources: names,
  verbs,
  ...more,
});
const EVERYTHING = {
  resourceRules: [resources(["*"], ["*"], ["*"], { namespaces: ["*"], clusterScope: true })],
  nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
};
const LEASES = resources(["coordination.k8s.io"], ["leases"], ["get", "create", "update"], { namespaces: ["*"] });
const inNamespace = (rule: object, namespace: string) => ({ ...rule, namespaces: [namespace] });

const schema = (
  name: string,
  level: string,
  matchingPrecedence: number,
  distinguisher: "ByUser" | "ByNamespace" | undefined,
  rules: readonly object[],
): KubeObject =>
  ({
    apiVersion: `${GROUP}/v1`,
    kind: "FlowSchema",
    metadata: metadata(name),
    spec: {
      matchingPrecedence,
      priorityLevelConfiguration: { name: level },
      ...(distinguisher === undefined ? {} : { distinguisherMethod: { type: distinguisher } }),
      rules,
    },
  }) as unknown as KubeObject;

const EVERYBODY = groups("system:unauthenticated", "system:authenticated");

/** kube-apiserver's default flow schemas. */
export const bootstrapSchemas: readonly KubeObject[] = [
  schema("exempt", "exempt", 1, undefined, [{ subjects: groups("system:masters"), ...EVERYTHING }]),
  schema("probes", "exempt", 2, undefined, [
    { subjects: EVERYBODY, nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] }] },
  ]),
  schema("system-leader-election", "leader-election", 100, "ByUser", [
    {
      subjects: [...users("system:kube-controller-manager", "system:kube-scheduler"), ...accounts("*")],
      resourceRules: [LEASES],
    },
  ]),
  schema("system-node-high", "node-high", 400, "ByUser", [
    {
      subjects: groups("system:nodes"),
      resourceRules: [
        resources([""], ["nodes", "nodes/status"], ["*"], { namespaces: ["*"], clusterScope: true }),
        inNamespace(resources(["coordination.k8s.io"], ["leases"], ["*"], {}), "*"),
      ],
    },
  ]),
  schema("system-nodes", "system", 500, "ByUser", [{ subjects: groups("system:nodes"), ...EVERYTHING }]),
  schema("kube-controller-manager", "workload-high", 800, "ByNamespace", [
    { subjects: users("system:kube-controller-manager"), ...EVERYTHING },
  ]),
  schema("kube-scheduler", "workload-high", 800, "ByNamespace", [
    { subjects: users("system:kube-scheduler"), ...EVERYTHING },
  ]),
  schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", [
    { subjects: accounts("*"), ...EVERYTHING },
  ]),
  schema("service-accounts", "workload-low", 9_000, "ByUser", [
    { subjects: groups("system:serviceaccounts"), ...EVERYTHING },
  ]),
  schema("global-default", "global-default", 9_900, "ByUser", [{ subjects: EVERYBODY, ...EVERYTHING }]),
  schema("catch-all", "catch-all", 10_000, "ByUser", [{ subjects: EVERYBODY, ...EVERYTHING }]),
];
