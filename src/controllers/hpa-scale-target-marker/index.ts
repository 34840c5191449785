/**
 * HPA scale target marker (off unless named in `--controllers`): workloads that a propagated HorizontalPodAutoscaler scales
 * in the members keep the members' replicas. It sets and removes the `retain-replicas` label on templates, nothing else.
 */
import { CLUSTER_PROPAGATION_POLICY_ID, PROPAGATION_POLICY_ID, RETAIN_REPLICAS } from "#apis/karmada";
import { HorizontalPodAutoscaler } from "#apis/kubernetes";
import {
  type Change,
  cacheIndex,
  type ControllerContext,
  defineController,
  done,
  type Request,
  type Result,
  wake,
} from "#controller-runtime";
import { isNotFound, type KubeObject, type ResourceKind } from "#machinery";

export interface MarkerDeps {
  readonly kindOf: (apiVersion: string, kind: string) => ResourceKind | undefined;
}

const TARGETS = "scaleTarget";
const SEPARATOR = "\u0001";

/** The target an autoscaler scales, as the name of a request. */
export function targetOf(autoscaler: KubeObject): string | undefined {
  const {
    apiVersion = "",
    kind = "",
    name = "",
  } = (
    autoscaler as {
      readonly spec?: {
        readonly scaleTargetRef?: { readonly apiVersion?: string; readonly kind?: string; readonly name?: string };
      };
    }
  ).spec?.scaleTargetRef ?? {};
  return kind === "" || name === "" ? undefined : [apiVersion.replaceAll("/", "\u0002"), kind, name].join(SEPARATOR);
}

/** Whether a policy propagates an autoscaler, so that its copies scale in the members. */
export const isPropagated = ({ metadata }: KubeObject): boolean =>
  metadata.deletionTimestamp === undefined &&
  Boolean(metadata.labels?.[PROPAGATION_POLICY_ID] || metadata.labels?.[CLUSTER_PROPAGATION_POLICY_ID]);

export const hpaScaleTargetMarker = defineController<MarkerDeps, object>({
  name: "hpaScaleTargetMarker",
  reconciles: [HorizontalPodAutoscaler],
  reconcilers: ["hpa-scale-target-marker"],
  // Requests are about targets; an autoscaler that changes wakes its targets, before and after.
  when: () => false,
  wakes: [wake(HorizontalPodAutoscaler, targetsOfChange)],
  indexes: [
    cacheIndex(HorizontalPodAutoscaler, TARGETS, (autoscaler: HorizontalPodAutoscaler) =>
      isPropagated(autoscaler) ? [`${autoscaler.metadata.namespace}/${targetOf(autoscaler)}`] : [],
    ),
  ],
  writes: [{ kind: { group: "*", version: "*", kind: "*", resource: "*", namespaced: true }, verbs: ["patch"] }],
  options: {},
  reconcile,
});

function targetsOfChange(change: Change<HorizontalPodAutoscaler>) {
  const now = targetOf(change.object);
  const before = change.type === "updated" ? targetOf(change.old) : undefined;
  if (change.type === "updated" && now === before && isPropagated(change.object) === isPropagated(change.old))
    return [];
  if (change.type === "added" && !isPropagated(change.object)) return [];
  return [...new Set([now, before])].flatMap((name) =>
    name === undefined ? [] : [{ namespace: change.object.metadata.namespace, name }],
  );
}

async function reconcile(request: Request, context: ControllerContext<MarkerDeps, object>): Promise<Result> {
  const [apiVersion = "", kindName = "", name = ""] = request.name.split(SEPARATOR);
  const kind = context.deps.kindOf(apiVersion.replaceAll("\u0002", "/"), kindName);
  if (kind === undefined) return done;
  const target = await context.client.find(kind, { namespace: request.namespace, name });
  if (target === undefined) return done;
  const isWanted =
    context.cache(HorizontalPodAutoscaler).byIndex(TARGETS, `${request.namespace}/${request.name}`).length > 0;
  const value = target.metadata.labels?.[RETAIN_REPLICAS];
  if (isWanted ? value === "true" : value === undefined) return done;
  try {
    await context.client.patch(kind, { namespace: request.namespace, name }, "application/merge-patch+json", {
      metadata: { labels: { [RETAIN_REPLICAS]: isWanted ? "true" : null } },
    });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return done;
}
