/** Parts of pods that are written through subresources of their own: ephemeral containers and amounts of resources. */
import { deepEqual } from "#base";
import { type FieldError, fieldForbidden, fieldInvalid, type KubeObject } from "#machinery";
import type { WrittenPart } from "../definition.ts";
import { listAt, specOf, valueAt } from "./checks.ts";
import { goDiff } from "./go-values.ts";
import type { Json } from "./pod-defaults.ts";
import { podErrors } from "./pod-validation.ts";
import { qosOf } from "./qos.ts";

/** The present pod with another spec, and with the owners of the sent one. */
const withSpecOf = (sent: KubeObject, old: KubeObject, spec: Json): KubeObject => {
  const { managedFields } = sent.metadata;
  const metadata = { ...old.metadata, ...(managedFields === undefined ? {} : { managedFields }) };
  return { ...old, metadata, spec } as KubeObject;
};

const EPHEMERAL = "spec.ephemeralContainers";

const ephemeralContainers: WrittenPart = {
  take(sent, old) {
    const { ephemeralContainers: _old, ...spec } = specOf(old);
    const sentOnes = specOf(sent)["ephemeralContainers"];
    return withSpecOf(sent, old, sentOnes === undefined ? spec : { ...spec, ephemeralContainers: sentOnes });
  },
  validate(pod, old) {
    const errors = podErrors(pod);
    const now = new Map(listAt(specOf(pod), "ephemeralContainers").map((one) => [String(one["name"]), one]));
    for (const before of listAt(specOf(old), "ephemeralContainers")) {
      const name = String(before["name"]);
      const after = now.get(name);
      if (after === undefined)
        errors.push(
          fieldForbidden(EPHEMERAL, `existing ephemeral containers ${JSON.stringify(name)} may not be removed\n`),
        );
      else if (!deepEqual(after, before))
        errors.push(
          fieldForbidden(
            EPHEMERAL,
            `existing ephemeral containers ${JSON.stringify(name)} may not be changed\n${goDiff("EphemeralContainer", before, after)}`,
          ),
        );
    }
    return errors;
  },
};

const LISTS = ["containers", "initContainers"] as const;
const RESIZED = ["resources", "resizePolicy"] as const;

const resize: WrittenPart = {
  take(sent, old) {
    const spec: Record<string, unknown> = { ...specOf(old) };
    for (const list of LISTS) {
      const [now, before] = [listAt(specOf(sent), list), listAt(spec, list)];
      // What was added, taken away or renamed is refused later on.
      spec[list] = isSameList(now, before) ? before.map((one, at) => resized(one, now[at] as Json)) : now;
      if ((spec[list] as unknown[]).length === 0) delete spec[list];
    }
    const { resources } = specOf(sent);
    if (resources === undefined) delete spec["resources"];
    else spec["resources"] = resources;
    return withSpecOf(sent, old, spec);
  },
  validate(pod, old) {
    const [after, before] = [specOf(pod), specOf(old)];
    if (valueAt(before, "os.name") === "windows") return [fieldForbidden("[]", "windows pods cannot be resized")];
    const errors: FieldError[] = [...podErrors(pod)];
    const qos = qosOf(before);
    if (qosOf(after) !== qos)
      errors.push(fieldInvalid("spec", qos, "Pod QOS Class may not change as a result of resizing"));
    const others = LISTS.flatMap((list) => listErrors(listAt(after, list), listAt(before, list), `spec.${list}`));
    if (others.length > 0) return [...errors, ...others];
    errors.push(...removalErrors(after, before, "spec.resources"));
    for (const list of LISTS)
      for (const [at, container] of listAt(after, list).entries())
        errors.push(...removalErrors(container, listAt(before, list)[at] as Json, `spec.${list}[${at}].resources`));
    if (!deepEqual(withoutAmounts(after), withoutAmounts(before)))
      errors.push(fieldForbidden("spec", "only cpu and memory resources are mutable"));
    return errors;
  },
};

const isSameList = (now: readonly Json[], before: readonly Json[]) =>
  now.length === before.length && now.every(({ name }, at) => name === before[at]?.["name"]);

function listErrors(now: readonly Json[], before: readonly Json[], path: string): FieldError[] {
  if (now.length !== before.length) return [fieldForbidden(path, "containers may not be added or removed on resize")];
  return now.flatMap(({ name }, at) =>
    name === before[at]?.["name"]
      ? []
      : [fieldForbidden(`${path}[${at}].name`, "containers may not be renamed or reordered on resize")],
  );
}

function resized(before: Json, sent: Json): Json {
  const result: Record<string, unknown> = { ...before };
  for (const part of RESIZED) {
    if (sent[part] === undefined) delete result[part];
    else result[part] = sent[part];
  }
  return result;
}

/** What was asked for or limited stays so. */
function removalErrors(after: Json, before: Json, path: string): FieldError[] {
  return ["limits", "requests"].flatMap((part) => {
    const [now, then] = [after, before].map((one) => Object.keys((valueAt(one, `resources.${part}`) ?? {}) as Json));
    const isLess = then?.some((name) => (name === "cpu" || name === "memory") && now?.includes(name) !== true);
    return isLess === true ? [fieldForbidden(`${path}.${part}`, `resource ${part} cannot be removed`)] : [];
  });
}

/** A spec without the amounts of processor and memory of it and its containers. */
function withoutAmounts(spec: Json): Json {
  const { resources: _whole, ...result } = { ...spec } as Record<string, unknown>;
  for (const list of LISTS)
    if (spec[list] !== undefined)
      result[list] = listAt(spec, list).map((container) => {
        const resources = (container["resources"] ?? {}) as Json;
        const others = ["limits", "requests"].map((part) => {
          const { cpu: _cpu, memory: _memory, ...rest } = (resources[part] ?? {}) as Json;
          return rest;
        });
        return { ...container, resources: { ...resources, limits: others[0], requests: others[1] } };
      });
  return result;
}

export const podParts: Readonly<Record<string, WrittenPart>> = { ephemeralcontainers: ephemeralContainers, resize };
