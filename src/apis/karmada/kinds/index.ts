/** Every kind, in the order of groups and names. */
import { cluster } from "./cluster.ts";
import { cronFederatedHpa, federatedHpa } from "./federated-hpa.ts";
import {
  resourceInterpreterContext,
  resourceInterpreterCustomization,
  resourceInterpreterWebhookConfiguration,
} from "./interpreter.ts";
import { karmada } from "./karmada.ts";
import type { KindDefinition } from "./kind.ts";
import { multiClusterIngress, multiClusterService, serviceExport, serviceImport } from "./networking.ts";
import { overridePolicies } from "./override-policy.ts";
import { propagationPolicies } from "./propagation-policy.ts";
import { clusterTaintPolicy, federatedResourceQuota } from "./quota-and-taint-policies.ts";
import { remedy, workloadRebalancer } from "./rebalancer-and-remedy.ts";
import { resourceBindings } from "./resource-binding.ts";
import { resourceRegistry, searches } from "./search.ts";
import { work } from "./work.ts";

export { type Schema, shapeNameOf } from "./schema.ts";

const inOrder = (a: KindDefinition, b: KindDefinition) =>
  a.group === b.group ? (a.names.kind < b.names.kind ? -1 : 1) : a.group < b.group ? -1 : 1;

export const kindDefinitions: readonly KindDefinition[] = [
  workloadRebalancer,
  cronFederatedHpa,
  federatedHpa,
  cluster,
  resourceInterpreterContext,
  resourceInterpreterCustomization,
  resourceInterpreterWebhookConfiguration,
  serviceExport,
  serviceImport,
  multiClusterIngress,
  multiClusterService,
  karmada,
  ...overridePolicies,
  ...propagationPolicies,
  clusterTaintPolicy,
  federatedResourceQuota,
  remedy,
  ...searches,
  resourceRegistry,
  ...resourceBindings,
  work,
].sort(inOrder);
