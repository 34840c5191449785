import { CONFLICT_RESOLUTION, MANAGED, safeHash } from "#apis/karmada";
import { deepEqual } from "#base";
import { pruneManifest } from "#interpreter";
import { getPath, gvkOf, type KubeObject, type ResourceKind, setPath, withAnnotations } from "#machinery";

const isOwnMark = (key: string) => /(^|[./])(karmada|flotilla)\.io\//.test(key);

/** A template without the marks that either control plane sets on it. */
function unmarked(object: KubeObject): KubeObject {
  const kept = (marks: Readonly<Record<string, string>> = {}) =>
    Object.fromEntries(Object.entries(marks).filter(([key]) => !isOwnMark(key)));
  const { labels, annotations, ...metadata } = object.metadata;
  return { ...object, metadata: { ...metadata, labels: kept(labels), annotations: kept(annotations) } };
}

/** Whether a member's object is the copy of a template already. */
export const isCopy = ({ metadata }: KubeObject): boolean => metadata.labels?.[MANAGED] === "true";

/**
 * What the control plane is given of a member's object: without what servers and controllers set, nor what a control plane
 * marked, taking it over as it is.
 */
export function asTemplate(object: KubeObject): KubeObject {
  const pruned = pruneManifest(isCopy(object) ? unmarked(object) : object);
  const lifetime = getPath(object, "spec", "ttlSecondsAfterFinished");
  const whole = lifetime === undefined ? pruned : setPath(pruned, ["spec", "ttlSecondsAfterFinished"], lifetime);
  return whole.metadata.annotations?.[CONFLICT_RESOLUTION] === undefined
    ? withAnnotations(whole, { [CONFLICT_RESOLUTION]: "overwrite" })
    : whole;
}

/** Whether what stands in the control plane asks for the same as a template. */
export const isSameTemplate = (present: KubeObject, template: KubeObject): boolean =>
  deepEqual(unmarked(asTemplate(present)), unmarked(template));

/** The name of the policy of one object (wire: clients make the same name to find it). */
export function policyNameOf({ apiVersion, kind, metadata: { namespace = "", name = "" } }: KubeObject): string {
  const { group, version } = gvkOf({ apiVersion, kind } as KubeObject);
  return `${name.replaceAll(":", ".")}-${safeHash(`${namespace}${group}/${version}, Kind=${kind}`)}`.toLowerCase();
}

export interface Selector {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
}

export const selectorOf = ({ apiVersion, kind, metadata }: KubeObject): Selector => ({
  apiVersion,
  kind,
  name: metadata.name ?? "",
});

/** Whether two selectors mean the same object; servers add the namespace of a policy to its selectors. */
export const isSameSelector = (one: Selector, other: Selector): boolean =>
  one.apiVersion === other.apiVersion && one.kind === other.kind && one.name === other.name;

/** A policy that keeps objects in the member they came from, and leaves them there when it goes. */
export const policyOf = (
  name: string,
  namespace: string | undefined,
  selectors: readonly Selector[],
  cluster: string,
  withDependencies: boolean,
): KubeObject =>
  ({
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: namespace === undefined ? "ClusterPropagationPolicy" : "PropagationPolicy",
    metadata: { ...(namespace === undefined ? {} : { namespace }), name },
    spec: {
      resourceSelectors: selectors,
      placement: { clusterAffinity: { clusterNames: [cluster] } },
      propagateDeps: withDependencies,
      conflictResolution: "Overwrite",
      preserveResourcesOnDeletion: true,
    },
  }) as KubeObject;

export const resourceText = ({ group, version, resource }: ResourceKind): string =>
  `"${group}/${version}, Resource=${resource}"`;
export const keyText = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;

/** As messages name a policy: `(NAMESPACE/NAME)`, or the name of a cluster-scoped one. */
export const policyText = (policy: KubeObject): string =>
  policy.metadata.namespace === undefined ? (policy.metadata.name ?? "") : `(${keyText(policy)})`;

export const policyExists = ({ kind, metadata: { namespace, name } }: KubeObject): string =>
  `the ${kind}(${namespace === undefined ? name : `${namespace}/${name}`}) already exist, please edit it to propagate resource`;
