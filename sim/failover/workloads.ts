import type { Deployment } from "#apis/kubernetes";
import { aDeployment, aPropagationPolicy } from "#testing";

/** A workload of the simulation: what its policy says, and what may be expected of it. */
export interface Workload {
  readonly name: string;
  readonly placement: object;
  /** Further fields of the policy. */
  readonly policy: object;
  /** How many clusters must run it; `undefined` where replicas are divided. */
  readonly clusters: number | undefined;
}

export const CLUSTERS = ["m1", "m2", "m3", "m4"];
const NONE = {};

const spread = (groups: number) => ({
  clusterAffinity: { clusterNames: CLUSTERS },
  replicaScheduling: { replicaSchedulingType: "Duplicated" },
  spreadConstraints: [{ spreadByField: "cluster", minGroups: groups, maxGroups: groups }],
});
const divided = (more: object) => ({
  clusterAffinity: { clusterNames: CLUSTERS },
  replicaScheduling: { replicaSchedulingType: "Divided", ...more },
});
const rules = { rules: [{ aliasLabelName: "carried-replicas", jsonPath: "{.replicas}" }] };
const application = (more: object) => ({
  propagateDeps: true,
  failover: { application: { decisionConditions: { tolerationSeconds: 30 }, ...more } },
});
const KEYS = ["cluster.karmada.io/not-ready", "cluster.karmada.io/unreachable", "fail-test", "network-down"];

export const workloads: readonly Workload[] = [
  { name: "pair", placement: spread(2), policy: NONE, clusters: 2 },
  { name: "single", placement: spread(1), policy: NONE, clusters: 1 },
  {
    name: "direct",
    placement: spread(1),
    policy: { failover: { cluster: { purgeMode: "Directly", statePreservation: rules } } },
    clusters: 1,
  },
  {
    name: "patient",
    placement: {
      ...spread(1),
      clusterTolerations: KEYS.map((key) => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 })),
    },
    policy: NONE,
    clusters: 1,
  },
  {
    name: "weighted",
    placement: divided({
      replicaDivisionPreference: "Weighted",
      weightPreference: {
        staticWeightList: CLUSTERS.map((name, at) => ({
          targetCluster: { clusterNames: [name] },
          weight: 1 + (at % 2),
        })),
      },
    }),
    policy: NONE,
    clusters: undefined,
  },
  {
    name: "dynamic",
    placement: divided({
      replicaDivisionPreference: "Weighted",
      weightPreference: { dynamicWeight: "AvailableReplicas" },
    }),
    policy: NONE,
    clusters: undefined,
  },
  {
    name: "packed",
    placement: divided({ replicaDivisionPreference: "Aggregated" }),
    policy: NONE,
    clusters: undefined,
  },
  {
    name: "sick",
    placement: spread(1),
    policy: application({ purgeMode: "Gracefully", gracePeriodSeconds: 90 }),
    clusters: 1,
  },
  {
    name: "sick-direct",
    placement: spread(1),
    policy: application({ purgeMode: "Directly", statePreservation: rules }),
    clusters: 1,
  },
];

export const policyOf = ({ name, placement, policy }: Workload) =>
  aPropagationPolicy(name, placement, "default", {
    resourceSelectors: [{ apiVersion: "apps/v1", kind: "Deployment", name }],
    ...policy,
  });

export function templateOf(name: string, replicas: number): Deployment {
  const made = aDeployment(name, replicas);
  return {
    ...made,
    spec: {
      ...made.spec,
      selector: { matchLabels: { workload: name } },
      template: {
        ...made.spec?.template,
        metadata: { labels: { workload: name } },
      },
    },
  } as Deployment;
}
