/**
 * Unified auth: whoever may use the cluster proxy in the control plane may be impersonated in the members. For each cluster
 * two Works, a ClusterRole and its binding for the impersonator. It grants nobody anything else in a member.
 */
import { ClusterRole, ClusterRoleBinding, Namespace } from "#apis/kubernetes";
import {
  Cluster,
  EXECUTION_FINALIZER,
  executionNamespace,
  MANAGED,
  TEMPLATE_UID,
  Work,
  WORK_ID,
  WORK_NAME,
  WORK_NAMESPACE,
  workName,
} from "#apis/karmada";
import { deepEqual } from "#base";
import {
  type Change,
  type ControllerContext,
  defineController,
  done,
  type Request,
  type Result,
  wake,
} from "#controller-runtime";
import { pruneManifest, recordManaged } from "#interpreter";
import { controllerReference, isNotFound, type KubeObject, withAnnotations, withLabels } from "#machinery";
import { planImpersonation, roleGrants } from "./plan.ts";

type Context = ControllerContext<unknown, unknown>;

const everyCluster = (context: Context) =>
  context
    .cache(Cluster)
    .list()
    .map(({ metadata }) => ({ name: metadata.name ?? "" }));

/** Both sides of a change: rights that go matter as much as rights that come. */
const sides = <T extends KubeObject>(change: Change<T>): readonly T[] =>
  change.type === "updated" ? [change.old, change.object] : [change.object];

export const unifiedAuth = defineController<unknown, Record<string, never>>({
  name: "unifiedAuth",
  reconciles: [Cluster],
  reconcilers: ["unified-auth-controller"],
  // Upstream looks at new clusters only; a reference that is added later counts as well (decision 332).
  when: (change) =>
    change.type === "added" ||
    (change.type === "updated" &&
      !deepEqual(
        (change.object as Cluster).spec?.impersonatorSecretRef,
        (change.old as Cluster).spec?.impersonatorSecretRef,
      )),
  wakes: [
    wake(ClusterRole, (change, context: Context) =>
      sides(change).some((role) => roleGrants(role)) ? everyCluster(context) : [],
    ),
    wake(ClusterRoleBinding, (change, context: Context) => {
      const roles = context.cache(ClusterRole);
      const isOurs = sides(change).some(({ roleRef }) => {
        const role = roleRef.kind === "ClusterRole" ? roles.get(roleRef.name) : undefined;
        return role !== undefined && roleGrants(role);
      });
      return isOurs ? everyCluster(context) : [];
    }),
    // The execution namespace of a new cluster comes a moment after it.
    wake(Namespace, (change, context: Context) =>
      change.type === "added" && !change.isInitial
        ? everyCluster(context).filter(({ name }) => executionNamespace(name) === change.object.metadata.name)
        : [],
    ),
  ],
  writes: [{ kind: Work, verbs: ["create", "update"] }],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const cluster = context.cache(Cluster).get(request.key);
  if (cluster === undefined || cluster.metadata.deletionTimestamp !== undefined) return done;
  const reference = cluster.spec?.impersonatorSecretRef;
  if (reference === undefined) return done;
  const namespace = executionNamespace(request.name);
  if (context.cache(Namespace).get(namespace) === undefined) return done;
  const events = context.events.from("unified-auth-controller");
  try {
    const manifests = planImpersonation(
      request.name,
      reference.namespace,
      context.cache(ClusterRole).list(),
      context.cache(ClusterRoleBinding).list(),
    );
    const written = await Promise.all(manifests.map((manifest) => ensureWork(context, cluster, namespace, manifest)));
    if (written.includes(true))
      events.normal(cluster, "SyncImpersonationConfigSucceed", "Sync impersonation config succeed.");
  } catch (error) {
    if (isNotFound(error)) return done;
    const why = error instanceof Error ? error.message : String(error);
    events.warning(cluster, "SyncImpersonationConfigFailed", `Failed to sync impersonation config: ${why}`);
    throw error;
  }
  return done;
}

/** Writes a Work where it says something new; gives whether it did. */
async function ensureWork(
  context: ControllerContext,
  cluster: Cluster,
  namespace: string,
  manifest: KubeObject,
): Promise<boolean> {
  const name = workName(manifest.kind, manifest.metadata.name ?? "", "");
  const present = context.cache(Work).get(`${namespace}/${name}`);
  const id = present?.metadata.labels?.[WORK_ID];
  const marked = withAnnotations(withLabels(manifest, { [MANAGED]: "true", [WORK_ID]: id }), {
    [TEMPLATE_UID]: "",
    [WORK_NAMESPACE]: namespace,
    [WORK_NAME]: name,
  });
  const spec = { workload: { manifests: [recordManaged(pruneManifest(marked))] } };
  const metadata = {
    ...present?.metadata,
    name,
    namespace,
    finalizers: [EXECUTION_FINALIZER],
    ownerReferences: [controllerReference(cluster)],
  };
  const wanted = {
    ...present,
    apiVersion: "work.karmada.io/v1alpha1",
    kind: "Work",
    metadata,
    spec: present === undefined ? spec : { ...present.spec, ...spec },
  } as unknown as Work;
  if (present === undefined) await context.client.create(Work, wanted);
  else if (deepEqual(present.spec?.workload, wanted.spec?.workload)) return false;
  else await context.client.update(Work, wanted);
  return true;
}
