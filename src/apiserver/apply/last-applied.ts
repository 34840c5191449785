import { goSorted, isJsonObject, type KubeObject, withAnnotations } from "#machinery";
import type { Manager } from "./managers.ts";

/** Where kubectl keeps what it applied on the client's side last. */
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
/** As whom kubectl applies on the server's side; whoever wants none of this takes another name. */
const KUBECTL = "kubectl";

/** What kubectl applied to an object on the client's side: its fields are no conflict for the same kubectl on the server's. */
export function lastApplied(live: KubeObject, manager: Manager): KubeObject | undefined {
  const text = manager.manager === KUBECTL ? live.metadata.annotations?.[LAST_APPLIED] : undefined;
  if (text === undefined) return undefined;
  try {
    const object: unknown = JSON.parse(text);
    return isJsonObject(object) ? (object as unknown as KubeObject) : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps the annotation in step, where there is one, so that kubectl can go back to the client's side. */
export function keepLastApplied(object: KubeObject, applied: KubeObject, manager: Manager): KubeObject {
  if (manager.manager !== KUBECTL || !object.metadata.annotations?.[LAST_APPLIED]) return object;
  return withAnnotations(object, { [LAST_APPLIED]: `${goSorted(applied)}\n` });
}
