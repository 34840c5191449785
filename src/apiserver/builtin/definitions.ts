import { EVENT_TTL_MS } from "./event-expiry.ts";
import { type KubeObject, Schema } from "#machinery";
import { columnsJson } from "../data/generated-columns.ts";
import { discoveryJson } from "../data/generated-discovery.ts";
import type { ResourceDefinition, SubresourceDefinition, TableColumn, VersionConversion } from "../definition.ts";
import { conversionOf } from "./conversions.ts";
import { goForm } from "./go-shape.ts";
import { quantityRewriter } from "./quantities.ts";
import { builtinSchemas, resolveBuiltin } from "./schemas.ts";
import { strategyOf } from "./strategies.ts";

interface DiscoveryList {
  readonly items: readonly {
    readonly metadata: { readonly name?: string };
    readonly versions: readonly {
      readonly version: string;
      readonly resources: readonly {
        readonly resource: string;
        readonly responseKind: { readonly kind: string };
        readonly scope: string;
        readonly singularResource: string;
        readonly verbs: readonly string[];
        readonly shortNames?: readonly string[];
        readonly categories?: readonly string[];
        readonly subresources?: readonly {
          readonly subresource: string;
          readonly responseKind: { readonly group: string; readonly version: string; readonly kind: string };
          readonly verbs: readonly string[];
        }[];
      }[];
    }[];
  }[];
}

let byKind: Map<string, string> | undefined;

/** The long name of a kind's schema. */
export function schemaNameOf(group: string, version: string, kind: string): string | undefined {
  if (byKind === undefined) {
    byKind = new Map();
    for (const [name, schema] of Object.entries(builtinSchemas()))
      for (const gvk of (
        schema as { "x-kubernetes-group-version-kind"?: readonly { group: string; version: string; kind: string }[] }
      )["x-kubernetes-group-version-kind"] ?? [])
        if (!byKind.has(`${gvk.group}/${gvk.version}/${gvk.kind}`))
          byKind.set(`${gvk.group}/${gvk.version}/${gvk.kind}`, name);
  }
  return byKind.get(`${group}/${version}/${kind}`);
}

/** The schema of a published kind. */
export function builtinSchema(group: string, version: string, kind: string): Schema | undefined {
  const source = builtinSchemas()[schemaNameOf(group, version, kind) ?? ""];
  return source === undefined ? undefined : Schema.compile(source, { resolve: resolveBuiltin, isPublished: true });
}

/** Where Kubernetes keeps kinds whose folder is not their resource's name. */
const FOLDERS: Readonly<Record<string, string>> = {
  services: "services/specs",
  endpoints: "services/endpoints",
  nodes: "minions",
  ingresses: "ingress",
  replicationcontrollers: "controllers",
};
const GROUP_IN_PATH = new Set(["apiextensions.k8s.io", "apiregistration.k8s.io"]);
/** Objects served under two groups are stored under this one. */
const STORAGE_GROUPS: Readonly<Record<string, string>> = { "events.k8s.io/events": "" };
/** A resource served in several versions is stored in this one. */
const STORAGE_VERSIONS: Readonly<Record<string, string>> = { "autoscaling/horizontalpodautoscalers": "v2" };
/** The same objects served under two groups. */
const SHARED_PREFIX: Readonly<Record<string, string>> = { "events.k8s.io/events": "/registry/events/" };

const WITHOUT_GENERATION = new Set([
  "ServiceCIDR",
  "Namespace",
  "Node",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "Service",
  "ServiceAccount",
  "ResourceQuota",
  "LimitRange",
  "Lease",
  "CertificateSigningRequest",
  "CSIDriver",
  "CSINode",
  "VolumeAttachment",
  "HorizontalPodAutoscaler",
  "APIService",
  "IPAddress",
  "ResourceClaim",
  "ResourceClaimTemplate",
]);
/** Kinds without a spec whose changes are counted all the same. */
const WITH_GENERATION = new Set([
  "Pod",
  "PriorityClass",
  "ValidatingWebhookConfiguration",
  "MutatingWebhookConfiguration",
  "EndpointSlice",
  "PodTemplate",
]);
/** Kinds whose updates, and those of their parts, name the version they were made from. */
const WITH_VERSION = new Set([
  "apiservices.apiregistration.k8s.io",
  "csidrivers.storage.k8s.io",
  "csinodes.storage.k8s.io",
  "csistoragecapacities.storage.k8s.io",
  "customresourcedefinitions.apiextensions.k8s.io",
  "leases.coordination.k8s.io",
  "mutatingadmissionpolicies.admissionregistration.k8s.io",
  "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
  "mutatingwebhookconfigurations.admissionregistration.k8s.io",
  "poddisruptionbudgets.policy",
  "runtimeclasses.node.k8s.io",
  "validatingadmissionpolicies.admissionregistration.k8s.io",
  "validatingadmissionpolicybindings.admissionregistration.k8s.io",
  "validatingwebhookconfigurations.admissionregistration.k8s.io",
  "volumeattachments.storage.k8s.io",
]);
/** What users of a kind are told. */
const DEPRECATIONS: Readonly<Record<string, string>> = {
  "/v1/Endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
};

function prefixOf(group: string, resource: string): string {
  const shared = SHARED_PREFIX[`${group}/${resource}`];
  if (shared !== undefined) return shared;
  if (GROUP_IN_PATH.has(group)) return `/registry/${group}/${resource}/`;
  return `/registry/${(group === "" || group === "networking.k8s.io" ? FOLDERS[resource] : undefined) ?? resource}/`;
}

/** Kinds that are asked and answered but never stored; the authentication and authorization parts answer them. */
const NEVER_STORED = new Set([
  "tokenreviews",
  "selfsubjectreviews",
  "subjectaccessreviews",
  "localsubjectaccessreviews",
  "selfsubjectaccessreviews",
  "selfsubjectrulesreviews",
  "bindings",
  "componentstatuses",
]);

/** A conversion whose results have the form of the version they are in. */
function settledConversion(
  group: string,
  version: string,
  resource: string,
  kind: string,
): VersionConversion | undefined {
  const conversion = conversionOf(group, version, resource);
  if (conversion === undefined) return undefined;
  const key = `${group}/${resource}`;
  const settlerOf = (inGroup: string, inVersion: string) => {
    const name = schemaNameOf(inGroup, inVersion, kind);
    return (name === undefined ? undefined : goForm(name, resolveBuiltin)?.settle) ?? ((object: KubeObject) => object);
  };
  const own = settlerOf(group, version);
  const stored = settlerOf(STORAGE_GROUPS[key] ?? group, STORAGE_VERSIONS[key] ?? version);
  return {
    fromStored: (object) => own(conversion.fromStored(object)),
    toStored: (object, present) => stored(conversion.toStored(object, present)),
  };
}

/** The definitions of all built-in kinds, made from Kubernetes' own discovery. */
export function builtinDefinitions(): readonly ResourceDefinition[] {
  const discovery = JSON.parse(discoveryJson) as Readonly<Record<string, DiscoveryList>>;
  const columns = JSON.parse(columnsJson) as Readonly<Record<string, readonly TableColumn[]>>;
  const definitions: ResourceDefinition[] = [];
  for (const root of ["/api", "/apis"])
    for (const group of discovery[root]?.items ?? [])
      for (const { version, resources } of group.versions)
        for (const resource of resources) {
          const groupName = group.metadata.name ?? "";
          const kindName = resource.responseKind.kind;
          if (NEVER_STORED.has(resource.resource)) continue;
          const schemaName = schemaNameOf(groupName, version, kindName);
          const source = schemaName === undefined ? undefined : builtinSchemas()[schemaName];
          const key = `${groupName === "" ? "" : `${groupName}/`}${version}/${resource.resource}`;
          const spec = source?.properties?.["spec"];
          const form = schemaName === undefined ? undefined : goForm(schemaName, resolveBuiltin);
          const conversion = settledConversion(groupName, version, resource.resource, kindName);
          const subresources: SubresourceDefinition[] = (resource.subresources ?? []).map((subresource) => ({
            name: subresource.subresource,
            kind: subresource.responseKind,
            verbs: subresource.verbs,
          }));
          definitions.push({
            kind: {
              group: groupName,
              version,
              kind: kindName,
              resource: resource.resource,
              namespaced: resource.scope === "Namespaced",
            },
            singular: resource.singularResource,
            shortNames: resource.shortNames ?? [],
            categories: resource.categories ?? [],
            verbs: resource.verbs,
            subresources,
            schema:
              source === undefined ? undefined : Schema.compile(source, { resolve: resolveBuiltin, isPublished: true }),
            columns: columns[key] ?? columns[`/${key}`] ?? [],
            storage: {
              prefix: prefixOf(groupName, resource.resource),
              version: STORAGE_VERSIONS[`${groupName}/${resource.resource}`] ?? version,
              group: STORAGE_GROUPS[`${groupName}/${resource.resource}`] ?? groupName,
              ...(resource.resource === "events" ? { leaseSeconds: EVENT_TTL_MS / 1000 } : {}),
            },
            origin: "builtin",
            ...(conversion === undefined ? {} : { conversion }),
            strategy:
              source === undefined
                ? strategyOf(groupName, kindName)
                : {
                    ...strategyOf(groupName, kindName),
                    ...(WITH_VERSION.has(`${resource.resource}.${groupName}`) ? { needsVersionOnUpdate: true } : {}),
                    normalise: quantityRewriter(source, resolveBuiltin),
                    ...form,
                    // Kinds that are kept as JSON keep their empty lists.
                    ...(GROUP_IN_PATH.has(groupName) ? { stored: (object: KubeObject) => object } : {}),
                  },
            hasGeneration: WITH_GENERATION.has(kindName) || (spec !== undefined && !WITHOUT_GENERATION.has(kindName)),
            ...(DEPRECATIONS[`${groupName}/${version}/${kindName}`] === undefined
              ? {}
              : { deprecation: DEPRECATIONS[`${groupName}/${version}/${kindName}`] as string }),
          });
        }
  return definitions;
}
