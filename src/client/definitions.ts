import { isForbidden, type KubeObject, parseTime, type ResourceKind } from "#machinery";
import type { Client } from "./client.ts";

const CustomResourceDefinition: ResourceKind<KubeObject> = {
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  resource: "customresourcedefinitions",
  namespaced: false,
};

/**
 * Whether objects of a kind go because the kind itself goes: its CustomResourceDefinition is being deleted, or is younger
 * than `sinceMs`. Nobody has decided anything about such objects. False for built-in kinds, and where definitions may not
 * be read.
 */
export async function isDefinitionLeaving(
  client: Client,
  { group, resource }: Pick<ResourceKind, "group" | "resource">,
  sinceMs?: number,
): Promise<boolean> {
  if (!group.includes(".")) return false;
  try {
    const definition = await client.find(CustomResourceDefinition, { name: `${resource}.${group}` });
    if (definition === undefined) return false;
    const { deletionTimestamp, creationTimestamp } = definition.metadata;
    return (
      deletionTimestamp !== undefined ||
      (sinceMs !== undefined && (parseTime(creationTimestamp) ?? Number.NEGATIVE_INFINITY) > sinceMs)
    );
  } catch (error) {
    if (isForbidden(error)) return false;
    throw error;
  }
}
