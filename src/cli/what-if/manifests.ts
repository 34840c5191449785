import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { parseAllDocuments } from "yaml";
import { defaultedPolicy, policyErrors } from "#admission";
import {
  type AnyBinding,
  type AnyPropagationPolicy,
  bindingName,
  type Cluster,
  type ClusterPropagationPolicy,
  type PropagationPolicy,
  type ResourceInterpreterCustomization,
  claimOf,
} from "#apis/karmada";
import * as kubernetes from "#apis/kubernetes";
import { buildBinding, matchPolicy } from "#controllers/detector";
import type { Interpreter } from "#interpreter";
import { type KubeObject, parseApiVersion, type ResourceKind } from "#machinery";
import { decisionKey } from "#scheduler";
import type { FleetFile } from "./snapshot.ts";

/** What manifests change in a fleet, before anything is placed. */
export interface ManifestChanges {
  readonly clusters: readonly Cluster[];
  readonly bindings: readonly AnyBinding[];
  /** Workloads that no policy selects. */
  readonly unclaimed: readonly string[];
}

/** Every object of a file, of all files of a folder, or of standard input (`-`). Throws with file and document. */
export function readManifests(path: string): readonly KubeObject[] {
  if (path === "-") return parse("standard input", readFileSync(0, "utf8"));
  if (!statSync(path).isDirectory()) return parse(path, readFileSync(path, "utf8"));
  return readdirSync(path)
    .filter((name) => [".yaml", ".yml", ".json"].includes(extname(name)))
    .sort()
    .flatMap((name) => parse(join(path, name), readFileSync(join(path, name), "utf8")));
}

function parse(source: string, text: string): readonly KubeObject[] {
  return parseAllDocuments(text, { version: "1.1" }).flatMap((document, at): readonly KubeObject[] => {
    const where = `${source}, document ${at + 1}`;
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`${where}: ${error.message}`);
    const value = document.toJS() as (KubeObject & { readonly items?: readonly KubeObject[] }) | null;
    if (value === null) return [];
    const objects = value.kind === "List" && Array.isArray(value.items) ? value.items : [value];
    for (const { apiVersion, kind, metadata } of objects)
      if (!apiVersion || !kind || !metadata?.name)
        throw new Error(`${where}: apiVersion, kind and metadata.name are required`);
    return objects;
  });
}

const kinds = new Map(
  (Object.values(kubernetes) as readonly ResourceKind[]).map((kind) => [
    `${kind.group}/${kind.version}/${kind.kind}`,
    kind,
  ]),
);

/** Kinds of Kubernetes have the scope they have; all others are taken to be namespaced. */
function isNamespaced({ apiVersion, kind }: KubeObject): boolean {
  const { group, version } = parseApiVersion(apiVersion);
  return kinds.get(`${group}/${version}/${kind}`)?.namespaced ?? true;
}

const isOf = (object: KubeObject, group: string, ...names: readonly string[]) =>
  parseApiVersion(object.apiVersion).group === group && names.includes(object.kind);

export interface ManifestOptions {
  readonly interpreter: Interpreter;
  /** Of manifests that name none. */
  readonly namespace: string;
  readonly gates: ReadonlySet<string>;
}

/** Turns manifests into what they do to a fleet: clusters, policies over what runs, and bindings of new workloads. */
export function planManifests(
  objects: readonly KubeObject[],
  fleet: FleetFile,
  { interpreter, namespace, gates }: ManifestOptions,
): ManifestChanges {
  const clusters = clustersAmong(objects, fleet);
  const given = objects
    .filter((object) => isOf(object, "policy.karmada.io", "PropagationPolicy", "ClusterPropagationPolicy"))
    .map((object) => policyOf(object, namespace));
  const handmade = objects
    .filter((object) => isOf(object, "work.karmada.io", "ResourceBinding", "ClusterResourceBinding"))
    .map(bindingOf);
  const classes = new Map(
    [
      ...fleet.priorityClasses,
      ...(objects.filter((object) =>
        isOf(object, "scheduling.k8s.io", "PriorityClass"),
      ) as readonly kubernetes.PriorityClass[]),
    ].map((one) => [one.metadata.name, (one as { readonly value?: number }).value ?? 0]),
  );
  const others = objects.filter(
    (object) =>
      !["cluster.karmada.io", "config.karmada.io", "policy.karmada.io", "work.karmada.io"].includes(
        parseApiVersion(object.apiVersion).group,
      ) && !isOf(object, "scheduling.k8s.io", "PriorityClass"),
  );
  const replaced = new Set(given.map(policyKey));
  const stays = (policy: AnyPropagationPolicy) => !replaced.has(policyKey(policy));
  const policies = [...fleet.policies.filter(stays), ...given.filter(({ kind }) => kind === "PropagationPolicy")];
  const clusterPolicies = [
    ...fleet.clusterPolicies.filter(stays),
    ...given.filter(({ kind }) => kind === "ClusterPropagationPolicy"),
  ];
  const present = new Map(fleet.bindings.map((binding) => [decisionKey(binding), binding]));
  const bindings = new Map<string, AnyBinding>();
  for (const binding of fleet.bindings) {
    const claim = claimOf(binding);
    const policy = given.find(
      ({ kind, metadata }) =>
        kind === claim?.kind &&
        metadata.name === claim.name &&
        (claim.kind === "ClusterPropagationPolicy" || metadata.namespace === claim.namespace),
    );
    if (policy !== undefined) bindings.set(decisionKey(binding), underPolicy(binding, policy));
  }
  const unclaimed: string[] = [];
  for (const object of others) {
    const template = isNamespaced(object)
      ? { ...object, metadata: { ...object.metadata, namespace: object.metadata.namespace ?? namespace } }
      : object;
    const policy = matchPolicy(
      template,
      policies as readonly PropagationPolicy[],
      clusterPolicies as readonly ClusterPropagationPolicy[],
    );
    const own = template.metadata.namespace;
    const shown = `${template.apiVersion} ${template.kind} ${own === undefined ? "" : `${own}/`}${template.metadata.name}`;
    if (policy === undefined) {
      unclaimed.push(shown);
      continue;
    }
    const name = bindingName(template.kind, template.metadata.name ?? "");
    const key = own === undefined ? `ClusterResourceBinding/${name}` : `ResourceBinding/${own}/${name}`;
    const known = present.get(key);
    const uid = known?.spec.resource.uid ?? template.metadata.uid ?? "";
    const className = policy.spec.schedulePriority?.priorityClassName;
    const priority = className === undefined ? undefined : classes.get(className);
    if (className !== undefined && priority === undefined)
      throw new Error(`${shown}: there is no PriorityClass ${JSON.stringify(className)}`);
    bindings.set(
      key,
      buildBinding({
        template: { ...template, metadata: { ...template.metadata, uid } },
        policy,
        present: known,
        ...askedFor(template, interpreter, gates),
        ...(priority === undefined ? {} : { priority }),
      }),
    );
  }
  for (const binding of handmade) bindings.set(decisionKey(binding), binding);
  return { clusters, bindings: [...bindings.values()], unclaimed };
}

/** What a template asks for: replicas, or components where the gate is on and its kind has them. */
function askedFor(template: KubeObject, interpreter: Interpreter, gates: ReadonlySet<string>) {
  const isOfComponents =
    gates.has("MultiplePodTemplatesScheduling") && interpreter.hasHook(template, "InterpretComponent");
  const components = isOfComponents ? interpreter.components(template) : undefined;
  return components === undefined
    ? { replicas: isOfComponents ? undefined : interpreter.replicas(template) }
    : { replicas: undefined, components };
}

/** Customizations as they would be: those of the fleet, with manifests in the place of those of their names. */
export function customizationsAmong(
  objects: readonly KubeObject[],
  { customizations = [] }: FleetFile,
): readonly ResourceInterpreterCustomization[] {
  const given = objects.filter((object) =>
    isOf(object, "config.karmada.io", "ResourceInterpreterCustomization"),
  ) as readonly Partial<ResourceInterpreterCustomization>[] as readonly ResourceInterpreterCustomization[];
  for (const { metadata, spec } of given)
    if (!spec?.target?.apiVersion || !spec.target.kind)
      throw new Error(`ResourceInterpreterCustomization ${metadata.name}: spec.target must name apiVersion and kind`);
  const names = new Set(given.map(({ metadata }) => metadata.name));
  return [...customizations.filter(({ metadata }) => !names.has(metadata.name)), ...given];
}

/**
 * The clusters among objects. One that says nothing of the APIs it serves is taken to serve those of the others: nothing
 * could be placed on it otherwise, and a cluster that has not joined yet cannot say.
 */
export function clustersAmong(objects: readonly KubeObject[], fleet: FleetFile): readonly Cluster[] {
  return objects
    .filter((object) => isOf(object, "cluster.karmada.io", "Cluster"))
    .map((object) => {
      const { spec, status } = object as Partial<Cluster>;
      if (typeof spec !== "object") throw new Error(`Cluster ${object.metadata.name}: spec: Required value`);
      const apiEnablements = status?.apiEnablements ?? mostApis(fleet);
      return { ...object, spec, status: { ...status, apiEnablements } } as Cluster;
    });
}

function mostApis({ clusters }: FleetFile): NonNullable<NonNullable<Cluster["status"]>["apiEnablements"]> {
  return clusters
    .map(({ status }) => status?.apiEnablements ?? [])
    .reduce((most, own) => (own.length > most.length ? own : most), []);
}

function bindingOf(object: KubeObject): AnyBinding {
  const { spec } = object as Partial<AnyBinding>;
  const { apiVersion, kind, name } = spec?.resource ?? {};
  if (spec === undefined || !apiVersion || !kind || !name)
    throw new Error(`${object.kind} ${object.metadata.name}: spec.resource must name apiVersion, kind and name`);
  return { ...object, spec } as AnyBinding;
}

const policyKey = ({ kind, metadata }: AnyPropagationPolicy): string =>
  `${kind}/${kind === "PropagationPolicy" ? `${metadata.namespace ?? ""}/` : ""}${metadata.name ?? ""}`;

/** The policy as the API server would store it. Throws with what it would refuse. */
function policyOf(object: KubeObject, namespace: string): AnyPropagationPolicy {
  const isCluster = object.kind === "ClusterPropagationPolicy";
  const placed = isCluster
    ? object
    : { ...object, metadata: { ...object.metadata, namespace: object.metadata.namespace ?? namespace } };
  const shown = `${object.kind} ${object.metadata.name}`;
  if (!Array.isArray((placed as AnyPropagationPolicy).spec?.resourceSelectors))
    throw new Error(`${shown}: spec.resourceSelectors: Required value`);
  const policy = defaultedPolicy(placed as AnyPropagationPolicy, isCluster);
  const [error] = policyErrors(policy, isCluster);
  if (error !== undefined) throw new Error(`${shown}: ${error.field}: ${error.message}`);
  return policy;
}

/** A binding as it would be once its changed policy was followed. */
function underPolicy(binding: AnyBinding, { spec }: AnyPropagationPolicy): AnyBinding {
  const { placement: _placement, ...rest } = binding.spec;
  return {
    ...binding,
    spec: {
      ...rest,
      placement: spec.placement ?? {},
      ...(spec.schedulerName === undefined ? {} : { schedulerName: spec.schedulerName }),
    },
  } as AnyBinding;
}
