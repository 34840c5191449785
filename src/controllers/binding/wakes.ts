import {
  type AnyBinding,
  Cluster,
  CLUSTER_RESOURCE_BINDING_NAME,
  clusterOfExecutionNamespace,
  type ClusterOverridePolicy,
  ClusterResourceBinding,
  type OverridePolicy,
  RESOURCE_BINDING_NAME,
  RESOURCE_BINDING_NAMESPACE,
  ResourceBinding,
  type Work,
} from "#apis/karmada";
import type { Change, ControllerContext, Wakeup } from "#controller-runtime";
import { type KubeObject, objectKey } from "#machinery";
import { MATCHES_NONE, selectorsPriority } from "#override";

/** Bindings whose rendering a changed override policy may alter. */
export function* bindingsConcernedBy(
  change: Change<OverridePolicy> | Change<ClusterOverridePolicy>,
  context: ControllerContext<unknown, unknown>,
): Iterable<Wakeup> {
  if (change.type === "added" && change.isInitial) return;
  if (change.type === "updated" && change.object.metadata.generation === change.old.metadata.generation) return;
  const policies = change.type === "updated" ? [change.object, change.old] : [change.object];
  const namespace = change.object.metadata.namespace;
  const kinds = namespace === undefined ? [ResourceBinding, ClusterResourceBinding] : [ResourceBinding];
  for (const kind of kinds)
    for (const binding of context.cache(kind as typeof ResourceBinding).list(namespace) as readonly AnyBinding[]) {
      const isConcerned = policies.some(({ spec }) => {
        const selectors = spec.resourceSelectors ?? [];
        return selectors.length === 0 || selectors.some((selector) => mayMatch(selector, binding));
      });
      if (isConcerned) yield { kind, namespace: binding.metadata.namespace, name: binding.metadata.name ?? "" };
    }
}

/** The template itself is not at hand here: a selector by labels may match any of its kind. */
function mayMatch(selector: Parameters<typeof selectorsPriority>[0][number], binding: AnyBinding): boolean {
  const { apiVersion, kind, namespace, name } = binding.spec.resource;
  const stub: KubeObject = { apiVersion, kind, metadata: { name, ...(namespace ? { namespace } : {}) } };
  const { labelSelector: _labels, ...rest } = selector;
  return selectorsPriority([rest], stub) !== MATCHES_NONE;
}

/**
 * A Work that went may be one that is still wanted, or one a purge waited for. Works of pull members that others delete
 * are not made again at once: `unregister` takes them away while the cluster is still there (`CL-19`).
 */
export function bindingOfWork(work: Work, context: ControllerContext<unknown, unknown>): readonly Wakeup[] {
  const annotations = work.metadata.annotations ?? {};
  const isNamespaced = annotations[RESOURCE_BINDING_NAME] !== undefined;
  const name = annotations[RESOURCE_BINDING_NAME] ?? annotations[CLUSTER_RESOURCE_BINDING_NAME];
  if (name === undefined) return [];
  const kind = isNamespaced ? ResourceBinding : ClusterResourceBinding;
  const namespace = isNamespaced ? annotations[RESOURCE_BINDING_NAMESPACE] : undefined;
  const clusterName = clusterOfExecutionNamespace(work.metadata.namespace) ?? "";
  const binding = context.cache(kind as typeof ResourceBinding).get(objectKey(namespace, name));
  const isPull = context.cache(Cluster).get(clusterName)?.spec?.syncMode === "Pull";
  if (isPull && binding?.spec.clusters?.some((target) => target.name === clusterName)) return [];
  return [{ kind, namespace, name }];
}
