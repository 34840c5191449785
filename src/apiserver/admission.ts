import { type ApiError, forbidden, type GroupVersionKind, type KubeObject, type ResourceKind } from "#machinery";
import type { ResourceDefinition, User } from "./definition.ts";

/** An object that is written with the admitted one in one transaction, or neither is. */
export interface WrittenAlongside {
  readonly kind: ResourceKind;
  /** What was read, changed: the store must still hold its resource version, or the request is admitted anew. */
  readonly object: KubeObject;
}

/** How a write through a subresource is shown: as an object of another kind, such as the Scale of a Deployment. */
export interface AdmissionView {
  readonly kind: GroupVersionKind;
  show(object: KubeObject): KubeObject;
  /** The object after what was shown of it became `shown`. */
  take(shown: KubeObject, object: KubeObject): KubeObject;
}

/** One write on its way into the store. `object` is absent for deletions. */
export interface AdmissionRequest {
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  readonly definition: ResourceDefinition;
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  readonly subresource: string | undefined;
  /** What users' webhooks and policies see in place of the objects. */
  readonly view?: AdmissionView;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly user: User;
  readonly isDryRun: boolean;
  readonly warn: (message: string) => void;
  /** The options of the request, such as `fieldManager`. */
  readonly options?: Readonly<Record<string, unknown>>;
  /**
   * Has another object written in the same transaction, each at most once a request. Absent where the store is not ours,
   * as behind a webhook.
   */
  readonly alongside?: (write: WrittenAlongside) => void;
  /** Notes a fact in the audit log. */
  readonly annotate?: (key: string, value: string) => void;
}

/** Changes or refuses writes. A refusal is a thrown `ApiError`. */
export interface AdmissionPlugin {
  readonly name: string;
  /** Whether it looks at connections too, such as those to a pod's shell; default false. */
  readonly seesConnections?: boolean;
  handles(request: AdmissionRequest): boolean;
  /** Gives the object to go on with. */
  mutate?(request: AdmissionRequest & { readonly object: KubeObject }): KubeObject | Promise<KubeObject>;
  validate?(request: AdmissionRequest): void | Promise<void>;
}

/**
 * A plugin's refusal, as kube-apiserver words it (wire): a request that names no object is about "Unknown", and what changes
 * objects knows no more of a generated name than what it begins with.
 */
export function refusalOf(
  { definition, name, object, operation }: AdmissionRequest,
  why: string,
  isEarly = false,
): ApiError {
  const prefix = object?.metadata.generateName;
  const isGenerated =
    isEarly &&
    operation === "CREATE" &&
    prefix !== undefined &&
    name.startsWith(prefix) &&
    name.length === prefix.length + GENERATED_LETTERS;
  return forbidden(definition.kind, isGenerated ? prefix : name === "" ? "Unknown" : name, why);
}

/** How many letters the server adds to a prefix; it has cut that to what a name may hold. */
const GENERATED_LETTERS = 5;

/** Runs all mutating plugins in order, then all validating ones; `check` stands between them. */
export async function admit(
  plugins: readonly AdmissionPlugin[],
  request: AdmissionRequest,
  check: (object: KubeObject) => KubeObject,
): Promise<KubeObject | undefined> {
  let object = request.object;
  const mine = plugins.length === 0 ? plugins : plugins.filter((plugin) => plugin.handles(request));
  if (object !== undefined) {
    for (const plugin of mine)
      if (plugin.mutate !== undefined) object = await plugin.mutate({ ...request, object: object as KubeObject });
    object = check(object);
  }
  for (const plugin of mine) if (plugin.validate !== undefined) await plugin.validate({ ...request, object });
  return object;
}
