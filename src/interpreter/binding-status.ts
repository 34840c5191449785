import {
  type AggregatedStatusItem,
  type AnyBinding,
  clusterOfExecutionNamespace,
  type Condition,
  DELETE_WHEN_UNUSED,
  TEMPLATE_UID,
  type Work,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { formatTime, gvkOf, type KubeObject } from "#machinery";

/** Clusters a binding wants its Works in: targets, those of referrers, and those still being left gracefully. */
export function expectedClusters(binding: AnyBinding): ReadonlySet<string> {
  const { spec } = binding;
  return new Set([
    ...(spec.clusters ?? []).map(({ name }) => name),
    ...(spec.requiredBy ?? []).flatMap(({ clusters = [] }) => clusters.map(({ name }) => name)),
    ...(spec.gracefulEvictionTasks ?? [])
      .filter(({ purgeMode }) => purgeMode !== "Directly" && purgeMode !== "Immediately")
      .map(({ fromCluster }) => fromCluster),
  ]);
}

/** The manifest of a binding's resource in a Work; an override may have renamed it, the template's uid stays. */
function manifestOf(work: Work, resource: AnyBinding["spec"]["resource"]): KubeObject | undefined {
  const manifests = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
  const ofKind = manifests.filter(
    ({ apiVersion, kind, metadata }) =>
      apiVersion === resource.apiVersion &&
      kind === resource.kind &&
      (metadata.namespace ?? "") === (resource.namespace ?? ""),
  );
  return (
    ofKind.find(({ metadata }) => metadata.name === resource.name) ??
    ofKind.find(({ metadata }) => Boolean(resource.uid) && metadata.annotations?.[TEMPLATE_UID] === resource.uid)
  );
}

/** A binding's items from its Works. Throws when a Work does not carry the binding's resource. */
export function aggregateItems(binding: AnyBinding, works: readonly Work[]): readonly AggregatedStatusItem[] {
  const { resource } = binding.spec;
  const { group, version, kind } = gvkOf(resource);
  return works
    .filter(
      ({ metadata }) =>
        metadata.deletionTimestamp === undefined && metadata.annotations?.[DELETE_WHEN_UNUSED] === undefined,
    )
    .map((work): AggregatedStatusItem => {
      const clusterName = clusterOfExecutionNamespace(work.metadata.namespace) ?? "";
      const carried = manifestOf(work, resource);
      if (carried === undefined) throw new Error("no such manifest exist");
      const applied = work.status?.conditions?.find(({ type }) => type === "Applied");
      if (applied?.status !== "True")
        return { clusterName, ...(applied?.message ? { appliedMessage: applied.message } : {}), health: "Unknown" };
      const found = work.status?.manifestStatuses?.find(
        ({ identifier }) =>
          (identifier.group ?? "") === group &&
          identifier.version === version &&
          identifier.kind === kind &&
          identifier.name === carried.metadata.name &&
          (identifier.namespace ?? "") === (resource.namespace ?? ""),
      );
      return {
        clusterName,
        applied: true,
        health: found?.health ?? "Unknown",
        ...(found?.status === undefined ? {} : { status: found.status }),
      } as AggregatedStatusItem;
    })
    .sort((a, b) => (a.clusterName < b.clusterName ? -1 : 1));
}

/** The condition that says whether every wanted Work is applied. */
export function fullyApplied(binding: AnyBinding, items: readonly AggregatedStatusItem[], nowMs: number): Condition {
  const expected = expectedClusters(binding);
  const isDone =
    expected.size > 0 &&
    expected.size === items.length &&
    items.every(({ clusterName, applied }) => applied === true && expected.has(clusterName));
  const before = binding.status?.conditions?.find(({ type }) => type === "FullyApplied");
  const status = isDone ? "True" : "False";
  return {
    type: "FullyApplied",
    status,
    reason: isDone ? "FullyAppliedSuccess" : "FullyAppliedFailed",
    message: isDone
      ? "All works have been successfully applied"
      : "Failed to apply all works, see status.aggregatedStatus for details",
    lastTransitionTime: before?.status === status ? (before.lastTransitionTime as string) : formatTime(nowMs),
  };
}

/** The status of a binding after aggregation, and whether it changed. */
export function planBindingStatus(
  binding: AnyBinding,
  works: readonly Work[],
  nowMs: number,
): { readonly status: NonNullable<AnyBinding["status"]>; readonly isChanged: boolean } {
  const items = aggregateItems(binding, works);
  const condition = fullyApplied(binding, items, nowMs);
  const before = binding.status ?? {};
  const conditions = before.conditions ?? [];
  const same = conditions.some((present) => deepEqual(present, condition));
  const nextConditions = same
    ? conditions
    : conditions.some(({ type }) => type === "FullyApplied")
      ? conditions.map((present) => (present.type === "FullyApplied" ? condition : present))
      : [...conditions, condition];
  const { aggregatedStatus: _items, ...rest } = before;
  const status = { ...rest, conditions: nextConditions, ...(items.length === 0 ? {} : { aggregatedStatus: items }) };
  return { status, isChanged: !deepEqual(before, status) };
}
