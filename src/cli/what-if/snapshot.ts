import { readFileSync } from "node:fs";
import {
  type AnyBinding,
  Cluster,
  ClusterPropagationPolicy,
  ClusterResourceBinding,
  PropagationPolicy,
  ResourceBinding,
  ResourceInterpreterCustomization,
} from "#apis/karmada";
import { PriorityClass } from "#apis/kubernetes";
import type { Client } from "#client";
import { formatTime, type KubeObject, type ResourceKind } from "#machinery";

/** A fleet at one moment, as `flotilla simulate snapshot` writes it: all a decision depends on. */
export interface FleetFile {
  readonly apiVersion: "flotilla.io/v1alpha1";
  readonly kind: "FleetSnapshot";
  readonly takenAt: string;
  readonly clusters: readonly Cluster[];
  readonly bindings: readonly AnyBinding[];
  readonly policies: readonly PropagationPolicy[];
  readonly clusterPolicies: readonly ClusterPropagationPolicy[];
  readonly priorityClasses: readonly PriorityClass[];
  /** Absent in files of versions that did not write them. */
  readonly customizations?: readonly ResourceInterpreterCustomization[];
}

const LISTS = ["clusters", "bindings", "policies", "clusterPolicies", "priorityClasses", "customizations"] as const;

const bare = <T extends KubeObject>(objects: readonly T[]): readonly T[] =>
  objects.map((object) => {
    const { managedFields: _fields, ...metadata } = object.metadata;
    return { ...object, metadata };
  });

/** Reads all of a live control plane that a decision depends on; it only lists. */
export async function takeSnapshot(client: Client, nowMs: number): Promise<FleetFile> {
  const all = async <T extends KubeObject>(kind: ResourceKind<T>) => {
    const { items } = await client.list(kind);
    // Lists leave out what each item is; a file must say it.
    const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
    return bare(items.map((item) => ({ ...item, apiVersion, kind: kind.kind })));
  };
  const [clusters, bindings, clusterBindings, policies, clusterPolicies, priorityClasses, customizations] =
    await Promise.all([
      all(Cluster),
      all(ResourceBinding),
      all(ClusterResourceBinding),
      all(PropagationPolicy),
      all(ClusterPropagationPolicy),
      all(PriorityClass),
      all(ResourceInterpreterCustomization),
    ]);
  return {
    apiVersion: "flotilla.io/v1alpha1",
    kind: "FleetSnapshot",
    takenAt: formatTime(nowMs),
    clusters,
    bindings: [...bindings, ...clusterBindings] as readonly AnyBinding[],
    policies,
    clusterPolicies,
    priorityClasses,
    customizations,
  };
}

/** Reads a file of `takeSnapshot`. Throws with the file's name and what is wrong with it. */
export function readSnapshot(path: string): FleetFile {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const file = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  if (file["apiVersion"] !== "flotilla.io/v1alpha1" || file["kind"] !== "FleetSnapshot")
    throw new Error(`${path}: this is no FleetSnapshot of flotilla.io/v1alpha1`);
  for (const list of LISTS) {
    const entries = file[list] ?? (list === "customizations" ? [] : undefined);
    if (!Array.isArray(entries)) throw new Error(`${path}: ${list} must be a list`);
    for (const [at, entry] of (entries as readonly unknown[]).entries())
      if (typeof (entry as { metadata?: { name?: unknown } } | null)?.metadata?.name !== "string")
        throw new Error(`${path}: ${list}[${at}].metadata.name is required`);
  }
  return value as FleetFile;
}
