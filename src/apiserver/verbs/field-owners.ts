import { apiVersionOf, formatTime, type KubeObject, Schema, type WriteOptions } from "#machinery";
import { type OwnedKind, trackUpdate } from "../apply/apply.ts";
import { emptyOf } from "../apply/typed.ts";
import { builtinSchemas, resolveBuiltin } from "../builtin/schemas.ts";
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
export function trackFields(
  host: VerbHost,
  definition: ResourceDefinition,
  old: KubeObject | undefined,
  object: KubeObject,
  options: WriteOptions,
  subresource: string | undefined,
  context: RequestContext,
): KubeObject {
  if (!context.tracksFields && old?.metadata.managedFields === undefined) return object;
  return trackUpdate(old, object, ownedKindOf(definition), {
    manager: options.fieldManager ?? "unknown",
    apiVersion: apiVersionOf(definition.kind),
    subresource,
    time: formatTime(host.clock.now()),
    force: false,
  });
}
