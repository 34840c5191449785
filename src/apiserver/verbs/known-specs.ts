import type { KubeObject } from "#machinery";
import type { ResourceDefinition } from "../definition.ts";

/** Never the metadata of an object: what is known by its spec alone shares nothing else. */
const NO_METADATA = Object.freeze({});

/** Specs that some server of this process decoded, defaulted and validated, as parts of objects that have nothing else. */
const known = new WeakMap<object, { readonly source: unknown; readonly object: KubeObject }>();

const specOf = (object: KubeObject | null | undefined): object | undefined => {
  const spec = (object as { readonly spec?: unknown } | null | undefined)?.spec;
  return typeof spec === "object" && spec !== null ? spec : undefined;
};

/**
 * What need not be looked at again of an object that is created: its spec, where a server of this process has taken the very
 * same one before. So it is with what the control plane applies in a member of its process, which is the template's own spec.
 */
export function knownBySpec({ schema, strategy }: ResourceDefinition, sent: KubeObject): KubeObject | undefined {
  const spec = strategy.rulesReadSpec === true ? specOf(sent) : undefined;
  const found = spec === undefined ? undefined : known.get(spec);
  return found !== undefined && found.source === schema?.source ? found.object : undefined;
}

/** Whether the defaults and rules of a kind, which read the spec only, have nothing to say about an object any more. */
export const hasKnownSpec = (
  { rulesReadSpec }: ResourceDefinition["strategy"],
  object: KubeObject,
  knownObject: KubeObject | undefined,
): boolean => {
  const spec = rulesReadSpec === true ? specOf(object) : undefined;
  return spec !== undefined && spec === specOf(knownObject);
};

/** Notes the spec of an object that was taken as it is stored. */
export function noteSpec({ schema, strategy }: ResourceDefinition, { apiVersion, kind, ...rest }: KubeObject): void {
  const spec = strategy.rulesReadSpec === true ? specOf(rest as KubeObject) : undefined;
  if (spec === undefined || known.has(spec)) return;
  known.set(spec, { source: schema?.source, object: { apiVersion, kind, metadata: NO_METADATA, spec } as KubeObject });
}
