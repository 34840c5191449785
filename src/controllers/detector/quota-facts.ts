import { getPath, type KubeObject } from "#machinery";

interface Replicas {
  readonly replica: number;
  readonly requirements: unknown;
}

/** Where Kubernetes' own workloads say what their pods look like. */
const POD_SPECS: Readonly<Record<string, readonly string[]>> = {
  "v1/Pod": ["spec"],
  "apps/v1/Deployment": ["spec", "template", "spec"],
  "apps/v1/ReplicaSet": ["spec", "template", "spec"],
  "apps/v1/StatefulSet": ["spec", "template", "spec"],
  "batch/v1/Job": ["spec", "template", "spec"],
};

/**
 * What the quotas of members are asked by (gate `ResourceQuotaEstimate`): the workload's namespace, and the priority class
 * of its pods. A workload that requires nothing stays one; what an interpreter said itself is kept.
 */
export function withQuotaFacts(template: KubeObject, replicas: Replicas | undefined): Replicas | undefined {
  const { requirements } = replicas ?? {};
  if (replicas === undefined || typeof requirements !== "object" || requirements === null) return replicas;
  const own = requirements as { readonly namespace?: string; readonly priorityClassName?: string };
  const path = POD_SPECS[`${template.apiVersion}/${template.kind}`];
  const className = path === undefined ? undefined : getPath(template, ...path, "priorityClassName");
  const namespace = own.namespace || template.metadata.namespace;
  const priorityClassName = own.priorityClassName || (typeof className === "string" ? className : "");
  return {
    ...replicas,
    requirements: {
      ...requirements,
      ...(namespace ? { namespace } : {}),
      ...(priorityClassName === "" ? {} : { priorityClassName }),
    },
  };
}
