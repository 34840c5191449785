import { DELETE_WHEN_UNUSED, type Work } from "#apis/karmada";
import type { KubeObject, ResourceKind } from "#machinery";
import type { Member } from "#member";

/** Whether a Work is a definition's that is no longer wanted and goes as soon as its member has no object of the kind. */
export const isDeletedWhenUnused = ({ metadata }: Work): boolean =>
  metadata.annotations?.[DELETE_WHEN_UNUSED] !== undefined;

interface Definition extends KubeObject {
  readonly spec?: {
    readonly group?: string;
    readonly scope?: string;
    readonly names?: { readonly kind?: string; readonly plural?: string };
    readonly versions?: readonly { readonly name: string; readonly served?: boolean }[];
  };
}

/** The kind a manifest defines, in a version it serves; `undefined` when it defines none. */
function definedBy(manifest: KubeObject): ResourceKind | undefined {
  const { group, scope, names, versions } = (manifest as Definition).spec ?? {};
  const version = versions?.find(({ served }) => served === true)?.name;
  if (group === undefined || names?.plural === undefined || version === undefined) return undefined;
  return { group, version, kind: names.kind ?? "", resource: names.plural, namespaced: scope === "Namespaced" };
}

/** How a user reads of the first object of a defined kind that a member has; `undefined` when it has none. */
export async function usedIn(member: Member, manifest: KubeObject): Promise<string | undefined> {
  const kind = definedBy(manifest);
  if (kind === undefined) return undefined;
  const served = await member.kinds.find(`${kind.group}/${kind.version}`, kind.kind);
  // Not there, or not there any more: nothing is left to be lost.
  if (served === undefined) return undefined;
  const { items } = await member.client.list(kind, { limit: 1 });
  const [first] = items;
  if (first === undefined) return undefined;
  const { namespace, name } = first.metadata;
  return `${kind.kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
}
