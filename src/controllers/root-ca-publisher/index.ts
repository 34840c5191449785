/**
 * Root CA publisher: every namespace has the ConfigMap `kube-root-ca.crt` with the authority of the API server, for pods
 * to read. It touches no other ConfigMap.
 */
import { ConfigMap, Namespace } from "#apis/kubernetes";
import {
  type ControllerContext,
  defineController,
  done,
  requeueAfter,
  type Request,
  type Result,
  wake,
} from "#controller-runtime";
import { isAlreadyExists, isConflict, isForbidden, isNotFound } from "#machinery";

interface Deps {
  /** PEM of the authority clients must trust. */
  readonly authority: () => string;
}

const NAME = "kube-root-ca.crt";

export const rootCaPublisher = defineController<Deps, Record<string, never>>({
  name: "root-ca-cert-publisher",
  reconciles: [Namespace],
  when: ({ type }) => type === "added",
  wakes: [
    wake(ConfigMap, ({ object }) => (object.metadata.name === NAME ? [{ name: object.metadata.namespace ?? "" }] : [])),
  ],
  writes: [{ kind: ConfigMap, verbs: ["create", "update"] }],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext<Deps>): Promise<Result> {
  const namespace = context.cache(Namespace).get(request.name);
  if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return done;
  const authority = context.deps.authority();
  const present = context.cache(ConfigMap).get(`${request.name}/${NAME}`);
  try {
    if (present === undefined)
      await context.client.create(ConfigMap, {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: {
          namespace: request.name,
          name: NAME,
          annotations: {
            "kubernetes.io/description":
              "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
          },
        },
        data: { "ca.crt": authority },
      });
    else if (present.data?.["ca.crt"] !== authority)
      await context.client.update(ConfigMap, { ...present, data: { "ca.crt": authority } });
  } catch (error) {
    if (isConflict(error)) return requeueAfter(1);
    if (!isNotFound(error) && !isAlreadyExists(error) && !isForbidden(error)) throw error;
  }
  return done;
}
