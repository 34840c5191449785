import { getPath, type KubeObject, type Transport } from "#machinery";

/** A fresh token of a service account, asked for as `kubectl create token` does. */
export async function accountToken(
  transport: Transport,
  account: { readonly namespace: string; readonly name: string },
): Promise<string> {
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", metadata: {}, spec: {} } as KubeObject;
  const answer = await transport.send({
    verb: "create",
    group: "",
    version: "v1",
    resource: "serviceaccounts",
    ...account,
    subresource: "token",
    body,
  });
  return String(getPath(answer, "status", "token"));
}
