import { createHash } from "node:crypto";
import { apiVersionOf } from "#machinery";
import type { ResourceDefinition, SubresourceDefinition } from "../definition.ts";
import type { ResourceRegistry } from "../registry.ts";

interface Group {
  readonly name: string;
  readonly versions: readonly { readonly version: string; readonly definitions: readonly ResourceDefinition[] }[];
}

/** v1 before v1beta2 before v1alpha1, as Kubernetes orders versions. */
export function compareVersions(left: string, right: string): number {
  const parts = (version: string) => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
    if (match === null) return undefined;
    return [match[2] === undefined ? 2 : match[2] === "beta" ? 1 : 0, Number(match[1]), Number(match[3] ?? 0)] as const;
  };
  const a = parts(left);
  const b = parts(right);
  if (a === undefined || b === undefined) return a === b ? left.localeCompare(right) : a === undefined ? 1 : -1;
  return b[0] - a[0] || b[1] - a[1] || b[2] - a[2];
}

/** What the server serves, in the classic and in the aggregated form, made again only when the registry changed. */
export class DiscoveryDocuments {
  readonly #registry: ResourceRegistry;
  #generation = -1;
  #groups: readonly Group[] = [];
  #aggregated = new Map<string, { readonly body: Buffer; readonly etag: string }>();

  constructor(registry: ResourceRegistry) {
    this.#registry = registry;
  }

  groups(): readonly Group[] {
    if (this.#generation === this.#registry.generation) return this.#groups;
    this.#generation = this.#registry.generation;
    this.#aggregated = new Map();
    const groups = new Map<string, Map<string, ResourceDefinition[]>>();
    for (const definition of this.#registry.all) {
      const { group, version } = definition.kind;
      let versions = groups.get(group);
      if (versions === undefined) groups.set(group, (versions = new Map()));
      versions.set(version, [...(versions.get(version) ?? []), definition]);
    }
    this.#groups = [...groups]
      .sort(([left], [right]) => compareGroups(left, right))
      .map(([name, versions]) => ({
        name,
        versions: [...versions]
          .sort(([a], [b]) => compareVersions(a, b))
          .map(([version, definitions]) => ({
            version,
            definitions: [...definitions].sort((a, b) => (a.kind.resource < b.kind.resource ? -1 : 1)),
          })),
      }));
    return this.#groups;
  }

  /** The aggregated form (v2) of `/api` or `/apis`. */
  aggregated(root: "/api" | "/apis"): { readonly body: Buffer; readonly etag: string } {
    const groups = this.groups();
    const present = this.#aggregated.get(root);
    if (present !== undefined) return present;
    const items = groups
      .filter(({ name }) => (name === "") === (root === "/api"))
      .map(({ name, versions }) => ({
        metadata: name === "" ? {} : { name },
        versions: versions.map(({ version, definitions }) => ({
          version,
          freshness: "Current",
          resources: definitions.map((definition) => ({
            resource: definition.kind.resource,
            // Of its own kinds a kube-apiserver says the kind only: group and version are those it stands under.
            responseKind:
              definition.origin === "builtin"
                ? { group: "", version: "", kind: definition.kind.kind }
                : { group: definition.kind.group, version: definition.kind.version, kind: definition.kind.kind },
            scope: definition.kind.namespaced ? "Namespaced" : "Cluster",
            singularResource: definition.singular,
            verbs: shownVerbs(definition),
            ...(definition.shortNames.length === 0 ? {} : { shortNames: definition.shortNames }),
            ...(definition.categories.length === 0 ? {} : { categories: definition.categories }),
            ...(definition.subresources.length === 0
              ? {}
              : {
                  subresources: definition.subresources.map((subresource) => ({
                    subresource: subresource.name,
                    responseKind: subresource.kind,
                    verbs: subresource.verbs,
                  })),
                }),
          })),
        })),
      }));
    const body = Buffer.from(
      `${JSON.stringify({ kind: "APIGroupDiscoveryList", apiVersion: "apidiscovery.k8s.io/v2", metadata: {}, items })}\n`,
    );
    const made = { body, etag: `"${createHash("sha256").update(body).digest("hex").toUpperCase()}"` };
    this.#aggregated.set(root, made);
    return made;
  }

  /** The classic forms; `undefined` for a path that is none. */
  classic(path: string, address: string): unknown {
    const groups = this.groups();
    const [, root, group, version, ...rest] = path.replace(/\/$/, "").split("/");
    if (rest.length > 0) return undefined;
    if (root === "api") {
      const core = groups.find(({ name }) => name === "");
      if (group === undefined)
        return {
          kind: "APIVersions",
          versions: core?.versions.map((v) => v.version) ?? [],
          serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: address }],
        };
      const found = version === undefined ? core?.versions.find((v) => v.version === group) : undefined;
      return found === undefined
        ? undefined
        : { kind: "APIResourceList", groupVersion: found.version, resources: resourcesOf(found.definitions) };
    }
    if (root !== "apis") return undefined;
    if (group === undefined)
      return { kind: "APIGroupList", apiVersion: "v1", groups: groups.filter(({ name }) => name !== "").map(groupOf) };
    const found = groups.find(({ name }) => name === group && name !== "");
    if (found === undefined) return undefined;
    if (version === undefined) return { kind: "APIGroup", apiVersion: "v1", ...groupOf(found) };
    const served = found.versions.find((v) => v.version === version);
    if (served === undefined) return undefined;
    return {
      kind: "APIResourceList",
      apiVersion: "v1",
      groupVersion: `${group}/${version}`,
      resources: resourcesOf(served.definitions),
    };
  }
}

/** Groups in the order of kube-apiserver, which is one of age; what others add comes behind by name. */
const GROUP_ORDER = [
  "",
  "apiregistration.k8s.io",
  "apps",
  "events.k8s.io",
  "authentication.k8s.io",
  "authorization.k8s.io",
  "autoscaling",
  "batch",
  "certificates.k8s.io",
  "networking.k8s.io",
  "policy",
  "rbac.authorization.k8s.io",
  "storage.k8s.io",
  "admissionregistration.k8s.io",
  "apiextensions.k8s.io",
  "scheduling.k8s.io",
  "coordination.k8s.io",
  "node.k8s.io",
  "discovery.k8s.io",
  "resource.k8s.io",
  "flowcontrol.apiserver.k8s.io",
];

function compareGroups(left: string, right: string): number {
  const [a, b] = [left, right].map((name) => {
    const at = GROUP_ORDER.indexOf(name);
    return at < 0 ? GROUP_ORDER.length : at;
  }) as [number, number];
  return a - b || (left < right ? -1 : 1);
}

function groupOf({ name, versions }: Group) {
  const entries = versions.map(({ version }) => ({ groupVersion: apiVersionOf({ group: name, version }), version }));
  return { name, versions: entries, preferredVersion: entries[0] };
}

/** Changes when objects are stored under another group, version or kind: what migrators of stored versions look at. */
function storageVersionHash({ kind, storage }: ResourceDefinition): string {
  const text = `${storage.group ?? kind.group}/${storage.version}/${kind.kind}`;
  return createHash("sha256").update(text).digest().subarray(0, 8).toString("base64");
}

/** What is about to go takes nothing new. */
const shownVerbs = ({ verbs, isTerminating = false }: ResourceDefinition): readonly string[] =>
  isTerminating ? verbs.filter((verb) => !["create", "patch", "update"].includes(verb)) : verbs;

const isStored = ({ verbs, virtual }: ResourceDefinition) => virtual === undefined && verbs.includes("list");

/** Kinds of other groups that a resource takes and gives beside its own. */
const otherKind = (definition: ResourceDefinition, { kind }: SubresourceDefinition) =>
  kind.group === "" || kind.group === definition.kind.group ? {} : { group: kind.group, version: kind.version };

function resourcesOf(definitions: readonly ResourceDefinition[]): readonly unknown[] {
  return definitions.flatMap((definition) => [
    {
      name: definition.kind.resource,
      singularName: definition.singular,
      namespaced: definition.kind.namespaced,
      kind: definition.kind.kind,
      verbs: shownVerbs(definition),
      ...(definition.shortNames.length === 0 ? {} : { shortNames: definition.shortNames }),
      ...(definition.categories.length === 0 ? {} : { categories: definition.categories }),
      ...(isStored(definition) ? { storageVersionHash: storageVersionHash(definition) } : {}),
    },
    ...definition.subresources.map((subresource) => ({
      name: `${definition.kind.resource}/${subresource.name}`,
      singularName: "",
      namespaced: definition.kind.namespaced,
      ...otherKind(definition, subresource),
      kind: subresource.kind.kind,
      verbs: subresource.verbs,
    })),
  ]);
}
