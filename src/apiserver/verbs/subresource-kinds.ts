import type { GroupVersionKind } from "#machinery";
import { Schema } from "#machinery";
import { goForm } from "../builtin/go-shape.ts";
import { builtinSchemas, resolveBuiltin } from "../builtin/schemas.ts";
import type { AdmissionView } from "../admission.ts";
import type { ResourceDefinition } from "../definition.ts";

/** The view of what is posted to a subresource: an object of a kind of its own. */
export const ownView = (kind: GroupVersionKind): AdmissionView => ({
  kind,
  show: (object) => object,
  take: (shown) => shown,
});

const known = new WeakMap<ResourceDefinition, Map<string, ResourceDefinition>>();

/** The kind that is read and written through a subresource, such as the Scale of a Deployment, as a kind of its own. */
export function subresourceKind(
  parent: ResourceDefinition,
  { group, version, kind }: GroupVersionKind,
  schemaName: string,
): ResourceDefinition {
  let kinds = known.get(parent);
  if (kinds === undefined) known.set(parent, (kinds = new Map<string, ResourceDefinition>()));
  let definition = kinds.get(schemaName);
  if (definition === undefined) {
    const source = builtinSchemas()[schemaName];
    definition = {
      kind: { ...parent.kind, group, version, kind },
      singular: parent.singular,
      shortNames: [],
      categories: [],
      verbs: [],
      // A status in it is told, never written.
      subresources: [{ name: "status", kind: { group, version, kind }, verbs: [] }],
      schema: source === undefined ? undefined : Schema.compile(source, { resolve: resolveBuiltin, isPublished: true }),
      columns: [],
      storage: parent.storage,
      origin: "builtin",
      strategy: goForm(schemaName, resolveBuiltin) ?? {},
      hasGeneration: false,
    };
    kinds.set(schemaName, definition);
  }
  return definition;
}
