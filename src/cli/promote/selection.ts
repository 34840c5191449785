import type { KubeObject, ResourceKind } from "#machinery";
import { SYSTEM } from "#apis/karmada";
import type { Client, DiscoveredResource } from "#client";
import { typeAmong } from "../resolve.ts";

/** An object of a member that is to become a template. Absent objects were named and are not there. */
export interface Selected {
  readonly kind: ResourceKind<KubeObject>;
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly object: KubeObject | undefined;
}

export interface Selection {
  /** Types by any of their names, or `all`. */
  readonly types: readonly string[];
  readonly names: readonly string[];
  /** None where every namespace is looked at. */
  readonly namespaces: readonly string[] | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Objects that a manifest names, whatever else it says of them. */
  readonly manifests: readonly KubeObject[];
  readonly excludedKinds: readonly string[];
  /** Patterns with `*`; absent for those that are left out unless they are named. */
  readonly excludedNamespaces: readonly string[] | undefined;
}

export const DEFAULT_EXCLUDED_NAMESPACES = ["kube-*", "karmada-*"];

/** What controllers make of other objects, and what describes the cluster itself. */
const NEVER = new Set([
  "events",
  "events.events.k8s.io",
  "endpoints",
  "endpointslices.discovery.k8s.io",
  "leases.coordination.k8s.io",
  "nodes",
  "persistentvolumes",
  "componentstatuses",
  "csinodes.storage.k8s.io",
  "csistoragecapacities.storage.k8s.io",
  "volumeattachments.storage.k8s.io",
  "apiservices.apiregistration.k8s.io",
  "certificatesigningrequests.certificates.k8s.io",
  "flowschemas.flowcontrol.apiserver.k8s.io",
  "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
  "ipaddresses.networking.k8s.io",
  "servicecidrs.networking.k8s.io",
  "resourceslices.resource.k8s.io",
  "controllerrevisions.apps",
  "validatingadmissionpolicybindings.admissionregistration.k8s.io",
  "validatingadmissionpolicies.admissionregistration.k8s.io",
  "validatingwebhookconfigurations.admissionregistration.k8s.io",
  "mutatingwebhookconfigurations.admissionregistration.k8s.io",
]);

const qualified = ({ group, resource }: ResourceKind) => (group === "" ? resource : `${resource}.${group}`);

const matches = (pattern: string, text: string) =>
  new RegExp(`^${pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*")}$`).test(text);

const TOKEN_TYPES = ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"];

/** Whether an object that nobody named is left out: made by Kubernetes, by a controller, or by whoever joined the cluster. */
export function isLeftOut(object: KubeObject, kind: ResourceKind): boolean {
  const { metadata } = object;
  const { name = "", labels = {}, annotations = {} } = metadata;
  if (metadata.deletionTimestamp !== undefined) return true;
  if (metadata.ownerReferences?.some(({ controller }) => controller === true) === true) return true;
  if (labels[SYSTEM] === "true" || labels["kubernetes.io/bootstrapping"] !== undefined) return true;
  if (annotations["rbac.authorization.kubernetes.io/autoupdate"] === "true") return true;
  if (!kind.namespaced && /^system[:-]/.test(name)) return true;
  switch (qualified(kind)) {
    case "serviceaccounts":
      return name === "default";
    case "configmaps":
      return name === "kube-root-ca.crt";
    case "secrets":
      return TOKEN_TYPES.includes(String((object as { readonly type?: string }).type ?? ""));
    case "services":
      return name === "kubernetes" && metadata.namespace === "default";
    case "customresourcedefinitions.apiextensions.k8s.io":
      return /\.karmada\.io$/.test(name);
    default:
      return false;
  }
}

/** What of a member is meant, in the order its server lists it, each object once. Throws for a type nobody serves. */
export async function select(
  member: Client,
  resources: readonly DiscoveredResource[],
  selection: Selection,
): Promise<readonly Selected[]> {
  const found = new Map<string, Selected>();
  const add = (one: Selected) => found.set(`${qualified(one.kind)} ${one.namespace ?? ""}/${one.name}`, one);
  for (const manifest of selection.manifests) add(await named(member, resources, manifest));
  const isAll = selection.types.includes("all");
  const kinds = isAll ? everyKind(resources, selection) : selection.types.map((type) => typeAmong(resources, type));
  const excludedKinds = new Set(selection.excludedKinds.map((type) => qualified(typeAmong(resources, type))));
  for (const kind of kinds.filter((one) => !excludedKinds.has(qualified(one)))) {
    const namespaces = kind.namespaced ? selection.namespaces : undefined;
    if (selection.names.length > 0 && (!kind.namespaced || namespaces !== undefined)) {
      for (const name of selection.names)
        for (const namespace of namespaces ?? [undefined])
          add({ kind, namespace, name, object: await member.find(kind, { namespace, name }) });
      continue;
    }
    for (const namespace of namespaces ?? [undefined]) {
      const { items } = await member.list(kind, {
        ...(namespace === undefined ? {} : { namespace }),
        ...(selection.labelSelector === undefined ? {} : { labelSelector: selection.labelSelector }),
        ...(selection.fieldSelector === undefined ? {} : { fieldSelector: selection.fieldSelector }),
      });
      for (const object of items) {
        const name = object.metadata.name ?? "";
        if (selection.names.length > 0 ? !selection.names.includes(name) : isLeftOut(object, kind)) continue;
        if (isInExcludedNamespace(object, kind, selection)) continue;
        add({ kind, namespace: object.metadata.namespace, name, object });
      }
    }
  }
  return [...found.values()];
}

/** Whether an object lies in, or is, a namespace that is left out; one that is named by -n is not by default. */
function isInExcludedNamespace(
  { metadata }: KubeObject,
  kind: ResourceKind,
  { namespaces, excludedNamespaces }: Selection,
): boolean {
  const own = qualified(kind) === "namespaces" ? metadata.name : metadata.namespace;
  if (own === undefined) return false;
  const patterns =
    excludedNamespaces ?? (namespaces?.includes(own) === true && kind.namespaced ? [] : DEFAULT_EXCLUDED_NAMESPACES);
  return patterns.some((pattern) => matches(pattern, own));
}

/** Kinds that can be listed here and made elsewhere, each in its preferred version; cluster-scoped ones with all namespaces. */
function everyKind(resources: readonly DiscoveredResource[], { namespaces }: Selection): readonly DiscoveredResource[] {
  return resources.filter(
    (kind) =>
      kind.isPreferred &&
      ["list", "get", "create"].every((verb) => kind.verbs.includes(verb)) &&
      !NEVER.has(qualified(kind)) &&
      !kind.group.endsWith(".karmada.io") &&
      (kind.namespaced || namespaces === undefined),
  );
}

async function named(
  member: Client,
  resources: readonly DiscoveredResource[],
  manifest: KubeObject,
): Promise<Selected> {
  const [group = "", version = ""] = manifest.apiVersion.includes("/")
    ? manifest.apiVersion.split("/")
    : ["", manifest.apiVersion];
  const kind = resources.find((one) => one.group === group && one.version === version && one.kind === manifest.kind);
  if (kind === undefined)
    throw new Error(
      `no matches for kind ${JSON.stringify(manifest.kind)} in version ${JSON.stringify(manifest.apiVersion)}`,
    );
  const { namespace = "default", name = "" } = manifest.metadata;
  const at = { ...(kind.namespaced ? { namespace } : {}), name };
  return { kind, ...at, object: await member.find(kind, at) };
}
