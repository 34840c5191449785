/**
 * Bootstrap signer: `kube-public/cluster-info` carries a signature of its kubeconfig by every bootstrap token that may
 * sign, so that somebody who holds a token can tell it from a forged one. It writes no kubeconfig.
 */
import { ConfigMap, Secret } from "#apis/kubernetes";
import { deepEqual } from "#base";
import {
  type ControllerContext,
  defineController,
  done,
  requeueAfter,
  type Request,
  type Result,
  wake,
} from "#controller-runtime";
import { isConflict, isNotFound } from "#machinery";
import { signed, signingToken } from "./plan.ts";

const INFO = { namespace: "kube-public", name: "cluster-info" };

export const bootstrapSigner = defineController<unknown, Record<string, never>>({
  name: "bootstrapsigner",
  reconciles: [ConfigMap],
  when: ({ type, object }) =>
    type !== "deleted" && object.metadata.namespace === INFO.namespace && object.metadata.name === INFO.name,
  wakes: [
    wake(Secret, ({ object }) =>
      object.metadata.namespace === "kube-system" && object.type === "bootstrap.kubernetes.io/token" ? [INFO] : [],
    ),
  ],
  writes: [{ kind: ConfigMap, verbs: ["update"] }],
  options: {},
  concurrency: () => 1,
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const info = context.cache(ConfigMap).get(request.key);
  if (info === undefined) return done;
  const nowMs = context.clock.now();
  const tokens = context
    .cache(Secret)
    .list("kube-system")
    .map((secret) => signingToken(secret, nowMs))
    .filter((token) => token !== undefined);
  const wanted = signed(info, tokens);
  try {
    if (!deepEqual(wanted.data, info.data ?? {})) await context.client.update(ConfigMap, wanted);
  } catch (error) {
    if (isConflict(error)) return requeueAfter(1);
    if (!isNotFound(error)) throw error;
  }
  const endMs = Math.min(...tokens.map((token) => token.endMs));
  return Number.isFinite(endMs) ? requeueAfter(endMs - nowMs) : done;
}
