/**
 * Token cleaner: bootstrap tokens whose time is over are deleted. Tokens without an end, or with one that cannot be read,
 * stay.
 */
import { Secret } from "#apis/kubernetes";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  requeueAfter,
  type Result,
} from "#controller-runtime";
import { parseTime } from "#machinery";

const TOKEN_TYPE = "bootstrap.kubernetes.io/token";
const NAMESPACE = "kube-system";

export const tokenCleaner = defineController<unknown, Record<string, never>>({
  name: "tokencleaner",
  reconciles: [Secret],
  when: ({ type, object }) =>
    type !== "deleted" && object.metadata.namespace === NAMESPACE && (object as Secret).type === TOKEN_TYPE,
  writes: [{ kind: Secret, verbs: ["delete"] }],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const secret = context.cache(Secret).get(request.key);
  if (secret?.type !== TOKEN_TYPE || secret.metadata.deletionTimestamp !== undefined) return done;
  const endMs = parseTime(Buffer.from(secret.data?.["expiration"] ?? "", "base64").toString());
  if (endMs === undefined) return done;
  const leftMs = endMs - context.clock.now();
  if (leftMs > 0) return requeueAfter(leftMs);
  await context.client.delete(Secret, request, { preconditions: { uid: secret.metadata.uid ?? "" } });
  return done;
}
