import {
  type AnyBinding,
  type AnyPropagationPolicy,
  bindingName,
  CLUSTER_PROPAGATION_POLICY_NAME,
  clusterOfExecutionNamespace,
  type ClusterOverridePolicy,
  type OverridePolicy,
  PROPAGATION_POLICY_NAME,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { defaultGates } from "#config";
import { renderWorks } from "#controllers/binding";
import { retainMetadata } from "#interpreter";
import type { JsonPatchOperation, KubeObject } from "#machinery";
import { MATCHES_NONE, selectorsPriority } from "#override";
import { explainSchedule } from "#scheduler";
import { rankPolicies } from "../trace/stages.ts";
import type { ControlPlaneState, DiffWorld } from "./world.ts";

const MARKS = ["propagationpolicy.karmada.io/", "clusterpropagationpolicy.karmada.io/"];

/** What a template comes to: its copies by cluster, and what keeps copies from being made. */
export interface Rendering {
  readonly policy: AnyPropagationPolicy | undefined;
  readonly manifests: ReadonlyMap<string, KubeObject>;
  readonly problems: readonly string[];
}

/** The binding a template has or would have. */
function bindingFor(world: DiffWorld, template: KubeObject): AnyBinding | undefined {
  const name = bindingName(template.kind, template.metadata.name ?? "");
  return world.bindings.find(
    ({ metadata }) => metadata.name === name && (metadata.namespace ?? "") === (template.metadata.namespace ?? ""),
  );
}

/** The policy that has a template, or would have it: one that claims it keeps it while it selects it. */
function policyFor(template: KubeObject, present: AnyBinding | undefined, { policies }: ControlPlaneState) {
  const ranked = rankPolicies(
    template,
    policies.filter(
      ({ kind, metadata }) => kind === "ClusterPropagationPolicy" || metadata.namespace === template.metadata.namespace,
    ),
  );
  // A template may have been taken by another policy than the one its binding was made by.
  const isMarked = [PROPAGATION_POLICY_NAME, CLUSTER_PROPAGATION_POLICY_NAME].some(
    (key) => template.metadata.annotations?.[key] !== undefined,
  );
  const annotations = (isMarked ? template : present)?.metadata.annotations ?? {};
  const named = annotations[PROPAGATION_POLICY_NAME] ?? annotations[CLUSTER_PROPAGATION_POLICY_NAME];
  return (ranked.find(({ policy }) => policy.metadata.name === named) ?? ranked[0])?.policy;
}

/**
 * What a template comes to in a state of the control plane. Only what differs from the present is scheduled anew. A lazy
 * policy takes effect on a template that its user changes, and leaves the others as they stand.
 */
export function renderTemplate(
  template: KubeObject,
  state: ControlPlaneState,
  world: DiffWorld,
  nowMs: number,
  isChanged = true,
): Rendering {
  const present = bindingFor(world, template);
  const policy = policyFor(template, present, state);
  // Without a policy of its own it goes where those go that need it.
  const isFollowing = policy === undefined && (present?.spec.requiredBy ?? []).length > 0;
  if (policy === undefined && !isFollowing) return { policy, manifests: new Map(), problems: ["no policy selects it"] };
  const replicas = world.interpreter.replicas(template);
  const before = present?.spec;
  const waits =
    policy === undefined || (policy.spec.activationPreference === "Lazy" && !isChanged && before !== undefined);
  const spec = {
    ...before,
    resource: {
      apiVersion: template.apiVersion,
      kind: template.kind,
      name: template.metadata.name ?? "",
      ...(template.metadata.namespace === undefined ? {} : { namespace: template.metadata.namespace }),
    },
    ...(waits
      ? {}
      : {
          placement: policy.spec.placement ?? {},
          ...(policy.spec.conflictResolution === undefined
            ? {}
            : { conflictResolution: policy.spec.conflictResolution }),
        }),
    ...(replicas === undefined ? {} : { replicas: replicas.replica, replicaRequirements: replicas.requirements }),
  } as unknown as AnyBinding["spec"];
  const isSettled =
    before !== undefined &&
    deepEqual(before.placement ?? {}, spec.placement ?? {}) &&
    (before.replicas ?? 0) === (spec.replicas ?? 0);
  const binding = {
    apiVersion: "work.karmada.io/v1alpha2",
    kind: template.metadata.namespace === undefined ? "ClusterResourceBinding" : "ResourceBinding",
    metadata: {
      ...present?.metadata,
      name: bindingName(template.kind, template.metadata.name ?? ""),
      ...(template.metadata.namespace === undefined ? {} : { namespace: template.metadata.namespace }),
    },
    spec,
    ...(present?.status === undefined ? {} : { status: present.status }),
  } as unknown as AnyBinding;
  const problems: string[] = [];
  let clusters = before?.clusters ?? [];
  if (!isSettled) {
    const decision = explainSchedule(
      binding,
      { clusters: world.clusters, bindings: world.bindings },
      { gates: defaultGates(), nowMs },
    );
    if (decision?.error !== undefined) problems.push(decision.error);
    clusters = decision?.result ?? clusters;
  }
  const { works, errors } = renderWorks({
    binding: { ...binding, spec: { ...spec, clusters } } as AnyBinding,
    template,
    clusterOf: (name) => world.clusters.find(({ metadata }) => metadata.name === name),
    overridePolicies: state.overrides.filter(
      ({ kind, metadata }) => kind === "OverridePolicy" && metadata.namespace === template.metadata.namespace,
    ) as readonly OverridePolicy[],
    clusterOverridePolicies: state.overrides.filter(
      ({ kind }) => kind === "ClusterOverridePolicy",
    ) as readonly ClusterOverridePolicy[],
    interpreter: world.interpreter,
    workOf: () => undefined,
    gates: defaultGates(),
  });
  const manifests = new Map(
    works.map((work) => [
      clusterOfExecutionNamespace(work.metadata.namespace) ?? "",
      (work.spec?.workload?.manifests ?? [])[0] as unknown as KubeObject,
    ]),
  );
  return { policy, manifests, problems: [...problems, ...errors] };
}

/** Resources of bindings that given policies concern, now or then. */
export function concernedBy(world: DiffWorld): readonly AnyBinding["spec"]["resource"][] {
  const names = new Set(
    world.given.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`),
  );
  const states = [world.before, world.after].flatMap(({ policies, overrides }) =>
    [...policies, ...overrides].filter(({ kind, metadata }) =>
      names.has(`${kind} ${metadata.namespace ?? ""}/${metadata.name}`),
    ),
  );
  return world.bindings
    .map(({ spec }) => spec.resource)
    .filter((resource) =>
      states.some(({ spec, metadata }) => {
        if (metadata.namespace !== undefined && metadata.namespace !== resource.namespace) return false;
        const selectors = spec.resourceSelectors ?? [];
        // Labels are not at hand here; a selector by labels may mean any of its kind.
        const stub = {
          apiVersion: resource.apiVersion,
          kind: resource.kind,
          metadata: { name: resource.name, ...(resource.namespace ? { namespace: resource.namespace } : {}) },
        };
        const loose = selectors.map(({ labelSelector: _labels, ...rest }) => rest);
        return selectors.length === 0 || selectorsPriority(loose, stub) !== MATCHES_NONE;
      }),
    );
}

const escaped = (key: string) => key.replaceAll("~", "~0").replaceAll("/", "~1");
/** Records of ours that say nothing of what users want. */
const OURS = /karmada\.io\/|execution\.flotilla\.io\//;

/**
 * How a live object differs from what is wanted, as a JSON patch of the live one. What the member added is no difference;
 * what the last manifest said and the next does not is removed.
 */
export function differences(
  live: KubeObject,
  wanted: KubeObject,
  last: KubeObject | undefined,
): readonly JsonPatchOperation[] {
  const operations: JsonPatchOperation[] = [];
  const walk = (have: unknown, want: unknown, had: unknown, path: string) => {
    if (isMap(want) && isMap(have)) {
      for (const [key, value] of Object.entries(want)) {
        if (/^\/metadata\/(labels|annotations)$/.test(path) && OURS.test(key)) continue;
        const inner = `${path}/${escaped(key)}`;
        if (have[key] === undefined && value !== null) operations.push({ op: "add", path: inner, value });
        else walk(have[key], value, isMap(had) ? had[key] : undefined, inner);
      }
      for (const key of Object.keys(isMap(had) ? had : {}))
        if (want[key] === undefined && have[key] !== undefined && !OURS.test(key))
          operations.push({ op: "remove", path: `${path}/${escaped(key)}` });
      return;
    }
    if (Array.isArray(want) && Array.isArray(have) && want.length === have.length) {
      for (const [at, item] of want.entries())
        walk(have[at], item, Array.isArray(had) ? had[at] : undefined, `${path}/${at}`);
      return;
    }
    if (want !== null && !deepEqual(have, want)) operations.push({ op: "replace", path, value: want });
  };
  const bare = ({ metadata, ...rest }: KubeObject & { readonly status?: unknown }) => {
    const { status: _status, ...content } = rest;
    return { ...content, metadata: { labels: metadata.labels ?? {}, annotations: metadata.annotations ?? {} } };
  };
  walk(bare(live), bare(wanted), last === undefined ? undefined : bare(last), "");
  return operations;
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The object that would be written over a live one. */
export function writtenOver(manifest: KubeObject, live: KubeObject, world: DiffWorld): KubeObject {
  return world.interpreter.retain(retainMetadata(manifest, live), live);
}

/** A manifest without our marks, as it would arrive for whoever reads it. */
export function readable(manifest: KubeObject): KubeObject {
  const clean = (keys: Readonly<Record<string, string>> | undefined) => {
    const kept = Object.entries(keys ?? {}).filter(
      ([key]) => !OURS.test(key) && !MARKS.some((mark) => key.startsWith(mark)),
    );
    return kept.length === 0 ? undefined : Object.fromEntries(kept);
  };
  const { labels, annotations, ...metadata } = manifest.metadata;
  const [ownLabels, ownAnnotations] = [clean(labels), clean(annotations)];
  return {
    ...manifest,
    metadata: {
      ...metadata,
      ...(ownLabels === undefined ? {} : { labels: ownLabels }),
      ...(ownAnnotations === undefined ? {} : { annotations: ownAnnotations }),
    },
  };
}
