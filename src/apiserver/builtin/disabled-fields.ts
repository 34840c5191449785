/**
 * Fields behind features that Kubernetes 1.36 has off by default: a client may send them, and owns them, but they are not
 * kept.
 */
import { isJsonObject, type KubeObject } from "#machinery";
import type { Strategy } from "../definition.ts";

const OF_PODS = [
  ...["containers", "initContainers"].map((list) => `${list}[].lifecycle.stopSignal`),
  ...["clusterTrustBundle", "podCertificate"].map((source) => `volumes[].projected.sources[].${source}`),
];
const ofPods = (path: string) => OF_PODS.map((field) => `${path}.${field}`);
const ofTemplate = ofPods("spec.template.spec");

/** By kind: paths whose steps end in `[]` where they lead through a list. */
const DISABLED: Readonly<Record<string, readonly string[]>> = {
  Pod: ofPods("spec"),
  PodTemplate: ofPods("template.spec"),
  ReplicationController: ofTemplate,
  "apps/Deployment": ofTemplate,
  "apps/ReplicaSet": ofTemplate,
  "apps/DaemonSet": ofTemplate,
  "apps/StatefulSet": [...ofTemplate, "spec.updateStrategy.rollingUpdate.maxUnavailable"],
  "batch/Job": ofTemplate,
  "batch/CronJob": ofPods("spec.jobTemplate.spec.template.spec"),
  Node: ["spec.configSource"],
  "storage.k8s.io/CSIDriver": ["spec.preventPodSchedulingIfMissing"],
  "coordination.k8s.io/Lease": ["spec.strategy", "spec.preferredHolder"],
};

/** A member on the way to a field, or every item of a list there. */
interface Step {
  readonly name: string;
  readonly isList: boolean;
}

const stepsOf = (path: string): readonly Step[] =>
  path.split(".").map((step) => ({ name: step.replace("[]", ""), isList: step.endsWith("[]") }));

/** The value without what a path leads to; structs that hold nothing then go with it, lists stay. */
function without(value: unknown, path: readonly Step[], at = 0): unknown {
  if (!isJsonObject(value)) return value;
  const { name, isList } = path[at] as Step;
  const member = value[name];
  if (member === undefined || member === null) return value;
  let next: unknown;
  if (at === path.length - 1) next = undefined;
  else if (isList) next = Array.isArray(member) ? mapped(member, path, at + 1) : member;
  else next = without(member, path, at + 1);
  if (next === member) return value;
  const isGone = next === undefined || (name === "lifecycle" && isJsonObject(next) && Object.keys(next).length === 0);
  const { [name]: _removed, ...others } = value;
  return isGone ? others : { ...value, [name]: next };
}

function mapped(list: readonly unknown[], path: readonly Step[], at: number): readonly unknown[] {
  const next = list.map((item) => without(item, path, at));
  return next.every((item, number) => item === list[number]) ? list : next;
}

/** A strategy that keeps nothing of what is disabled; `key` is the kind with its group. */
export function withoutDisabled(key: string, strategy: Strategy): Strategy {
  const paths = DISABLED[key]?.map(stepsOf);
  if (paths === undefined) return strategy;
  const drop = (object: KubeObject): KubeObject =>
    paths.reduce<unknown>((value, path) => without(value, path), object) as KubeObject;
  const { prepareForCreate, prepareForUpdate } = strategy;
  // What is not kept changes nothing, so that it counts for no generation.
  return {
    ...strategy,
    prepareForCreate: (object, context) => {
      const kept = drop(object);
      return prepareForCreate?.(kept, context) ?? kept;
    },
    prepareForUpdate: (object, old, ...rest) => {
      const kept = drop(object);
      return prepareForUpdate?.(kept, old, ...rest) ?? kept;
    },
  };
}
