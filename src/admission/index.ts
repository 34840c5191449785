/**
 * Admission: what happens to Karmada's objects on their way into the store. One folder a kind; `karmadaAdmission` is the
 * table of all. Refusals read like those of the webhooks they stand for (wire).
 */
import type { AdmissionPlugin } from "#apiserver";
import type { Random } from "#base";
import { bindingAdmission } from "./binding/index.ts";
import { clusterTaintPolicyAdmission } from "./cluster-taint-policy/index.ts";
import { cronFederatedHpaAdmission } from "./cron-federated-hpa/index.ts";
import { deletionProtection } from "./deletion-protection/index.ts";
import { federatedHpaAdmission } from "./federated-hpa/index.ts";
import { federatedResourceQuotaAdmission } from "./federated-resource-quota/index.ts";
import { interpreterWebhookAdmission } from "./interpreter-webhook/index.ts";
import { multiClusterServiceAdmission } from "./multi-cluster-service/index.ts";
import { overridePolicyAdmission } from "./override-policy/index.ts";
import { propagationPolicyAdmission } from "./propagation-policy/index.ts";
import { workAdmission } from "./work/index.ts";

export { defaultedPolicy, placementErrors, policyErrors } from "./propagation-policy/index.ts";

export interface KarmadaAdmissionOptions {
  /** Lets ClusterTaintPolicies set NoExecute taints (`--allow-no-execute-taint-policy`, default false). */
  readonly allowNoExecuteTaintPolicy?: boolean;
}

export function karmadaAdmission(random: Random, options: KarmadaAdmissionOptions = {}): readonly AdmissionPlugin[] {
  return [
    propagationPolicyAdmission(false, random),
    propagationPolicyAdmission(true, random),
    overridePolicyAdmission(false),
    overridePolicyAdmission(true),
    bindingAdmission(false, random),
    bindingAdmission(true, random),
    workAdmission(random),
    clusterTaintPolicyAdmission(options.allowNoExecuteTaintPolicy ?? false),
    federatedResourceQuotaAdmission,
    federatedHpaAdmission,
    cronFederatedHpaAdmission,
    multiClusterServiceAdmission(random),
    interpreterWebhookAdmission,
    deletionProtection,
  ];
}
