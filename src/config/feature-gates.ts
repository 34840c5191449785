/** A switch for behaviour that is not settled yet, or that some do not want. */
export interface FeatureGate {
  readonly name: string;
  readonly stage: "alpha" | "beta" | "ga";
  readonly isOn: boolean;
  readonly meaning: string;
}

/** Every gate, by upstream's name (wire). */
export const featureGates: readonly FeatureGate[] = [
  { name: "Failover", stage: "beta", isOn: false, meaning: "ClusterTaintPolicies and eviction by NoExecute taints" },
  { name: "GracefulEviction", stage: "beta", isOn: true, meaning: "the old copy goes when the new one runs" },
  { name: "PropagateDeps", stage: "beta", isOn: true, meaning: "what a workload depends on goes with it" },
  { name: "CustomizedClusterResourceModeling", stage: "beta", isOn: true, meaning: "resource models in estimation" },
  {
    name: "PriorityBasedScheduling",
    stage: "beta",
    isOn: true,
    meaning: "schedulePriority of policies orders the queue",
  },
  {
    name: "ControllerPriorityQueue",
    stage: "beta",
    isOn: true,
    meaning: "changes of users before those of a start-up",
  },
  {
    name: "PropagationPolicyPreemption",
    stage: "alpha",
    isOn: false,
    meaning: "a policy may take templates from others",
  },
  {
    name: "StatefulFailoverInjection",
    stage: "alpha",
    isOn: false,
    meaning: "state of a failed copy becomes labels of the new one",
  },
  { name: "MultiplePodTemplatesScheduling", stage: "alpha", isOn: false, meaning: "workloads of several components" },
  { name: "WorkloadAffinity", stage: "alpha", isOn: false, meaning: "workloads of one group together, or apart" },
  {
    name: "SchedulingOvercommitProtection",
    stage: "alpha",
    isOn: false,
    meaning: "what was just placed counts before it shows",
  },
];

export const defaultGates = (): ReadonlySet<string> =>
  new Set(featureGates.filter(({ isOn }) => isOn).map(({ name }) => name));

/** Reads `A=true,AllAlpha=true,B=false` over the defaults. Throws on a gate nobody knows, by its name. */
export function parseFeatureGates(text: string): ReadonlySet<string> {
  const result = new Set(defaultGates());
  const settings = text
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => {
      const [name = "", value = ""] = part.trim().split("=");
      if (value !== "true" && value !== "false")
        throw new Error(`--feature-gates: ${JSON.stringify(part)} must be NAME=true or NAME=false`);
      return { name, isOn: value === "true" };
    });
  const set = (name: string, isOn: boolean) => (isOn ? result.add(name) : result.delete(name));
  // Groups first, so that a single gate beside them wins whatever the order.
  for (const { name, isOn } of settings) {
    if (name === "AllAlpha") for (const gate of featureGates) if (gate.stage === "alpha") set(gate.name, isOn);
    if (name === "AllBeta") for (const gate of featureGates) if (gate.stage === "beta") set(gate.name, isOn);
  }
  for (const { name, isOn } of settings) {
    if (name === "AllAlpha" || name === "AllBeta") continue;
    if (!featureGates.some((gate) => gate.name === name))
      throw new Error(`--feature-gates: there is no gate ${JSON.stringify(name)}`);
    set(name, isOn);
  }
  return result;
}
