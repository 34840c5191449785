/** What of a pod may change once it is there, in the order and the words of kube-apiserver. */
import { type FieldError, fieldForbidden, fieldInvalid, fieldRequired, type KubeObject } from "#machinery";
import { deepEqual } from "#base";
import { listAt, valueAt } from "./checks.ts";
import { goDiff, goValue } from "./go-values.ts";
import type { Json } from "./pod-defaults.ts";
import { tolerationErrors } from "./pod-scheduling.ts";

const DEADLINE_MAX = 2_147_483_647;

const POD_UPDATE =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** A pod keeps its spec: images, tolerations and deadlines may change, and gated pods may be told where to run. */
export function podUpdateErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const before = (valueAt(old, "spec") ?? {}) as Json;
  const after = (valueAt(object, "spec") ?? {}) as Json;
  if (before === after) return [];
  const errors: FieldError[] = [];
  for (const list of ["containers", "initContainers"]) {
    if (listAt(after, list).length !== listAt(before, list).length)
      return [...errors, fieldForbidden(`spec.${list}`, "pod updates may not add or remove containers")];
  }
  // Images are looked at once more, as the only part of a container that may change.
  for (const list of ["containers", "initContainers"])
    for (const [at, { image }] of listAt(after, list).entries())
      if (!image) errors.push(fieldRequired(`spec.${list}[${at}].image`));
  const deadline = deadlineErrors(after, before);
  if (deadline.length > 0) return [...errors, ...deadline];
  const isGated = listAt(before, "schedulingGates").length > 0;
  const isAllowed = fixedPart(after, before, isGated);
  const others = [
    ...gateErrors(after, before),
    ...addedTolerationErrors(after, before),
    ...(isGated ? [...selectorErrors(after, before), ...nodeAffinityErrors(after, before)] : []),
  ];
  errors.push(...others);
  if (others.length > 0) return errors;
  if (!deepEqual(isAllowed, before))
    errors.push(fieldForbidden("spec", `${POD_UPDATE}\n${goDiff("PodSpec", before, isAllowed)}`));
  return errors;
}

function deadlineErrors(after: Json, before: Json): FieldError[] {
  const [now, then] = [after["activeDeadlineSeconds"], before["activeDeadlineSeconds"]];
  const path = "spec.activeDeadlineSeconds";
  if (typeof now === "number" && (now < 0 || now > DEADLINE_MAX))
    return [fieldInvalid(path, now, `must be between 0 and ${DEADLINE_MAX}, inclusive`)];
  if (now !== undefined)
    return then !== undefined && Number(then) < Number(now)
      ? [fieldInvalid(path, now, "must be less than or equal to previous value")]
      : [];
  return then === undefined ? [] : [fieldInvalid(path, null, "must not update from a positive integer to nil value")];
}

function gateErrors(after: Json, before: Json): FieldError[] {
  const names = new Set(listAt(before, "schedulingGates").map(({ name }) => name));
  return listAt(after, "schedulingGates").flatMap(({ name }, at) =>
    names.has(name)
      ? []
      : [
          fieldForbidden(
            `spec.schedulingGates[${at}].name`,
            `only deletion is allowed, but found new scheduling gate '${String(name)}'`,
          ),
        ],
  );
}

function addedTolerationErrors(after: Json, before: Json): FieldError[] {
  const now = listAt(after, "tolerations");
  const isKept = (toleration: Json) => {
    const { tolerationSeconds: _seconds, ...rest } = toleration;
    return now.some(({ tolerationSeconds: _other, ...other }) => deepEqual(rest, other));
  };
  return listAt(before, "tolerations").every(isKept)
    ? tolerationErrors(after, "spec")
    : [fieldForbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")];
}

/** The spec after the change, with what may change as it was before. */
function fixedPart(after: Json, before: Json, isGated: boolean): Json {
  const result: Record<string, unknown> = { ...after };
  const keep = (name: string) => {
    if (before[name] === undefined) delete result[name];
    else result[name] = before[name];
  };
  for (const list of ["containers", "initContainers"])
    if (Array.isArray(after[list]))
      result[list] = listAt(after, list).map((container, at) => {
        const image = listAt(before, list)[at]?.["image"];
        return { ...container, ...(image === undefined ? {} : { image }) };
      });
  for (const name of ["activeDeadlineSeconds", "tolerations", "schedulingGates"]) keep(name);
  if (after["terminationGracePeriodSeconds"] === 1 && Number(before["terminationGracePeriodSeconds"]) < 0)
    keep("terminationGracePeriodSeconds");
  if (!isGated) return result;
  // A pod that waits may be narrowed further; whether it was is looked at apart.
  keep("nodeSelector");
  const { nodeAffinity: _now, ...others } = (after["affinity"] ?? {}) as Json;
  const then = valueAt(before, "affinity.nodeAffinity");
  const affinity = then === undefined ? others : { ...others, nodeAffinity: then };
  if (Object.keys(affinity).length > 0 || before["affinity"] !== undefined) result["affinity"] = affinity;
  else delete result["affinity"];
  return result;
}

/** Nodes a waiting pod was bound to by their labels stay required. */
function selectorErrors(after: Json, before: Json): FieldError[] {
  const wanted = (after["nodeSelector"] ?? {}) as Json;
  return Object.entries((before["nodeSelector"] ?? {}) as Json).every(([key, value]) => wanted[key] === value)
    ? []
    : [
        fieldInvalid(
          "spec.nodeSelector",
          wanted,
          "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ),
      ];
}

const TERMS = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";

/** Terms a waiting pod has may be narrowed, and not become more or fewer. */
function nodeAffinityErrors(after: Json, before: Json): FieldError[] {
  const [now, then] = [listAt(after, TERMS), listAt(before, TERMS)];
  if (then.length === 0) return [];
  const shown = (term: Json) => goValue("NodeSelectorTerm", term);
  if (now.length !== then.length)
    return [
      fieldInvalid(
        `spec.${TERMS}`,
        now.map(shown),
        "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
      ),
    ];
  return now.flatMap((term, at) =>
    isNarrowed(term, then[at] as Json)
      ? []
      : [fieldInvalid(`spec.${TERMS}[${at}]`, shown(term), "only additions are allowed (no mutations or deletions)")],
  );
}

function isNarrowed(now: Json, then: Json): boolean {
  const parts = ["matchExpressions", "matchFields"].map((part) => [listAt(now, part), listAt(then, part)] as const);
  // A term that says nothing matches nothing: what is added would widen it.
  if (parts.every(([, old]) => old.length === 0)) return parts.every(([all]) => all.length === 0);
  return parts.every(([all, old]) => deepEqual(all.slice(0, old.length), old));
}
