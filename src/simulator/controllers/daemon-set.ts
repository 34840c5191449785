import { DaemonSet, Node, Pod } from "#apis/kubernetes";
import { deepEqual } from "#base";
import { type ControllerContext, defineController, done, type Request, type Result, wake } from "#controller-runtime";
import { controllerOf, isAlreadyExists, isBeingDeleted, isConflict, isNotFound } from "#machinery";
import { isPodReady, isPodTerminal, podFromTemplate, templateHash } from "../pods.ts";
import { podsByController } from "./replica-set.ts";

const REVISION = "controller-revision-hash";

export const daemonSetController = defineController<unknown, Record<string, never>>({
  name: "daemonset",
  reconciles: [DaemonSet],
  wakes: [
    wake(Pod, (change) => {
      const owner = controllerOf(change.object);
      return owner?.kind === "DaemonSet" ? [{ namespace: change.object.metadata.namespace, name: owner.name }] : [];
    }),
    wake(Node, (change, context: ControllerContext<unknown, unknown>) =>
      change.type === "updated" &&
      change.object.spec === change.old.spec &&
      change.object.metadata.labels === change.old.metadata.labels
        ? []
        : context
            .cache(DaemonSet)
            .list()
            .map((set) => ({ namespace: set.metadata.namespace, name: set.metadata.name ?? "" })),
    ),
  ],
  indexes: [podsByController()],
  writes: [
    { kind: DaemonSet, verbs: ["update"], subresources: ["status"] },
    { kind: Pod, verbs: ["create", "delete"] },
  ],
  options: {},
  reconcile,
});

function isEligible(node: Node, set: DaemonSet): boolean {
  const labels = node.metadata.labels ?? {};
  const selector = set.spec?.template.spec?.nodeSelector ?? {};
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const set = context.cache(DaemonSet).get(request.key);
  if (set === undefined || isBeingDeleted(set)) return done;
  const revision = templateHash(set.spec?.template);
  const pods = context
    .cache(Pod)
    .byIndex("controller", set.metadata.uid ?? "")
    .filter((pod) => !isPodTerminal(pod));
  const nodes = context
    .cache(Node)
    .list()
    .filter((node) => isEligible(node, set));
  const byNode = new Map(pods.map((pod) => [pod.spec?.nodeName ?? "", pod]));
  try {
    for (const node of nodes) {
      const name = node.metadata.name ?? "";
      const pod = byNode.get(name);
      if (pod === undefined) {
        // The name is fixed by the node, so that a cache that is behind cannot lead to two pods on one node.
        await context.client.create(
          Pod,
          podFromTemplate(
            set,
            set.spec?.template,
            { name: `${set.metadata.name}-${templateHash({ metadata: { name } } as never)}` },
            { labels: { [REVISION]: revision }, spec: { nodeName: name } as never },
          ),
        );
      } else if (
        pod.metadata.labels?.[REVISION] !== revision &&
        set.spec?.updateStrategy?.type !== "OnDelete" &&
        !isBeingDeleted(pod)
      )
        await context.client.delete(Pod, { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" });
    }
    const names = new Set(nodes.map((node) => node.metadata.name));
    for (const pod of pods)
      if (!names.has(pod.spec?.nodeName ?? "") && !isBeingDeleted(pod))
        await context.client.delete(Pod, { namespace: pod.metadata.namespace, name: pod.metadata.name ?? "" });
    const live = pods.filter((pod) => !isBeingDeleted(pod));
    const ready = live.filter(isPodReady).length;
    const updated = live.filter((pod) => pod.metadata.labels?.[REVISION] === revision).length;
    const status = {
      currentNumberScheduled: live.length,
      numberMisscheduled: 0,
      desiredNumberScheduled: nodes.length,
      numberReady: ready,
      observedGeneration: set.metadata.generation ?? 0,
      ...(updated === 0 ? {} : { updatedNumberScheduled: updated }),
      ...(ready === 0 ? {} : { numberAvailable: ready }),
      ...(nodes.length - ready <= 0 ? {} : { numberUnavailable: nodes.length - ready }),
    };
    if (!deepEqual(set.status ?? {}, status))
      await context.client.updateStatus(DaemonSet, { ...set, status } as DaemonSet);
  } catch (error) {
    if (isConflict(error) || isAlreadyExists(error)) return { outcome: "requeue", afterMs: 5 };
    if (!isNotFound(error)) throw error;
  }
  return done;
}
