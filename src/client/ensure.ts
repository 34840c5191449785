import { isAlreadyExists, type KubeObject, type ResourceKind } from "#machinery";
import type { Client } from "./client.ts";

/** Creates an object, or gives the one that is there. */
export async function ensureObject<T extends KubeObject>(client: Client, kind: ResourceKind<T>, object: T): Promise<T> {
  try {
    return await client.create(kind, object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    return client.get(kind, { namespace: object.metadata.namespace, name: object.metadata.name ?? "" });
  }
}
