import type { KubeObject } from "#machinery";
import type { ResourceDefinition, User } from "./definition.ts";

/** One write on its way into the store. `object` is absent for deletions. */
export interface AdmissionRequest {
  readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
  readonly definition: ResourceDefinition;
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  readonly subresource: string | undefined;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly user: User;
  readonly isDryRun: boolean;
  readonly warn: (message: string) => void;
  /** The options of the request, such as `fieldManager`. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Notes a fact in the audit log. */
  readonly annotate?: (key: string, value: string) => void;
}

/** Changes or refuses writes. A refusal is a thrown `ApiError`. */
export interface AdmissionPlugin {
  readonly name: string;
  handles(request: AdmissionRequest): boolean;
  /** Gives the object to go on with. */
  mutate?(request: AdmissionRequest & { readonly object: KubeObject }): KubeObject | Promise<KubeObject>;
  validate?(request: AdmissionRequest): void | Promise<void>;
}

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
