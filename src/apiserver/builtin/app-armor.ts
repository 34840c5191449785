/** AppArmor profiles that containers have by annotations of their pod, as was the way before there were fields. */
import { deepEqual } from "#base";
import { type FieldError, fieldForbidden, type KubeObject, setPath } from "#machinery";
import { listAt, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";

export const APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/";
export const APP_ARMOR_TEXT = 'deprecated since v1.30; use the "appArmorProfile" field instead';

const LOCAL = "localhost/";

function profileOf(annotation: string): Json | undefined {
  if (annotation === "unconfined") return { type: "Unconfined" };
  if (annotation === "runtime/default") return { type: "RuntimeDefault" };
  return annotation.startsWith(LOCAL) && annotation !== LOCAL
    ? { type: "Localhost", localhostProfile: annotation.slice(LOCAL.length) }
    : undefined;
}

/** The new pod with fields for what only annotations say, of which its user is told. What its fields say already stays. */
export function withAppArmorFields(pod: KubeObject, warn: (text: string) => void): KubeObject {
  const { annotations = {} } = pod.metadata;
  if (!Object.keys(annotations).some((key) => key.startsWith(APP_ARMOR))) return pod;
  if (valueAt(pod, "spec.os.name") === "windows") return pod;
  const ofPod = valueAt(pod, "spec.securityContext.appArmorProfile");
  let result = pod;
  for (const list of ["initContainers", "containers"]) {
    const containers = listAt(pod, `spec.${list}`);
    const next = containers.map((container) => {
      const key = `${APP_ARMOR}${String(container["name"])}`;
      const said = annotations[key];
      if (said === undefined || valueAt(container, "securityContext.appArmorProfile") !== undefined) return container;
      const profile = profileOf(said);
      if (profile !== undefined && deepEqual(profile, ofPod)) return container;
      warn(`metadata.annotations[${key}]: ${APP_ARMOR_TEXT}`);
      if (profile === undefined) return container;
      return { ...container, securityContext: { ...(container["securityContext"] as Json), appArmorProfile: profile } };
    });
    if (next.some((container, at) => container !== containers[at])) result = setPath(result, ["spec", list], next);
  }
  return result;
}

/** Mistakes of a new pod whose annotations and fields say different things. */
export function appArmorConflicts(spec: Json, annotations: Readonly<Record<string, string>>): FieldError[] {
  if (valueAt(spec, "os.name") === "windows") return [];
  return ["initContainers", "containers"].flatMap((list) =>
    listAt(spec, list).flatMap((container, at) => {
      const own = valueAt(container, "securityContext.appArmorProfile") as Json | undefined;
      const profile = profileOf(annotations[`${APP_ARMOR}${String(container["name"])}`] ?? "");
      if (own === undefined || profile === undefined || deepEqual(own, profile)) return [];
      const [part, what] = own["type"] === profile["type"] ? ["localhostProfile", "profile"] : ["type", "type"];
      return [
        fieldForbidden(
          `spec.${list}[${at}].securityContext.appArmorProfile.${part}`,
          `apparmor ${what} in annotation and field must match`,
        ),
      ];
    }),
  );
}
