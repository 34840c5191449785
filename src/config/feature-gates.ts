import type { ValueReader } from "./values.ts";

/** A switch for behaviour that is not settled yet, or that some do not want. */
export interface FeatureGate {
  readonly name: string;
  readonly stage: "alpha" | "beta" | "ga";
  readonly isOn: boolean;
  readonly meaning: string;
  /** The folder below `src/` that looks after it. */
  readonly owner: string;
  /** Where it is decided what it does: a record in `docs/decisions/`, or upstream's behaviour. */
  readonly decision: string;
  /** Set where nothing looks at the gate yet; it is accepted, so that a manifest with every gate on starts. */
  readonly notYet?: string;
}

const UPSTREAM = "upstream's behaviour";
const gate = (
  name: string,
  stage: FeatureGate["stage"],
  isOn: boolean,
  owner: string,
  meaning: string,
  more: { readonly decision?: string; readonly notYet?: string } = {},
): FeatureGate => ({ name, stage, isOn, owner, meaning, decision: UPSTREAM, ...more });

/** Every gate, by upstream's name and with its stage and default (wire). */
export const featureGates: readonly FeatureGate[] = [
  gate("Failover", "beta", false, "controllers/taint-manager", "ClusterTaintPolicies and eviction by NoExecute taints"),
  gate(
    "GracefulEviction",
    "beta",
    true,
    "controllers/application-failover",
    "application failover may keep the old copy until the new one runs",
  ),
  gate(
    "PropagateDeps",
    "beta",
    true,
    "controllers/dependencies-distributor",
    "what a workload depends on goes with it",
  ),
  gate("CustomizedClusterResourceModeling", "beta", true, "estimator", "resource models in status and estimation"),
  gate("PriorityBasedScheduling", "beta", true, "scheduler", "schedulePriority of policies orders the queue", {
    decision: "0508",
  }),
  gate("ControllerPriorityQueue", "beta", true, "controller-runtime", "changes of users before those of a start-up"),
  gate(
    "PropagationPolicyPreemption",
    "alpha",
    false,
    "controllers/detector",
    "a policy may take templates from others",
  ),
  gate("MultiClusterService", "alpha", false, "controllers", "services across clusters", {
    notYet: "its controllers are not there yet",
  }),
  gate("ResourceQuotaEstimate", "alpha", false, "estimator", "ResourceQuotas of members count in estimates", {
    decision: "0502",
  }),
  gate("StatefulFailoverInjection", "alpha", false, "controllers/binding", "state of a failed copy labels the new one"),
  gate(
    "FederatedQuotaEnforcement",
    "alpha",
    false,
    "admission",
    "bindings are checked against FederatedResourceQuotas",
  ),
  gate("MultiplePodTemplatesScheduling", "alpha", false, "scheduler", "workloads of several components"),
  gate("WorkloadAffinity", "alpha", false, "scheduler", "workloads of one group together, or apart"),
  gate("SchedulingOvercommitProtection", "alpha", false, "scheduler", "what was just placed counts before it shows"),
  gate("LoggingAlphaOptions", "alpha", false, "controlplane", "further options of the log; none is offered"),
  gate("LoggingBetaOptions", "beta", true, "controlplane", "options of the log"),
  gate("ContextualLogging", "beta", true, "controlplane", "values beside the log's messages"),
];

/** Gates that are on unless a flag says otherwise. */
export const defaultGates = (): ReadonlySet<string> =>
  new Set(featureGates.filter(({ isOn }) => isOn).map(({ name }) => name));

/** Reads `A=true,AllAlpha=true,B=false` over the defaults. Throws on a gate nobody knows, by its name. */
export function parseFeatureGates(text: string, label = "--feature-gates"): ReadonlySet<string> {
  const result = new Set(defaultGates());
  const settings = text
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => {
      const [name = "", value = ""] = part.trim().split("=");
      if (value !== "true" && value !== "false")
        throw new Error(`${label}: ${JSON.stringify(part)} must be NAME=true or NAME=false`);
      return { name, isOn: value === "true" };
    });
  const set = (name: string, isOn: boolean) => (isOn ? result.add(name) : result.delete(name));
  // Groups first, so that a single gate beside them wins whatever the order.
  for (const { name, isOn } of settings) {
    if (name === "AllAlpha") for (const { stage, name: own } of featureGates) if (stage === "alpha") set(own, isOn);
    if (name === "AllBeta") for (const { stage, name: own } of featureGates) if (stage === "beta") set(own, isOn);
  }
  for (const { name, isOn } of settings) {
    if (name === "AllAlpha" || name === "AllBeta") continue;
    if (!featureGates.some((known) => known.name === name))
      throw new Error(`${label}: there is no gate ${JSON.stringify(name)}`);
    set(name, isOn);
  }
  return result;
}

export const featureGateList: ValueReader<ReadonlySet<string>> = {
  type: "NAME=true|false,…",
  isList: true,
  read: parseFeatureGates,
};
