/** Pods: their defaults, states and what they are selected by. */
import { type KubeObject, setPath } from "#machinery";
import type { Strategy } from "../definition.ts";
import { withAppArmorFields } from "./app-armor.ts";
import { listAt, valueAt } from "./checks.ts";
import { defaultPodSpec, type Json, withRequests } from "./pod-defaults.ts";
import { podParts } from "./pod-parts.ts";
import { podStatusErrors } from "./pod-status.ts";
import { podUpdateErrors } from "./pod-updates.ts";
import { newPodErrors, podErrors } from "./pod-validation.ts";
import { qosOf } from "./qos.ts";
import { filled } from "./checks.ts";
import { withSpec } from "./workload-rules.ts";

const GRACE_DEFAULT = 30;
const GATED = {
  type: "PodScheduled",
  status: "False",
  reason: "SchedulingGated",
  message: "Scheduling is blocked due to non-empty scheduling gates",
};

/** The status a pod begins with. */
function begun(pod: KubeObject): KubeObject {
  const spec = (valueAt(pod, "spec") ?? {}) as Json;
  const isGated = listAt(spec, "schedulingGates").length > 0;
  return {
    ...pod,
    status: {
      phase: "Pending",
      ...(isGated
        ? {
            conditions: [
              {
                type: GATED.type,
                status: GATED.status,
                lastProbeTime: null,
                lastTransitionTime: pod.metadata.creationTimestamp ?? null,
                reason: GATED.reason,
                message: GATED.message,
              },
            ],
          }
        : {}),
      qosClass: qosOf(spec),
    },
  } as KubeObject;
}

const text = (object: KubeObject, path: string) => String(valueAt(object, path) ?? "");

export const podStrategy: Strategy = {
  rulesAreWhole: true,
  hasTemplate: "",
  parts: podParts,
  returnsDeleted: true,
  prepareForCreate: (pod, { warn }) => begun(withAppArmorFields(pod, warn)),
  // What a class gave a new pod stays, where an update is silent about it.
  prepareForUpdate: (pod, old) => {
    const spec = (valueAt(pod, "spec") ?? {}) as Json;
    const { priority, preemptionPolicy } = (valueAt(old, "spec") ?? {}) as Json;
    const next = filled(spec, { priority, preemptionPolicy });
    const kept = next === spec ? pod : ({ ...pod, spec: next } as KubeObject);
    return valueAt(kept, "status.qosClass") ? kept : setPath(kept, ["status", "qosClass"], qosOf(next));
  },
  validateStatus: podStatusErrors,
  // What plugins changed of a new pod decides how it is served.
  settleCreated: (pod) => {
    const qosClass = qosOf((valueAt(pod, "spec") ?? {}) as Json);
    const status = (valueAt(pod, "status") ?? {}) as Json;
    return status["qosClass"] === qosClass ? pod : ({ ...pod, status: { ...status, qosClass } } as KubeObject);
  },
  applyDefaults: withSpec((spec) => filled(withRequests(defaultPodSpec(spec)), { enableServiceLinks: true })),
  validate: podErrors,
  validateNew: newPodErrors,
  validateUpdate: podUpdateErrors,
  fields: (object) => ({
    "spec.nodeName": text(object, "spec.nodeName"),
    // Its old name.
    "spec.host": text(object, "spec.nodeName"),
    "spec.restartPolicy": text(object, "spec.restartPolicy"),
    "spec.schedulerName": text(object, "spec.schedulerName"),
    "spec.serviceAccountName": text(object, "spec.serviceAccountName"),
    "spec.hostNetwork": String(valueAt(object, "spec.hostNetwork") ?? false),
    "status.phase": text(object, "status.phase"),
    "status.podIP": text(object, "status.podIP"),
    "status.nominatedNodeName": text(object, "status.nominatedNodeName"),
  }),
  gracePeriodSeconds: (object, asked) => {
    const phase = valueAt(object, "status.phase");
    if (!valueAt(object, "spec.nodeName") || phase === "Failed" || phase === "Succeeded") return 0;
    return asked ?? (valueAt(object, "spec.terminationGracePeriodSeconds") as number | undefined) ?? GRACE_DEFAULT;
  },
};
