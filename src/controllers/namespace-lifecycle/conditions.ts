import type { Namespace } from "#apis/kubernetes";
import type { KubeObject, ResourceKind } from "#machinery";

type NamespaceCondition = NonNullable<NonNullable<Namespace["status"]>["conditions"]>[number];

/** What one look at a namespace that is being deleted found. */
export interface Remains {
  /** Objects that were being deleted before and are still there, by kind. */
  readonly remaining: ReadonlyMap<ResourceKind, readonly KubeObject[]>;
  /** Why objects of a kind could not be deleted. */
  readonly failures: readonly string[];
}

/** What holds a namespace up, in the words of Kubernetes (wire). Times are kept where nothing else changed. */
export function conditionsOf(
  { remaining, failures }: Remains,
  present: readonly NamespaceCondition[],
  now: string,
): readonly NamespaceCondition[] {
  const objects = [...remaining.values()].flat();
  const finalizers = new Map<string, number>();
  for (const { metadata } of objects)
    for (const finalizer of metadata.finalizers ?? []) finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
  const counts = [...remaining].map(([{ resource, group }, { length }]) => `${resource}.${group} has ${length}`);
  const told = (texts: readonly string[]) =>
    [...texts]
      .sort()
      .map((text) => `${text} resource instances`)
      .join(", ");
  const parts = [
    [
      "NamespaceDeletionContentFailure",
      failures.length > 0,
      [
        "ContentDeletionFailed",
        `Failed to delete all resource types, ${failures.length} remaining: ${failures.join(", ")}`,
      ],
      ["ContentDeleted", "All content successfully deleted, may be waiting on finalization"],
    ],
    [
      "NamespaceContentRemaining",
      objects.length > 0,
      ["SomeResourcesRemain", `Some resources are remaining: ${told(counts)}`],
      ["ContentRemoved", "All content successfully removed"],
    ],
    [
      "NamespaceFinalizersRemaining",
      finalizers.size > 0,
      [
        "SomeFinalizersRemain",
        `Some content in the namespace has finalizers remaining: ${told([...finalizers].map(([name, count]) => `${name} in ${count}`))}`,
      ],
      ["ContentHasNoFinalizers", "All content-preserving finalizers finished"],
    ],
  ] as const;
  const own = parts.map(([type, isTrue, whenTrue, whenFalse]): NamespaceCondition => {
    const [reason, message] = isTrue ? whenTrue : whenFalse;
    const before = present.find((condition) => condition.type === type);
    const status = isTrue ? "True" : "False";
    const lastTransitionTime = before?.status === status ? (before.lastTransitionTime ?? now) : now;
    return { type, status, lastTransitionTime, reason, message };
  });
  return [...present.filter(({ type }) => !own.some((condition) => condition.type === type)), ...own];
}
