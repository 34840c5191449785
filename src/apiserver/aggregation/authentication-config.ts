import { FRONT_PROXY } from "#certs";
import { deepEqual } from "#base";
import { isAlreadyExists, type KubeObject } from "#machinery";
import type { ApiServer } from "../server.ts";

const ADDRESS = { group: "", version: "v1", resource: "configmaps", namespace: "kube-system" };
const NAME = "extension-apiserver-authentication";

/** Tells aggregated servers whose certificates prove identity headers, and in which headers these stand (wire). */
export async function publishAuthentication(server: ApiServer, authority: string): Promise<void> {
  const list = (...words: readonly string[]) => JSON.stringify(words);
  const data = {
    "client-ca-file": authority,
    "requestheader-allowed-names": list(FRONT_PROXY),
    "requestheader-client-ca-file": authority,
    "requestheader-extra-headers-prefix": list("X-Remote-Extra-"),
    "requestheader-group-headers": list("X-Remote-Group"),
    "requestheader-uid-headers": list("X-Remote-Uid"),
    "requestheader-username-headers": list("X-Remote-User"),
  };
  const transport = server.transport();
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: NAME, namespace: ADDRESS.namespace }, data };
  try {
    await transport.send({ verb: "create", ...ADDRESS, body: body as unknown as KubeObject });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const present = await transport.send({ verb: "get", ...ADDRESS, name: NAME });
    if (!deepEqual((present as { data?: unknown }).data, data))
      await transport.send({ verb: "update", ...ADDRESS, name: NAME, body: { ...present, data } as KubeObject });
  }
}
