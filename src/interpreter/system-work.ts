import {
  type Cluster,
  EXECUTION_FINALIZER,
  executionNamespace,
  MANAGED,
  type Work,
  WORK_ID,
  WORK_NAME,
  WORK_NAMESPACE,
  workName,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { type KubeObject, type OwnerReference, withAnnotations, withLabels } from "#machinery";
import { pruneManifest, recordManaged } from "./metadata.ts";

export interface SystemWorkInput {
  /** What is to stand in the member. */
  readonly manifest: KubeObject;
  readonly cluster: Cluster;
  readonly labels?: Readonly<Record<string, string>>;
  readonly owners?: readonly OwnerReference[];
  /** The Work of that name now, to keep what it carries. */
  readonly workOf: (key: string) => Work | undefined;
}

/** The Work of an object that the control plane itself wants in a member; `present` is the same object when nothing differs. */
export function systemWork(input: SystemWorkInput): { readonly wanted: Work; readonly present: Work | undefined } {
  const { manifest, cluster } = input;
  const namespace = executionNamespace(cluster.metadata.name ?? "");
  const name = workName(manifest.kind, manifest.metadata.name ?? "", manifest.metadata.namespace ?? "");
  const present = input.workOf(`${namespace}/${name}`);
  const id = present?.metadata.labels?.[WORK_ID];
  const marked = withAnnotations(withLabels(manifest, { [MANAGED]: "true", ...(id ? { [WORK_ID]: id } : {}) }), {
    [WORK_NAMESPACE]: namespace,
    [WORK_NAME]: name,
  });
  const wanted = {
    ...(present ?? {}),
    apiVersion: "work.karmada.io/v1alpha1",
    kind: "Work",
    metadata: {
      ...present?.metadata,
      name,
      namespace,
      labels: { ...present?.metadata.labels, ...input.labels },
      finalizers: [...new Set([...(present?.metadata.finalizers ?? []), EXECUTION_FINALIZER])],
      ...(input.owners === undefined ? {} : { ownerReferences: input.owners }),
    },
    spec: { ...present?.spec, workload: { manifests: [recordManaged(pruneManifest(marked))] } },
  } as unknown as Work;
  const isSame =
    present !== undefined &&
    deepEqual(present.spec?.workload, wanted.spec?.workload) &&
    deepEqual(present.metadata.labels, wanted.metadata.labels);
  return { wanted: isSame ? present : wanted, present };
}
