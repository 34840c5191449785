/** Admission of PropagationPolicy and ClusterPropagationPolicy: permanent ids, finalizers, defaults, and what is refused. */
import {
  type AnyPropagationPolicy,
  CLUSTER_PROPAGATION_POLICY_FINALIZER,
  CLUSTER_PROPAGATION_POLICY_ID,
  currentPurgeMode,
  fieldSelectorErrors,
  type Placement,
  PROPAGATION_POLICY_FINALIZER,
  PROPAGATION_POLICY_ID,
  TAINT_NOT_READY,
  TAINT_UNREACHABLE,
} from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import type { Random } from "#base";
import {
  type FieldError,
  fieldInvalid,
  type KubeObject,
  qualifiedNameErrors,
  type ResourceKind,
  withFinalizer,
  withLabels,
} from "#machinery";
import { denied } from "../denied.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

type Loose = Readonly<Record<string, unknown>>;
type PropagationFailover = AnyPropagationPolicy["spec"]["failover"];

/** Seconds for which a policy tolerates clusters that fail; absent gives no toleration. */
export interface DefaultTolerations {
  readonly notReadySeconds: number | undefined;
  readonly unreachableSeconds: number | undefined;
}

/** Tolerations older releases gave to every policy; what a user says about a taint stays as it is. */
function withDefaultTolerations(placement: Placement | undefined, defaults: DefaultTolerations): Placement | undefined {
  const present = placement?.clusterTolerations ?? [];
  const wanted = [
    { key: TAINT_NOT_READY, seconds: defaults.notReadySeconds },
    { key: TAINT_UNREACHABLE, seconds: defaults.unreachableSeconds },
  ].flatMap(({ key, seconds }) =>
    seconds === undefined
      ? []
      : [{ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: seconds } as const],
  );
  const missing = wanted.filter(
    ({ key, operator, effect }) =>
      !present.some(
        (toleration) =>
          toleration.key === key &&
          toleration.effect === effect &&
          toleration.operator === operator &&
          !toleration.value,
      ),
  );
  if (missing.length === 0) return placement;
  return { ...placement, clusterTolerations: [...present, ...missing] } as Placement;
}

/** Failover options with purge modes of older releases under their present names, and their defaults. */
function defaultedFailover(failover: PropagationFailover): PropagationFailover {
  if (failover === undefined) return undefined;
  const { application, cluster } = failover;
  const renamed = <T extends { readonly purgeMode?: string }>(part: T): T =>
    isOldPurgeMode(part.purgeMode) ? { ...part, purgeMode: currentPurgeMode(part.purgeMode) } : part;
  const own = application === undefined ? undefined : renamed(application);
  const graced =
    own !== undefined && own.purgeMode === "Gracefully" && own.gracePeriodSeconds === undefined
      ? { ...own, gracePeriodSeconds: 600 }
      : own;
  return {
    ...failover,
    ...(graced === undefined ? {} : { application: graced }),
    ...(cluster === undefined ? {} : { cluster: renamed(cluster) }),
  } as PropagationFailover;
}

const isOldPurgeMode = (mode: string | undefined) => mode === "Immediately" || mode === "Graciously";

/** What a placement asks for and does not get, in words for its author (docs/decisions/0514). */
export function spreadWarnings(placement: Placement | undefined): readonly string[] {
  return (placement?.spreadConstraints ?? []).flatMap(({ spreadByField, spreadByLabel }, at) => {
    const where = `spec.placement.spreadConstraints[${at}]`;
    if (spreadByField === "provider" || spreadByField === "zone")
      return [
        `${where}: clusters without a ${spreadByField} are left out, but replicas are not spread by ${spreadByField}`,
      ];
    return spreadByLabel ? [`${where}: replicas are not spread by label; only cluster and region spread`] : [];
  });
}

/** The policy with everything a user may leave out. */
export function defaultedPolicy(
  policy: AnyPropagationPolicy,
  isCluster: boolean,
  tolerations: DefaultTolerations = { notReadySeconds: undefined, unreachableSeconds: undefined },
): AnyPropagationPolicy {
  const { spec } = policy;
  const namespace = policy.metadata.namespace;
  const selectors = spec.resourceSelectors.map((selector) =>
    !isCluster && !selector.namespace && namespace !== undefined ? { ...selector, namespace } : selector,
  );
  const importsService = selectors.some(
    ({ apiVersion, kind }) => kind === "ServiceImport" && apiVersion === "multicluster.x-k8s.io/v1alpha1",
  );
  const placement = withDefaultTolerations(
    spec.placement === undefined ? undefined : defaultedPlacement(spec.placement as Placement),
    tolerations,
  );
  const failover = defaultedFailover(spec.failover);
  return {
    ...policy,
    spec: {
      ...spec,
      resourceSelectors: selectors,
      ...(importsService ? { propagateDeps: true } : {}),
      ...(placement === undefined ? {} : { placement }),
      ...(failover === undefined ? {} : { failover }),
    },
  } as AnyPropagationPolicy;
}

function defaultedPlacement(placement: Placement): Placement {
  const constraints = placement.spreadConstraints?.map((constraint) => {
    const { spreadByField, spreadByLabel } = constraint as {
      readonly spreadByField?: string;
      readonly spreadByLabel?: string;
    };
    return {
      ...constraint,
      ...(!spreadByField && !spreadByLabel ? { spreadByField: "cluster" } : {}),
      ...((constraint.minGroups ?? 0) === 0 ? { minGroups: 1 } : {}),
    };
  });
  const scheduling = placement.replicaScheduling;
  const divided =
    scheduling?.replicaSchedulingType === "Divided" && !scheduling.replicaDivisionPreference
      ? { ...scheduling, replicaDivisionPreference: "Weighted" }
      : scheduling;
  return {
    ...placement,
    ...(constraints === undefined ? {} : { spreadConstraints: constraints }),
    ...(divided === undefined ? {} : { replicaScheduling: divided }),
  } as Placement;
}

/** Whether a group of clusters says which it means; one that means all leaves nothing to overflow into. */
const isExplicit = (group: Loose) =>
  ["labelSelector", "fieldSelector", "clusterNames", "exclude"].some((field) => group[field] !== undefined);

function overflowErrors(primary: Loose, tiers: readonly Loose[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (tiers.length > 0 && !isExplicit(primary))
    errors.push(
      fieldInvalid(
        `${path}.overflowAffinities`,
        tiers,
        "overflowAffinities can only be used together with the inline ClusterAffinity",
      ),
    );
  const names = new Set([primary["affinityName"]]);
  for (const [at, tier] of tiers.entries()) {
    const where = `${path}.overflowAffinities[${at}]`;
    const name = tier["affinityName"];
    if (typeof name === "string") errors.push(...qualifiedNameErrors(name, `${where}.affinityName`));
    if (name !== undefined && names.has(name))
      errors.push(
        fieldInvalid(
          `${where}.affinityName`,
          name,
          "overflow affinity name must be unique and must not duplicate the primary group's affinityName",
        ),
      );
    names.add(name);
    errors.push(...fieldSelectorErrors(tier, where));
  }
  return errors;
}

/** Labels that workloads are grouped by. */
function workloadAffinityErrors(placement: Placement, path: string): FieldError[] {
  const { affinity, antiAffinity } =
    (
      placement as {
        readonly workloadAffinity?: {
          readonly affinity?: { readonly groupByLabelKey: string };
          readonly antiAffinity?: { readonly groupByLabelKey: string };
        };
      }
    ).workloadAffinity ?? {};
  const errors = Object.entries({ affinity, antiAffinity }).flatMap(([which, rule]) =>
    rule === undefined ? [] : qualifiedNameErrors(rule.groupByLabelKey, `${path}.${which}.groupByLabelKey`),
  );
  if (affinity === undefined || antiAffinity === undefined || affinity.groupByLabelKey !== antiAffinity.groupByLabelKey)
    return errors;
  return [
    ...errors,
    fieldInvalid(path, { affinity, antiAffinity }, "affinity and antiAffinity must not use the same groupByLabelKey"),
  ];
}

/** Labels that carry preserved state into the new copy. */
function statePreservationErrors(failover: PropagationFailover): FieldError[] {
  return (["application", "cluster"] as const).flatMap((which) => {
    const rules =
      (
        failover?.[which] as
          | { readonly statePreservation?: { readonly rules?: readonly { readonly aliasLabelName: string }[] } }
          | undefined
      )?.statePreservation?.rules ?? [];
    return rules.flatMap(({ aliasLabelName }, at) =>
      qualifiedNameErrors(aliasLabelName, `spec.failover.${which}.statePreservation.rules[${at}].aliasLabelName`),
    );
  });
}

/** What is wrong with a placement, in the contract's order. */
export function placementErrors(placement: Placement, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const {
    clusterAffinity,
    clusterAffinities,
    spreadConstraints = [],
    clusterTolerations = [],
    replicaScheduling,
  } = placement;
  if (clusterAffinity !== undefined && clusterAffinities !== undefined)
    errors.push(fieldInvalid(path, placement, "clusterAffinities cannot co-exist with clusterAffinity"));
  errors.push(...fieldSelectorErrors(clusterAffinity, `${path}.clusterAffinity`));
  const names = new Set<string>();
  const isElastic =
    replicaScheduling?.replicaSchedulingType === "Divided" &&
    (replicaScheduling.replicaDivisionPreference === "Aggregated" ||
      (replicaScheduling.replicaDivisionPreference === "Weighted" &&
        Boolean(replicaScheduling.weightPreference?.dynamicWeight)));
  for (const [at, term] of (clusterAffinities ?? []).entries()) {
    const where = `${path}.clusterAffinities[${at}]`;
    errors.push(...qualifiedNameErrors(term.affinityName, where));
    if (names.has(term.affinityName))
      errors.push(
        fieldInvalid(
          `${path}.clusterAffinities`,
          clusterAffinities,
          "each affinity term in a policy must have a unique name",
        ),
      );
    names.add(term.affinityName);
    errors.push(...fieldSelectorErrors(term, where));
    const tiers = (term as { readonly overflowAffinities?: readonly Loose[] }).overflowAffinities;
    if (tiers !== undefined && !isElastic)
      errors.push(
        fieldInvalid(
          `${where}.overflowAffinities`,
          tiers,
          "overflowAffinities can only be used together with dynamic weight or aggregated scheduling",
        ),
      );
    errors.push(...overflowErrors(term as unknown as Loose, tiers ?? [], where));
  }
  const fields = new Map<string, number>();
  for (const [at, constraint] of spreadConstraints.entries()) {
    const where = `${path}.spreadConstraints[${at}]`;
    const {
      spreadByField,
      spreadByLabel,
      minGroups = 0,
      maxGroups = 0,
    } = constraint as {
      readonly spreadByField?: string;
      readonly spreadByLabel?: string;
      readonly minGroups?: number;
      readonly maxGroups?: number;
    };
    if (spreadByField && spreadByLabel)
      errors.push(fieldInvalid(where, constraint, "spreadByLabel should not co-exist with spreadByField"));
    if (spreadByField) fields.set(spreadByField, (fields.get(spreadByField) ?? 0) + 1);
    if (minGroups < 0) errors.push(fieldInvalid(where, constraint, "minGroups lower than 0 is not allowed"));
    if (maxGroups < 0) errors.push(fieldInvalid(where, constraint, "maxGroups lower than 0 is not allowed"));
    if (maxGroups > 0 && maxGroups < minGroups)
      errors.push(fieldInvalid(where, constraint, "maxGroups lower than minGroups is not allowed"));
  }
  for (const [field, count] of fields)
    if (count > 1)
      errors.push(
        fieldInvalid(
          `${path}.spreadConstraints`,
          spreadConstraints,
          `multiple ${field} spread constraints are not allowed`,
        ),
      );
  if (fields.size > 0 && !fields.has("cluster"))
    errors.push(
      fieldInvalid(
        `${path}.spreadConstraints`,
        spreadConstraints,
        "the cluster spread constraint must be enabled in one of the constraints in case of SpreadByField is enabled",
      ),
    );
  errors.push(...workloadAffinityErrors(placement, `${path}.workloadAffinity`));
  for (const [at, { operator }] of clusterTolerations.entries())
    if (operator === "Lt" || operator === "Gt")
      errors.push({
        type: "FieldValueNotSupported",
        field: `${path}.clusterTolerations[${at}].operator`,
        message: `Unsupported value: ${JSON.stringify(operator)}: supported values: "", "Exists", "Equal"`,
      });
  return errors;
}

export function policyErrors(policy: AnyPropagationPolicy, isCluster: boolean): FieldError[] {
  const { spec } = policy;
  const errors = spec.placement === undefined ? [] : placementErrors(spec.placement as Placement, "spec.placement");
  const application = spec.failover?.application;
  if (application !== undefined) {
    if (spec.propagateDeps === false)
      errors.push(fieldInvalid("spec.propagateDeps", false, "application failover is set, propagateDeps must be true"));
    const seconds = application.decisionConditions?.tolerationSeconds;
    if (seconds !== undefined && seconds < 0)
      errors.push(
        fieldInvalid(
          "spec.failover.application.decisionConditions.tolerationSeconds",
          seconds,
          "must be greater than or equal to 0",
        ),
      );
    const grace = application.gracePeriodSeconds;
    const path = "spec.failover.application.gracePeriodSeconds";
    if (application.purgeMode !== "Gracefully") {
      if (grace !== undefined) errors.push(fieldInvalid(path, grace, "only takes effect when purgeMode is gracefully"));
    } else if (grace === undefined)
      errors.push(fieldInvalid(path, null, "should not be empty when purgeMode is gracefully"));
    else if (grace <= 0) errors.push(fieldInvalid(path, grace, "must be greater than 0"));
  }
  errors.push(...statePreservationErrors(spec.failover));
  for (const [at, { namespace, name }] of spec.resourceSelectors.entries()) {
    if (!isCluster && namespace !== policy.metadata.namespace)
      errors.push(
        fieldInvalid(
          `spec.resourceSelectors[${at}].namespace`,
          namespace ?? "",
          "namespace of resource selector must be the same as the namespace of the policy",
        ),
      );
    if (spec.preemption === "Always" && !name)
      errors.push(
        fieldInvalid(
          `spec.resourceSelectors[${at}].name`,
          name ?? "",
          "name cannot be empty if preemption is Always, the empty name may cause unexpected resources preemption",
        ),
      );
  }
  const suspension = spec.suspension as
    | { readonly dispatching?: boolean; readonly dispatchingOnClusters?: { readonly clusterNames?: readonly string[] } }
    | undefined;
  if (suspension?.dispatching && (suspension.dispatchingOnClusters?.clusterNames ?? []).length > 0)
    errors.push(
      fieldInvalid(
        "spec.suspension.suspension",
        suspension,
        "suspension dispatching cannot co-exist with dispatchingOnClusters.clusterNames",
      ),
    );
  return errors;
}

export function propagationPolicyAdmission(
  isCluster: boolean,
  random: Random,
  tolerations: DefaultTolerations | undefined,
  isIdHeld: (kind: ResourceKind, label: string, id: string) => Promise<boolean>,
): AdmissionPlugin {
  const webhook = isCluster ? "clusterpropagationpolicy.karmada.io" : "propagationpolicy.karmada.io";
  const resource = isCluster ? "clusterpropagationpolicies" : "propagationpolicies";
  const label = isCluster ? CLUSTER_PROPAGATION_POLICY_ID : PROPAGATION_POLICY_ID;
  const finalizer = isCluster ? CLUSTER_PROPAGATION_POLICY_FINALIZER : PROPAGATION_POLICY_FINALIZER;
  return {
    name: webhook,
    handles: ({ definition, operation, subresource }) =>
      definition.kind.group === "policy.karmada.io" &&
      definition.kind.resource === resource &&
      operation !== "DELETE" &&
      subresource === undefined,
    async mutate({ object, operation, definition, warn }) {
      const policy = object as AnyPropagationPolicy;
      for (const part of [policy.spec.failover?.application, policy.spec.failover?.cluster])
        if (isOldPurgeMode(part?.purgeMode))
          warn(`purgeMode ${part?.purgeMode} is now called ${currentPurgeMode(part?.purgeMode)}`);
      const filled = defaultedPolicy(policy, isCluster, tolerations) as KubeObject;
      if (operation !== "CREATE") return filled;
      const sent = filled.metadata.labels?.[label];
      // A policy that comes back from a backup keeps its id, so that what it claimed stays claimed; an id that a living
      // policy holds, as that of a copied manifest, is never given twice.
      const keeps = sent !== undefined && UUID.test(sent) && !(await isIdHeld(definition.kind, label, sent));
      return withFinalizer(withLabels(filled, { [label]: keeps ? sent : random.uuid() }), finalizer);
    },
    validate({ object, oldObject, operation, warn }) {
      const policy = object as AnyPropagationPolicy;
      const old = oldObject as AnyPropagationPolicy | undefined;
      if (operation === "UPDATE" && old !== undefined) {
        if (old.spec.schedulerName !== policy.spec.schedulerName)
          throw denied(webhook, "the schedulerName should not be updated");
        if (old.metadata.labels?.[label] !== policy.metadata.labels?.[label])
          throw denied(webhook, `label ${label} is immutable, it can only be set by the system during creation`);
      }
      if (!policy.metadata.labels?.[label])
        throw denied(
          webhook,
          `label ${label} is required, it should be set by the mutating admission webhook during creation`,
        );
      const errors = policyErrors(policy, isCluster);
      if (errors.length > 0) throw denied(webhook, errors);
      for (const text of spreadWarnings(policy.spec.placement as Placement | undefined)) warn(text);
    },
  };
}
