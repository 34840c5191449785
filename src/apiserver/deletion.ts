import { deepEqual } from "#base";
import {
  type DeleteOptions,
  formatTime,
  getPath,
  type KubeObject,
  type ResourceKind,
  type Status,
  withMetadata,
} from "#machinery";
import type { ResourceDefinition } from "./definition.ts";

/** What a request to delete leads to now. */
export type DeletionPlan =
  | { readonly type: "remove" }
  | { readonly type: "mark"; readonly object: KubeObject }
  | { readonly type: "keep"; readonly object: KubeObject };

const ORPHAN = "orphan";
const FOREGROUND = "foregroundDeletion";

/** What a request to delete does now: removal, a mark that lets finalizers work, or nothing more. */
export function planDeletion(
  definition: ResourceDefinition,
  old: KubeObject,
  options: DeleteOptions,
  nowMs: number,
): DeletionPlan {
  const isMarked = old.metadata.deletionTimestamp !== undefined;
  // A namespace goes at the second time at the earliest, and stays as it is while its spec holds it.
  const isNamespace = definition.origin === "builtin" && old.kind === "Namespace";
  if (isNamespace && isMarked && hasSpecFinalizers(old)) return { type: "keep", object: old };
  const grace = definition.strategy.gracePeriodSeconds?.(old, options.gracePeriodSeconds) ?? 0;
  const asked =
    options.propagationPolicy ??
    (options.orphanDependents === undefined ? undefined : options.orphanDependents ? "Orphan" : "Background");
  let finalizers = (old.metadata.finalizers ?? []).slice();
  const isDecided = finalizers.some((finalizer) => finalizer === ORPHAN || finalizer === FOREGROUND);
  const { deletionFinalizer } = definition.strategy;
  // What has a finalizer of its own ends by it, whatever becomes of dependents.
  const isOwnEnd = deletionFinalizer !== undefined && old.metadata.deletionTimestamp === undefined;
  const policy = isOwnEnd ? undefined : (asked ?? (isDecided ? undefined : definition.strategy.dependentsByDefault));
  const deciding = finalizers.filter((finalizer) => finalizer === ORPHAN || finalizer === FOREGROUND);
  const wanted = policy === "Orphan" ? [ORPHAN] : policy === "Foreground" ? [FOREGROUND] : [];
  // What is decided that way already stays where it stands.
  if (policy !== undefined && !deepEqual(deciding, wanted)) {
    const others = finalizers.filter((finalizer) => finalizer !== ORPHAN && finalizer !== FOREGROUND);
    finalizers = isNamespace ? [...wanted, ...others] : [...others, ...wanted];
  }
  if (isOwnEnd) finalizers = [...finalizers.filter((finalizer) => finalizer !== deletionFinalizer), deletionFinalizer];
  const isHeld = finalizers.length > 0 || hasSpecFinalizers(old) || (isNamespace && !isMarked);
  if (!isHeld && grace === 0) return { type: "remove" };
  const presentGrace = old.metadata.deletionGracePeriodSeconds ?? 0;
  const isShorter = isMarked && grace < presentGrace;
  const sameFinalizers = deepEqual(finalizers, old.metadata.finalizers ?? []);
  // What its own strategy marked is marked once more as everything is, when somebody asks again.
  const isAskedAgain =
    isMarked && deletionFinalizer !== undefined && old.metadata.deletionGracePeriodSeconds === undefined;
  if (isMarked && !isShorter && sameFinalizers && !isAskedAgain) return { type: "keep", object: old };
  const seconds = isMarked ? Math.min(grace, presentGrace) : grace;
  const begun = isMarked ? old : (definition.strategy.prepareForDelete?.(old, formatTime(nowMs)) ?? old);
  return {
    type: "mark",
    object: withMetadata(begun, {
      deletionTimestamp:
        isMarked && !isShorter ? (old.metadata.deletionTimestamp as string) : formatTime(nowMs + seconds * 1000),
      deletionGracePeriodSeconds:
        (deletionFinalizer === undefined || isMarked) && old.kind !== "Namespace" ? seconds : undefined,
      finalizers: finalizers.length === 0 ? undefined : finalizers,
      generation:
        definition.hasGeneration && deletionFinalizer === undefined
          ? (old.metadata.generation ?? 0) + (isMarked ? 0 : 1)
          : old.metadata.generation,
    }),
  };
}

/** Namespaces are held by `spec.finalizers`. */
export function hasSpecFinalizers(object: KubeObject): boolean {
  if (object.kind !== "Namespace") return false;
  const finalizers = getPath(object, "spec", "finalizers");
  return Array.isArray(finalizers) && finalizers.length > 0;
}

/** The answer to a deletion that is done, or to any request without an object. */
export function successStatus(object: KubeObject | undefined, code: number, kind?: ResourceKind): Status {
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    ...(object === undefined || kind === undefined
      ? { code }
      : {
          details: {
            name: object.metadata.name ?? "",
            ...(kind.group === "" ? {} : { group: kind.group }),
            kind: kind.resource,
            uid: object.metadata.uid ?? "",
          },
        }),
  };
}
