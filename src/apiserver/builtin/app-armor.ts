/** AppArmor profiles that containers have by annotations of their pod, as was the way before there were fields. */
import { deepEqual } from "#base";
import { type KubeObject, setPath } from "#machinery";
import { listAt, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";

export const APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/";
const APP_ARMOR_TEXT = 'deprecated since v1.30; use the "appArmorProfile" field instead';

const LOCAL = "localhost/";

function profileOf(annotation: string): Json | undefined {
  if (annotation === "unconfined") return { type: "Unconfined" };
  if (annotation === "runtime/default") return { type: "RuntimeDefault" };
  return annotation.startsWith(LOCAL)
    ? { type: "Localhost", localhostProfile: annotation.slice(LOCAL.length) }
    : undefined;
}

/** The new pod with fields for what only annotations say, of which its user is told. What its fields say already stays. */
export function withAppArmorFields(pod: KubeObject, warn: (text: string) => void): KubeObject {
  const { annotations = {} } = pod.metadata;
  if (!Object.keys(annotations).some((key) => key.startsWith(APP_ARMOR))) return pod;
  const ofPod = valueAt(pod, "spec.securityContext.appArmorProfile");
  let result = pod;
  for (const list of ["initContainers", "containers"]) {
    const containers = listAt(pod, `spec.${list}`);
    const next = containers.map((container) => {
      const key = `${APP_ARMOR}${String(container["name"])}`;
      const profile = profileOf(annotations[key] ?? "");
      const own = valueAt(container, "securityContext.appArmorProfile");
      if (profile === undefined || own !== undefined || deepEqual(profile, ofPod)) return container;
      warn(`metadata.annotations[${key}]: ${APP_ARMOR_TEXT}`);
      return { ...container, securityContext: { ...(container["securityContext"] as Json), appArmorProfile: profile } };
    });
    if (next.some((container, at) => container !== containers[at])) result = setPath(result, ["spec", list], next);
  }
  return result;
}
