/**
 * Namespace sync: every namespace of the control plane exists in every member, so that namespaced objects have a place.
 * One Work per namespace and cluster; system, reserved and skipped namespaces stay out. It adopts nothing in members.
 */
import { Namespace } from "#apis/kubernetes";
import {
  APPLIED_CLUSTER_OVERRIDES,
  Cluster,
  CLUSTER_RESOURCE_BINDING_ID,
  ClusterOverridePolicy,
  CONFLICT_RESOLUTION,
  EXECUTION_FINALIZER,
  EXECUTION_NAMESPACE_PREFIX,
  executionNamespace,
  isReservedNamespace,
  MANAGED,
  SKIP_AUTO_PROPAGATION,
  SYSTEM,
  TEMPLATE_UID,
  Work,
  WORK_ID,
  WORK_NAME,
  WORK_NAMESPACE,
  workName,
} from "#apis/karmada";
import { deepEqual } from "#base";
import { type ControllerContext, defineController, done, type Request, type Result, wake } from "#controller-runtime";
import { pruneManifest, recordManaged } from "#interpreter";
import {
  controllerReference,
  isAlreadyExists,
  isNotFound,
  type KubeObject,
  withAnnotations,
  withKeys,
  withLabels,
  withMetadata,
} from "#machinery";
import { appliedText, applyOverrides } from "#override";

interface Options {
  readonly skippedPropagatingNamespaces: readonly string[];
}

type Context = ControllerContext<unknown, Options>;

export const namespaceSync = defineController<unknown, Options>({
  name: "namespace",
  reconciles: [Namespace],
  reconcilers: ["namespace-sync-controller"],
  when: (change) =>
    change.type !== "deleted" &&
    (change.type === "added" ||
      change.object.metadata.labels !== change.old.metadata.labels ||
      change.object.metadata.annotations !== change.old.metadata.annotations),
  wakes: [
    wake(Cluster, (change, context: ControllerContext<unknown, unknown>) =>
      change.type === "added"
        ? context
            .cache(Namespace)
            .list()
            .map(({ metadata }) => ({ name: metadata.name ?? "" }))
        : [],
    ),
    wake(ClusterOverridePolicy, (change, context: ControllerContext<unknown, unknown>) =>
      speaksOfNamespaces(change.object) || (change.type === "updated" && speaksOfNamespaces(change.old))
        ? context
            .cache(Namespace)
            .list()
            .map(({ metadata }) => ({ name: metadata.name ?? "" }))
        : [],
    ),
    // A Work that went or that a policy's binding gave back is ours again.
    wake(Work, (change) => {
      const isOurs = (work: Work) => work.metadata.labels?.[CLUSTER_RESOURCE_BINDING_ID] === undefined;
      if (change.type === "added" || (change.type === "updated" && (!isOurs(change.object) || isOurs(change.old))))
        return [];
      const [manifest] = (change.object.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
      return manifest?.kind === "Namespace" && manifest.apiVersion === "v1"
        ? [{ kind: Namespace, name: manifest.metadata.name ?? "" }]
        : [];
    }),
    // A new execution namespace may have been missing a moment ago.
    wake(Namespace, (change, context: ControllerContext<unknown, unknown>) =>
      change.type === "added" &&
      !change.isInitial &&
      change.object.metadata.name?.startsWith(EXECUTION_NAMESPACE_PREFIX)
        ? context
            .cache(Namespace)
            .list()
            .map(({ metadata }) => ({ name: metadata.name ?? "" }))
        : [],
    ),
  ],
  writes: [{ kind: Work, verbs: ["create", "update"] }],
  options: { skippedPropagatingNamespaces: ["kube-.*"] },
  concurrency: () => 16,
  reconcile,
});

/** An override without selectors speaks of everything. */
function speaksOfNamespaces({ spec: { resourceSelectors = [] } }: ClusterOverridePolicy): boolean {
  return (
    resourceSelectors.length === 0 ||
    resourceSelectors.some(({ apiVersion, kind }) => apiVersion === "v1" && kind === "Namespace")
  );
}

function isSkipped(namespace: Namespace, options: Options): boolean {
  const name = namespace.metadata.name ?? "";
  // Also the one that --cluster-namespace names: the credentials of members lie there.
  const isSystem = namespace.metadata.labels?.[SYSTEM] === "true";
  if (name === "default" || isReservedNamespace(name) || isSystem) return true;
  if (namespace.metadata.labels?.[SKIP_AUTO_PROPAGATION]?.toLowerCase() === "true") return true;
  return options.skippedPropagatingNamespaces.some((pattern) => new RegExp(`^(?:${pattern})$`).test(name));
}

async function reconcile(request: Request, context: Context): Promise<Result> {
  const namespace = context.cache(Namespace).get(request.key);
  if (
    namespace === undefined ||
    namespace.metadata.deletionTimestamp !== undefined ||
    isSkipped(namespace, context.options)
  )
    return done;
  const errors: string[] = [];
  await Promise.all(
    context
      .cache(Cluster)
      .list()
      .map(async (cluster) => {
        if (cluster.metadata.deletionTimestamp !== undefined) return;
        try {
          await ensureWork(namespace, cluster, context);
        } catch (error) {
          if (!isNotFound(error) && !isAlreadyExists(error))
            errors.push(error instanceof Error ? error.message : String(error));
        }
      }),
  );
  if (errors.length > 0) throw new Error(errors.join(", "));
  return done;
}

async function ensureWork(namespace: Namespace, cluster: Cluster, context: Context): Promise<void> {
  const execution = executionNamespace(cluster.metadata.name ?? "");
  if (context.cache(Namespace).get(execution) === undefined) return;
  const name = workName("Namespace", namespace.metadata.name ?? "", "");
  const claimed = context.cache(Work).get(`${execution}/${name}`);
  // A policy selects the namespace as well: its binding says what the Work holds. We only keep it when the policy goes.
  if (claimed?.metadata.labels?.[CLUSTER_RESOURCE_BINDING_ID] !== undefined) {
    const owners = claimed.metadata.ownerReferences ?? [];
    if (owners.some(({ uid }) => uid === namespace.metadata.uid)) return;
    await context.client.update(
      Work,
      withMetadata(claimed, { ownerReferences: [...owners, controllerReference(namespace)] }),
    );
    return;
  }
  const {
    status: _status,
    spec: _spec,
    ...bare
  } = namespace as Namespace & { readonly status?: unknown; readonly spec?: unknown };
  const overridden = applyOverrides(bare as KubeObject, cluster, {
    clusterOverridePolicies: context.cache(ClusterOverridePolicy).list(),
    overridePolicies: [],
  });
  const present = claimed;
  const id = present?.metadata.labels?.[WORK_ID];
  let manifest = withLabels(overridden.object, { [MANAGED]: "true" });
  manifest = pruneManifest(
    withAnnotations(manifest, {
      [TEMPLATE_UID]: namespace.metadata.uid ?? "",
      [WORK_NAMESPACE]: execution,
      [WORK_NAME]: name,
      [CONFLICT_RESOLUTION]: undefined,
    }),
  );
  manifest = recordManaged(id === undefined ? manifest : withLabels(manifest, { [WORK_ID]: id }));
  const applied = appliedText(overridden.appliedClusterOverrides);
  const annotations = withKeys(present?.metadata.annotations, { [APPLIED_CLUSTER_OVERRIDES]: applied });
  const { annotations: _before, ...metadata } = present?.metadata ?? {};
  const wanted = {
    ...(present ?? {}),
    apiVersion: "work.karmada.io/v1alpha1",
    kind: "Work",
    metadata: {
      ...metadata,
      name,
      namespace: execution,
      finalizers: [EXECUTION_FINALIZER],
      ownerReferences: [controllerReference(namespace)],
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec: { workload: { manifests: [manifest] } },
  } as unknown as Work;
  if (present === undefined) await context.client.create(Work, wanted);
  else if (
    !deepEqual(present.spec, wanted.spec) ||
    !deepEqual(present.metadata.annotations, wanted.metadata.annotations)
  )
    await context.client.update(Work, wanted);
}
