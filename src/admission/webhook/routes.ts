import { DELETION_PROTECTED } from "#apis/karmada";

/**
 * The admission webhooks of a control plane whose API server is somebody else's: which path answers for which kinds, as
 * Karmada registers them (wire).
 */
export interface WebhookRoute {
  readonly kind: "mutating" | "validating";
  /** Name in the configuration, which clients see in refusals. */
  readonly name: string;
  readonly path: string;
  readonly group: string;
  readonly resource: string;
  readonly operations: readonly ("CREATE" | "UPDATE" | "DELETE")[];
  /** Default 3. */
  readonly timeoutSeconds?: number;
  /** Whether a dry run writes nothing although the webhook has effects otherwise. */
  readonly hasEffects?: boolean;
  /** Only objects that carry this label. */
  readonly label?: string;
}

const POLICY = "policy.karmada.io";
const WORK = "work.karmada.io";
const CONFIG = "config.karmada.io";
const AUTOSCALING = "autoscaling.karmada.io";
const NETWORKING = "networking.karmada.io";
const WRITES = ["CREATE", "UPDATE"] as const;

const mutating = (
  name: string,
  word: string,
  group: string,
  resource: string,
  operations: WebhookRoute["operations"] = WRITES,
): WebhookRoute => ({ kind: "mutating", name, path: `/mutate-${word}`, group, resource, operations });
const validating = (
  name: string,
  word: string,
  group: string,
  resource: string,
  more: Partial<WebhookRoute> = {},
): WebhookRoute => ({
  kind: "validating",
  name,
  path: `/validate-${word}`,
  group,
  resource,
  operations: WRITES,
  ...more,
});

export const webhookRoutes: readonly WebhookRoute[] = [
  mutating("propagationpolicy.karmada.io", "propagationpolicy", POLICY, "propagationpolicies"),
  mutating("clusterpropagationpolicy.karmada.io", "clusterpropagationpolicy", POLICY, "clusterpropagationpolicies"),
  mutating("overridepolicy.karmada.io", "overridepolicy", POLICY, "overridepolicies"),
  mutating("resourcebinding.karmada.io", "resourcebinding", WORK, "resourcebindings", ["CREATE"]),
  mutating("clusterresourcebinding.karmada.io", "clusterresourcebinding", WORK, "clusterresourcebindings", ["CREATE"]),
  mutating("work.karmada.io", "work", WORK, "works"),
  mutating("autoscaling.karmada.io", "federatedhpa", AUTOSCALING, "federatedhpas"),
  mutating("multiclusterservice.karmada.io", "multiclusterservice", NETWORKING, "multiclusterservices"),
  validating("propagationpolicy.karmada.io", "propagationpolicy", POLICY, "propagationpolicies"),
  validating("clusterpropagationpolicy.karmada.io", "clusterpropagationpolicy", POLICY, "clusterpropagationpolicies"),
  validating("overridepolicy.karmada.io", "overridepolicy", POLICY, "overridepolicies"),
  validating("clusteroverridepolicy.karmada.io", "clusteroverridepolicy", POLICY, "clusteroverridepolicies"),
  validating(
    "config.karmada.io",
    "resourceinterpreterwebhookconfiguration",
    CONFIG,
    "resourceinterpreterwebhookconfigurations",
  ),
  validating(
    "resourceinterpretercustomization.karmada.io",
    "resourceinterpretercustomization",
    CONFIG,
    "resourceinterpretercustomizations",
    { timeoutSeconds: 10 },
  ),
  validating("federatedresourcequota.karmada.io", "federatedresourcequota", POLICY, "federatedresourcequotas"),
  validating("multiclusteringress.karmada.io", "multiclusteringress", NETWORKING, "multiclusteringresses"),
  validating("federatedhpa.karmada.io", "federatedhpa", AUTOSCALING, "federatedhpas"),
  validating("cronfederatedhpa.karmada.io", "cronfederatedhpa", AUTOSCALING, "cronfederatedhpas"),
  validating("multiclusterservice.karmada.io", "multiclusterservice", NETWORKING, "multiclusterservices"),
  validating("resourcedeletionprotection.karmada.io", "resourcedeletionprotection", "*", "*", {
    operations: ["DELETE"],
    label: DELETION_PROTECTED,
  }),
  validating("resourcebinding.karmada.io", "resourcebinding", WORK, "resourcebindings", { hasEffects: true }),
  validating("clustertaintpolicy.karmada.io", "clustertaintpolicy", POLICY, "clustertaintpolicies"),
];

/** Beside them, where aggregated kinds are CRDs: the rules their aggregated servers would hold. */
export const aggregatedRoutes: readonly WebhookRoute[] = [
  mutating("cluster.karmada.io", "cluster", "cluster.karmada.io", "clusters"),
  validating("cluster.karmada.io", "cluster", "cluster.karmada.io", "clusters"),
  validating("resourceregistry.karmada.io", "resourceregistry", "search.karmada.io", "resourceregistries"),
];
