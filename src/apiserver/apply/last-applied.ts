import { goSorted, isJsonObject, type KubeObject, LAST_APPLIED, lastAppliedOf, withAnnotations } from "#machinery";
import type { Manager } from "./managers.ts";

/** As whom kubectl applies on the server's side; whoever wants none of this takes another name. */
const KUBECTL = "kubectl";

/** What kubectl applied to an object on the client's side: its fields are no conflict for the same kubectl on the server's. */
export function lastApplied(live: KubeObject, manager: Manager): KubeObject | undefined {
  const object = manager.manager === KUBECTL ? lastAppliedOf(live) : undefined;
  return isJsonObject(object) ? (object as unknown as KubeObject) : undefined;
}

/** Keeps the annotation in step, where there is one, so that kubectl can go back to the client's side. */
export function keepLastApplied(object: KubeObject, applied: KubeObject, manager: Manager): KubeObject {
  if (manager.manager !== KUBECTL || !object.metadata.annotations?.[LAST_APPLIED]) return object;
  return withAnnotations(object, { [LAST_APPLIED]: `${goSorted(applied)}\n` });
}
