import type { ValueReader } from "./values.ts";

/** A name `--controllers` takes. */
export interface ControllerName {
  readonly name: string;
  /** Whether `*` stands for it too. */
  readonly isOnByDefault: boolean;
}

const on = (name: string): ControllerName => ({ name, isOnByDefault: true });
const off = (name: string): ControllerName => ({ name, isOnByDefault: false });

/**
 * Every name of upstream's controller manager (wire), and behind them those of the controllers that stand in for a
 * kube-controller-manager. The detector and the dependencies distributor always run and have no name here.
 */
export const controllerNames: readonly ControllerName[] = [
  on("agentcsrapproving"),
  on("applicationFailover"),
  on("binding"),
  on("bindingStatus"),
  on("cluster"),
  on("clusterStatus"),
  on("clustertaintpolicy"),
  on("cronFederatedHorizontalPodAutoscaler"),
  off("deploymentReplicasSyncer"),
  on("endpointSlice"),
  on("endpointsliceCollect"),
  on("endpointsliceDispatch"),
  on("execution"),
  on("federatedHorizontalPodAutoscaler"),
  on("federatedResourceQuotaEnforcement"),
  on("federatedResourceQuotaStatus"),
  on("federatedResourceQuotaSync"),
  on("gracefulEviction"),
  off("hpaScaleTargetMarker"),
  on("multiclusterservice"),
  on("namespace"),
  on("remedy"),
  on("serviceExport"),
  on("serviceImport"),
  on("unifiedAuth"),
  on("workStatus"),
  on("workloadRebalancer"),
  on("bootstrapsigner"),
  on("clusterrole-aggregation"),
  on("csrcleaner"),
  on("csrsigning"),
  on("garbagecollector"),
  on("namespace-lifecycle"),
  off("root-ca-cert-publisher"),
  on("serviceaccount-token"),
  on("tokencleaner"),
  on("ttl-after-finished"),
];

/** The words of `--controllers`; each is `*`, a name or `-name`. Throws on a name nobody knows. */
export const controllerListOf = (names: readonly string[]): ValueReader<readonly string[]> => ({
  type: "list",
  read(value, label) {
    const words = value
      .split(",")
      .map((word) => word.trim())
      .filter(Boolean);
    for (const word of words) {
      const name = word.replace(/^-/, "");
      if (word !== "*" && !names.includes(name))
        throw new Error(`${label}: there is no controller ${JSON.stringify(name)}; known are ${names.join(", ")}`);
    }
    return words;
  },
});

export const controllerList = controllerListOf(controllerNames.map(({ name }) => name));

/** Names that `*` does not stand for; `certRotation` is an agent's. */
const OFF = new Set([
  ...controllerNames.filter(({ isOnByDefault }) => !isOnByDefault).map(({ name }) => name),
  "certRotation",
]);

/** Whether a controller is to run: the first word that speaks of it wins, then `*`; without either it does not. */
export function isControllerWanted(words: readonly string[], name: string): boolean {
  for (const word of words) {
    if (word === name) return true;
    if (word === `-${name}`) return false;
  }
  return words.includes("*") && !OFF.has(name);
}
