import type { Clock, Random } from "#base";
import type { KubeObject, ResourceAddress } from "#machinery";
import type { AdmissionPlugin } from "../admission.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import type { ListPages } from "../list-pages.ts";
import type { ResourceRegistry } from "../registry.ts";
import type { ResourceStore } from "../storage/resource-store.ts";

/** Answers a subresource one can post to. */
export type ConnectHandler = (
  object: KubeObject,
  body: KubeObject,
  context: RequestContext,
) => Promise<KubeObject> | KubeObject;

/** What verbs need of the server they run in. */
export interface VerbHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly registry: ResourceRegistry;
  readonly admission: readonly AdmissionPlugin[];
  readonly pages: ListPages;
  /** Whether objects need an existing namespace. */
  readonly checksNamespaces: boolean;
  /** By `group/resource/subresource`. */
  readonly connect: ReadonlyMap<string, ConnectHandler>;
  /** Throws 404 for what is not served. */
  definition(address: ResourceAddress): ResourceDefinition;
  store(definition: ResourceDefinition): ResourceStore;
  /** Waits until reads show what other replicas were told is written; nothing to wait for without them. */
  settle(): Promise<void> | undefined;
  /** Fetches what a webhook must convert before objects are shown; `undefined` when there is nothing to wait for. */
  prepare(definition: ResourceDefinition, objects: readonly KubeObject[]): Promise<void> | undefined;
  /** The same before an object is stored. */
  prepareStore(definition: ResourceDefinition, object: KubeObject): Promise<void> | undefined;
  /** The object in the version of the definition. */
  convert(object: KubeObject, definition: ResourceDefinition): KubeObject;
  /** An object in another version of its kind, with what that version does not know as well. */
  rewritten(object: KubeObject, from: ResourceDefinition, to: ResourceDefinition): KubeObject | Promise<KubeObject>;
  /** The object in the version that is stored; `stored` is what the store holds now. */
  forStore(definition: ResourceDefinition, object: KubeObject, stored?: KubeObject): KubeObject;
}

/** Every lost try means that another writer won, so this many would have to be under way at once. */
export const WRITE_TRIES_MAX = 200;
