import { getPath, type JsonSchema, type KubeObject } from "#machinery";
import type { TableColumn } from "../definition.ts";

/** The parts of a CustomResourceDefinition that the server reads. */
export interface CrdVersion {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly deprecated?: boolean;
  readonly deprecationWarning?: string;
  readonly schema?: { readonly openAPIV3Schema?: JsonSchema };
  readonly subresources?: {
    readonly status?: object;
    readonly scale?: {
      readonly specReplicasPath: string;
      readonly statusReplicasPath: string;
      readonly labelSelectorPath?: string;
    };
  };
  readonly additionalPrinterColumns?: readonly TableColumn[];
  readonly selectableFields?: readonly { readonly jsonPath: string }[];
}

export interface CrdNames {
  readonly plural: string;
  readonly singular?: string;
  readonly kind: string;
  readonly listKind?: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

export interface CrdSpec {
  readonly group: string;
  readonly scope: string;
  readonly names: CrdNames;
  readonly versions: readonly CrdVersion[];
  readonly conversion?: { readonly strategy?: string };
}

export interface CrdCondition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
}

export interface CrdStatus {
  readonly acceptedNames?: Partial<CrdNames>;
  readonly storedVersions?: readonly string[] | null;
  readonly conditions?: readonly CrdCondition[] | null;
}

export const FINALIZER = "customresourcecleanup.apiextensions.k8s.io";

export const specOf = (crd: KubeObject): CrdSpec => getPath(crd, "spec") as CrdSpec;
export const statusOf = (crd: KubeObject): CrdStatus => (getPath(crd, "status") ?? {}) as CrdStatus;

export const isConditionTrue = (crd: KubeObject, type: string): boolean =>
  statusOf(crd).conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;

/** Conditions with one set; its time moves with its status only. */
export function withCondition(
  conditions: readonly CrdCondition[],
  condition: CrdCondition,
  time: string,
): readonly CrdCondition[] {
  const present = conditions.find(({ type }) => type === condition.type);
  const lastTransitionTime = present?.status === condition.status ? (present.lastTransitionTime ?? time) : time;
  const { type, status, reason, message } = condition;
  const next: CrdCondition = {
    type,
    status,
    lastTransitionTime,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
  return present === undefined ? [...conditions, next] : conditions.map((one) => (one === present ? next : one));
}
