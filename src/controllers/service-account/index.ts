/**
 * Service account: every namespace has its account `default`, and a Secret of type `kubernetes.io/service-account-token`
 * gets a token of the account its annotation names. It makes no other account and removes none.
 */
import { Namespace, Secret, ServiceAccount } from "#apis/kubernetes";
import { type ControllerContext, defineController, done, type Request, type Result, wake } from "#controller-runtime";
import { isAlreadyExists, isForbidden, isNotFound, type KubeObject, withAnnotations } from "#machinery";

interface Deps {
  /** Signs the token that a Secret holds and that ends with it. */
  readonly sign: (account: KubeObject, secretName: string) => Promise<string>;
  readonly authority: string;
}

const ACCOUNT_NAME = "kubernetes.io/service-account.name";
const ACCOUNT_UID = "kubernetes.io/service-account.uid";
const TOKEN_TYPE = "kubernetes.io/service-account-token";

export const serviceAccount = defineController<Deps, Record<string, never>>({
  name: "serviceaccount-token",
  reconciles: [Namespace, Secret],
  when: ({ type, object }) =>
    type !== "deleted" && (object.kind === "Namespace" || (object as Secret).type === TOKEN_TYPE),
  wakes: [
    wake(ServiceAccount, (change, context: ControllerContext<unknown, unknown>) =>
      context
        .cache(Secret)
        .list(change.object.metadata.namespace)
        .filter(
          (secret) =>
            secret.type === TOKEN_TYPE && secret.metadata.annotations?.[ACCOUNT_NAME] === change.object.metadata.name,
        )
        .map((secret) => ({ kind: Secret, namespace: secret.metadata.namespace, name: secret.metadata.name ?? "" })),
    ),
  ],
  writes: [
    { kind: ServiceAccount, verbs: ["create"] },
    { kind: Secret, verbs: ["update", "delete"] },
  ],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext<Deps>): Promise<Result> {
  const { client } = context;
  try {
    if (request.kind.kind === "Namespace") {
      const namespace = context.cache(Namespace).get(request.key);
      if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return done;
      if (context.cache(ServiceAccount).get(`${request.name}/default`) !== undefined) return done;
      await client.create(ServiceAccount, {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { namespace: request.name, name: "default" },
      });
      return done;
    }
    const secret = context.cache(Secret).get(request.key);
    const accountName = secret?.metadata.annotations?.[ACCOUNT_NAME];
    if (secret === undefined || accountName === undefined || secret.data?.["token"] !== undefined) return done;
    const account = context.cache(ServiceAccount).get(`${request.namespace}/${accountName}`);
    if (account === undefined) return done;
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const token = await context.deps.sign(account, request.name);
    await client.update(Secret, {
      ...withAnnotations(secret, { [ACCOUNT_UID]: account.metadata.uid ?? "" }),
      data: {
        ...secret.data,
        token: base64(token),
        "ca.crt": base64(context.deps.authority),
        namespace: base64(request.namespace ?? ""),
      },
    });
  } catch (error) {
    if (!isNotFound(error) && !isAlreadyExists(error) && !isForbidden(error)) throw error;
  }
  return done;
}
