/**
 * Detector: which policy claims which template, and the binding that follows from it.
 *
 * It watches every kind the control plane serves, marks a template with the policy that claims it, and keeps its
 * (Cluster)ResourceBinding. Templates without a policy wait; policies that change or go hand back what they claimed. It
 * never schedules and never removes a binding: that goes with its template.
 */
import {
  type AnyBinding,
  type AnyPropagationPolicy,
  bindingName,
  claimOf,
  CLUSTER_PROPAGATION_POLICY_ID,
  ClusterOverridePolicy,
  ClusterPropagationPolicy,
  ClusterResourceBinding,
  OverridePolicy,
  PROPAGATION_POLICY_ID,
  PropagationPolicy,
  ResourceBinding,
} from "#apis/karmada";
import { copyWithout, deepEqual } from "#base";
import {
  cacheIndex,
  type Change,
  type ControllerContext,
  defineController,
  PRIORITY_LOW,
  wake,
} from "#controller-runtime";
import { type KubeObject, objectKey, type ResourceKind, withMetadata, kindKey } from "#machinery";
import type { DetectorDeps, DetectorOptions } from "./context.ts";
import { isAsLastSeen, isChangedByMarksOnly } from "./lazy.ts";
import { markNew } from "./newborn.ts";
import { isClaimedLazily, reconcile, requestName, stateOf } from "./reconcile.ts";
import { compileSkippedApis, compileSkippedNamespaces } from "./skip.ts";

export type { DetectorDeps, DetectorOptions, MarkNew, TemplateKinds } from "./context.ts";
export { buildBinding, matchPolicy } from "./plan.ts";

const ANY: ResourceKind = { group: "*", version: "*", kind: "*", resource: "*", namespaced: true };
const claimIds = ({ metadata }: KubeObject) =>
  [PROPAGATION_POLICY_ID, CLUSTER_PROPAGATION_POLICY_ID].flatMap((key) =>
    metadata.labels?.[key] ? [metadata.labels[key]] : [],
  );

/** ConfigMaps by which a cluster makes itself known to its own clients: another cluster's would be a lie. */
const isOwnOfEachCluster = (namespace: string | undefined, name: string | undefined): boolean =>
  name === "kube-root-ca.crt" || (namespace === "kube-system" && name === "extension-apiserver-authentication");

export const detector = defineController<DetectorDeps, DetectorOptions>({
  name: "detector",
  reconciles: [ANY, PropagationPolicy, ClusterPropagationPolicy],
  when: (change) =>
    change.type !== "deleted" &&
    (change.type === "added" || change.object.metadata.generation !== change.old.metadata.generation),
  reads: [ResourceBinding, ClusterResourceBinding],
  wakes: [
    wake(ResourceBinding, templateOfDeletedBinding),
    wake(ClusterResourceBinding, templateOfDeletedBinding),
    wake(PropagationPolicy, policiesThatMayPreempt),
    wake(ClusterPropagationPolicy, policiesThatMayPreempt),
    wake(OverridePolicy, policiesThatWaitFor),
    wake(ClusterOverridePolicy, policiesThatWaitFor),
  ],
  indexes: [cacheIndex(ResourceBinding, "claim", claimIds), cacheIndex(ClusterResourceBinding, "claim", claimIds)],
  writes: [{ kind: ANY, verbs: ["create", "update"] }],
  options: { skippedPropagatingApis: "", skippedPropagatingNamespaces: ["kube-.*"], concurrentSyncs: 256 },
  concurrency: ({ concurrentSyncs }) => concurrentSyncs,
  start,
  reconcile,
});

/** A binding somebody deleted is made again from its template. */
function templateOfDeletedBinding(change: Change<ResourceBinding> | Change<ClusterResourceBinding>) {
  if (change.type !== "deleted") return [];
  const { apiVersion, kind, namespace, name } = (change.object as AnyBinding).spec.resource;
  return [{ kind: ANY, ...(namespace ? { namespace } : {}), name: requestName(apiVersion, kind, name) }];
}

/** Follows every kind that may hold templates, also those that appear later. */
function start(context: ControllerContext<DetectorDeps, DetectorOptions>): void {
  const { deps, options } = context;
  const isSkippedApi = compileSkippedApis(options.skippedPropagatingApis);
  const isSkippedNamespace = compileSkippedNamespaces(options.skippedPropagatingNamespaces);
  const state = stateOf(context);
  const { followed } = state;
  const isSkipped = ({ apiVersion, kind, metadata: { namespace, name } }: KubeObject): boolean =>
    (namespace !== undefined && isSkippedNamespace(namespace)) ||
    (apiVersion === "v1" && kind === "ConfigMap" && isOwnOfEachCluster(namespace, name));
  deps.marksNew?.(
    markNew(context, (object) => {
      const kind = deps.templates.find(object.apiVersion, object.kind);
      return kind !== undefined && followed.has(kindKey(kind)) && !isSkipped(object);
    }),
  );
  const followAll = () => {
    for (const kind of deps.templates.list()) {
      const key = kindKey(kind);
      if (followed.has(key) || isSkippedApi(kind)) continue;
      followed.set(key, kind);
      context.cache(kind).addIndex("claim", claimIds);
      context.follow(kind, (change) => {
        const { object } = change;
        const { namespace, name = "" } = object.metadata;
        if (isSkipped(object)) return [];
        const wakeup = { kind: ANY, namespace, name: requestName(object.apiVersion, object.kind, name) };
        const byMarks = { ...wakeup, name: requestName(object.apiVersion, object.kind, name, "marks") };
        const templateKey = `${namespace ?? ""}/${wakeup.name}`;
        if (change.type === "deleted") {
          state.waiting.delete(templateKey, object);
          state.changed.delete(templateKey);
          return [];
        }
        if (change.type === "updated") {
          if (!isRelevant(change.old, object)) return [];
          state.changed.set(templateKey, object.metadata.resourceVersion ?? "");
          // A change that is only marks is nothing the user did; lazily activated policies wait for the user.
          if (isClaimedLazily(object, context) && isChangedByMarksOnly(change.old, object)) return [byMarks];
        }
        // A start is nothing the user did either.
        if (change.type === "added" && change.isInitial && isClaimedLazily(object, context)) {
          const bindings = context.cache(
            (namespace ? ResourceBinding : ClusterResourceBinding) as typeof ResourceBinding,
          );
          const key = objectKey(namespace, bindingName(object.kind, name));
          if (isAsLastSeen(object, bindings.get(key))) return [{ ...byMarks, priority: PRIORITY_LOW }];
        } else if (change.type === "added" && change.isInitial && claimOf(object) !== undefined)
          return [
            {
              ...wakeup,
              name: requestName(object.apiVersion, object.kind, name, "none"),
              priority: PRIORITY_LOW,
            },
          ];
        return [change.type === "added" && change.isInitial ? { ...wakeup, priority: PRIORITY_LOW } : wakeup];
      });
    }
  };
  followAll();
  const stop = deps.templates.onChange(followAll);
  context.signal.addEventListener("abort", stop, { once: true });
}

/** A policy whose priority sinks may lose templates to those that preempt and were not above it before, but are now. */
function policiesThatMayPreempt<P extends AnyPropagationPolicy>(
  change: Change<P>,
  context: ControllerContext<unknown, unknown>,
) {
  if (
    change.type !== "updated" ||
    !(context as ControllerContext<DetectorDeps, DetectorOptions>).deps.gates.has("PropagationPolicyPreemption")
  )
    return [];
  const before = change.old.spec.priority ?? 0;
  const now = change.object.spec.priority ?? 0;
  if (now >= before) return [];
  const { namespace } = change.object.metadata;
  const kind = (namespace === undefined ? ClusterPropagationPolicy : PropagationPolicy) as typeof PropagationPolicy;
  return (context.cache(kind).list(namespace) as readonly AnyPropagationPolicy[])
    .filter(({ spec }) => spec.preemption === "Always" && (spec.priority ?? 0) > now && (spec.priority ?? 0) <= before)
    .sort((a, b) => (b.spec.priority ?? 0) - (a.spec.priority ?? 0))
    .map(({ metadata }) => ({ kind, namespace, name: metadata.name ?? "" }));
}

/** Policies that were waiting for an override that has come. */
function policiesThatWaitFor(
  change: Change<OverridePolicy> | Change<ClusterOverridePolicy>,
  context: ControllerContext<unknown, unknown>,
) {
  if (change.type !== "added" || change.isInitial) return [];
  const { namespace, name = "" } = change.object.metadata;
  const kind = (namespace === undefined ? ClusterPropagationPolicy : PropagationPolicy) as typeof PropagationPolicy;
  return context
    .cache(kind)
    .list(namespace)
    .filter(({ spec }) => spec.dependentOverrides?.includes(name) === true)
    .map(({ metadata }) => ({ kind, namespace, name: metadata.name ?? "" }));
}

/** A change of status, version or field owners alone says nothing about what a user wants. */
function isRelevant(old: KubeObject, now: KubeObject): boolean {
  const settled = (object: KubeObject) =>
    withMetadata(copyWithout(object, "status"), { managedFields: undefined, resourceVersion: undefined });
  return !deepEqual(settled(old), settled(now));
}
