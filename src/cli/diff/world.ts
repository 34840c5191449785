import { parseAllDocuments } from "yaml";
import { readFileSync } from "node:fs";
import {
  type AnyBinding,
  type AnyOverridePolicy,
  type AnyPropagationPolicy,
  Cluster,
  ClusterOverridePolicy,
  ClusterPropagationPolicy,
  ClusterResourceBinding,
  OverridePolicy,
  PropagationPolicy,
  ResourceBinding,
  ResourceInterpreterCustomization,
} from "#apis/karmada";
import { type DiscoveredResource, discover } from "#client";
import type { Interpreter } from "#interpreter";
import { type KubeObject, parseApiVersion } from "#machinery";
import type { Connection } from "../connection.ts";
import { clientSideInterpreter } from "../interpreter.ts";

const POLICY_GROUP = "policy.karmada.io/v1alpha1";
const POLICY_KINDS = ["PropagationPolicy", "ClusterPropagationPolicy", "OverridePolicy", "ClusterOverridePolicy"];

/** The control plane as it is, or as it would be with some objects put in. */
export interface ControlPlaneState {
  readonly policies: readonly AnyPropagationPolicy[];
  readonly overrides: readonly AnyOverridePolicy[];
}

/** What a diff looks at: the state now, the state with what is given put in, and what both share. */
export interface DiffWorld {
  readonly before: ControlPlaneState;
  readonly after: ControlPlaneState;
  readonly clusters: readonly Cluster[];
  readonly bindings: readonly AnyBinding[];
  readonly interpreter: Interpreter;
  readonly kinds: readonly DiscoveredResource[];
  /** Templates given, as they would be. */
  readonly templates: readonly KubeObject[];
  /** Policies given, as they would be. */
  readonly given: readonly KubeObject[];
}

const keyOf = ({ kind, metadata }: KubeObject) => `${kind} ${metadata.namespace ?? ""}/${metadata.name ?? ""}`;

/** Objects of YAML or JSON files; `-` is standard input. Lists are taken apart; `namespace` stands in where none is given. */
export function readObjects(paths: readonly string[], namespace: string): readonly KubeObject[] {
  const CLUSTER_WIDE = ["ClusterPropagationPolicy", "ClusterOverridePolicy"];
  return paths.flatMap((path) =>
    parseAllDocuments(readFileSync(path === "-" ? 0 : path, "utf8"), { version: "1.1" }).flatMap((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw new Error(`${path}: ${error.message}`);
      const value = document.toJS() as (KubeObject & { readonly items?: readonly KubeObject[] }) | null;
      if (value === null) return [];
      return (value.kind === "List" ? (value.items ?? []) : [value]).map((object) => {
        if (typeof object?.apiVersion !== "string" || typeof object.kind !== "string" || !object.metadata?.name)
          throw new Error(`${path}: an object needs apiVersion, kind and metadata.name`);
        return object.metadata.namespace !== undefined || CLUSTER_WIDE.includes(object.kind)
          ? object
          : { ...object, metadata: { ...object.metadata, namespace } };
      });
    }),
  );
}

/** One object in the place of another of its kind and name; what the server gave it stays. */
function put<T extends KubeObject>(
  present: readonly T[],
  given: readonly KubeObject[],
  kinds: readonly string[],
): readonly T[] {
  const byKey = new Map(present.map((object) => [keyOf(object), object]));
  for (const object of given)
    if (kinds.includes(object.kind) && object.apiVersion === POLICY_GROUP) {
      const before = byKey.get(keyOf(object));
      const labels = { ...object.metadata.labels, ...permanentIds(before) };
      byKey.set(keyOf(object), { ...object, metadata: { ...before?.metadata, ...object.metadata, labels } } as T);
    }
  return [...byKey.values()];
}

const permanentIds = (object: KubeObject | undefined) =>
  Object.fromEntries(Object.entries(object?.metadata.labels ?? {}).filter(([key]) => key.endsWith("/permanent-id")));

export async function loadDiffWorld(
  connection: Connection,
  given: readonly KubeObject[],
  nowMs: number,
): Promise<DiffWorld> {
  const { client, transport } = connection;
  const items = async <T extends KubeObject>(reading: Promise<{ readonly items: readonly T[] }>) =>
    (await reading).items;
  const [own, wide, overrides, clusterOverrides, clusters, bindings, clusterBindings, customizations, { resources }] =
    await Promise.all([
      items(client.list(PropagationPolicy)),
      items(client.list(ClusterPropagationPolicy)),
      items(client.list(OverridePolicy)),
      items(client.list(ClusterOverridePolicy)),
      items(client.list(Cluster)),
      items(client.list(ResourceBinding)),
      items(client.list(ClusterResourceBinding)),
      items(client.list(ResourceInterpreterCustomization)),
      discover(transport),
    ]);
  const policies = [...own, ...wide] as readonly AnyPropagationPolicy[];
  const allOverrides = [...overrides, ...clusterOverrides] as readonly AnyOverridePolicy[];
  const isPolicy = ({ apiVersion, kind }: KubeObject) => apiVersion === POLICY_GROUP && POLICY_KINDS.includes(kind);
  return {
    before: { policies, overrides: allOverrides },
    after: {
      policies: put(policies, given, POLICY_KINDS.slice(0, 2)),
      overrides: put(allOverrides, given, POLICY_KINDS.slice(2)),
    },
    clusters,
    bindings: [...bindings, ...clusterBindings] as readonly AnyBinding[],
    interpreter: clientSideInterpreter(customizations, nowMs),
    kinds: resources,
    templates: given.filter((object) => !isPolicy(object)),
    given: given.filter(isPolicy),
  };
}

/** The resource of an object's kind. Throws when the server does not serve it. */
export function kindOf(
  world: DiffWorld,
  { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string },
): DiscoveredResource {
  const { group, version } = parseApiVersion(apiVersion);
  const found = world.kinds.find((each) => each.kind === kind && each.group === group && each.version === version);
  if (found === undefined)
    throw new Error(`no matches for kind ${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}`);
  return found;
}
