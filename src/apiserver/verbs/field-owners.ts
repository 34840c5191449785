import {
  apiVersionOf,
  formatTime,
  type KubeObject,
  parseApiVersion,
  plainFailure,
  Schema,
  type WriteOptions,
} from "#machinery";
import { type FindVersion, type Manager, type OwnedKind, trackUpdate } from "../apply/apply.ts";
import { emptyOf } from "../apply/typed.ts";
import { builtinSchemas, resolveBuiltin } from "../builtin/schemas.ts";
import { leftByStatus } from "../metadata.ts";
import { hasSubresource, type RequestContext, type ResourceDefinition } from "../definition.ts";
import type { VerbHost } from "./host.ts";

const kinds = new WeakMap<ResourceDefinition, OwnedKind>();

/** What of a definition matters for the owners of fields. Metadata of custom resources has the schema of all metadata. */
export function ownedKindOf(definition: ResourceDefinition): OwnedKind {
  let kind = kinds.get(definition);
  if (kind === undefined) {
    const isPublished = definition.origin === "builtin";
    const metadata = builtinSchemas()["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"];
    const { schema } = definition;
    kind = {
      schema:
        schema === undefined || isPublished || metadata === undefined
          ? schema
          : Schema.compile(
              { ...schema.source, properties: { ...schema.source.properties, metadata } },
              { resolve: resolveBuiltin },
            ),
      empty: emptyObject(definition),
      hasStatus: hasSubresource(definition, "status"),
      statusLeaves: leftByStatus(definition),
      isLoose: definition.origin === "custom",
      isSpecFixed: isPublished && definition.kind.kind === "CertificateSigningRequest",
    };
    kinds.set(definition, kind);
  }
  return kind;
}

/** An object of a kind of which nothing is said, as its type has it in JSON. */
function emptyObject({ strategy, schema, origin }: ResourceDefinition): Readonly<Record<string, unknown>> {
  if (strategy.settle === undefined)
    return origin === "builtin" ? (emptyOf(schema) as Readonly<Record<string, unknown>>) : {};
  const { metadata: _m, apiVersion: _a, kind: _k, ...rest } = strategy.settle({} as KubeObject);
  return rest;
}

/** Keeps the owners of fields: for clients outside always, for our own writes where somebody cares already. */
export async function trackFields(
  host: VerbHost,
  definition: ResourceDefinition,
  old: KubeObject | undefined,
  object: KubeObject,
  options: WriteOptions,
  subresource: string | undefined,
  context: RequestContext,
): Promise<KubeObject> {
  if (!context.tracksFields && old?.metadata.managedFields === undefined) return object;
  const manager = managerOf(host, definition, options, subresource);
  return trackUpdate(old, object, ownedKindOf(definition), manager, otherVersionsOf(host, definition));
}

/** How owners in other versions of a kind see its objects. */
export const otherVersionsOf =
  (host: VerbHost, definition: ResourceDefinition): FindVersion =>
  (apiVersion) => {
    const { group, version } = parseApiVersion(apiVersion);
    if (group !== definition.kind.group) return undefined;
    const { versions, origin } = definition;
    const other = versions?.get(version) ?? host.registry.find(group, version, definition.kind.resource);
    if (other === undefined) {
      if (versions === undefined) return undefined;
      throw plainFailure(`request to convert CR to an invalid group/version: ${apiVersion}`);
    }
    const isSame = versions === undefined && other.conversion === undefined && definition.conversion === undefined;
    if (isSame || (versions === undefined && origin !== "builtin")) return undefined;
    return {
      kind: ownedKindOf(other),
      of: (object) => host.rewritten(object, definition, other),
      back: (object) => host.rewritten(object, other, definition),
    };
  };

/** Who writes, in words of the owners of fields. */
export const managerOf = (
  host: VerbHost,
  definition: ResourceDefinition,
  options: WriteOptions,
  subresource: string | undefined,
): Manager => ({
  manager: options.fieldManager ?? "unknown",
  apiVersion: apiVersionOf(definition.kind),
  subresource,
  time: formatTime(host.clock.now()),
  force: options.force ?? false,
});
