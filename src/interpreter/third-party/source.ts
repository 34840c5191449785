import type { RuleSource } from "../interpreter.ts";
import type { KindRules } from "../rules.ts";
import { batchKinds } from "./batch.ts";
import { flinkKinds } from "./flink.ts";
import { fluxKinds } from "./flux.ts";
import { kruiseKinds } from "./kruise.ts";
import { kubeflowKinds } from "./kubeflow.ts";
import { kyvernoKinds } from "./kyverno.ts";
import { rayKinds } from "./ray.ts";
import { sparkKinds } from "./spark.ts";

export const thirdPartyKinds: Readonly<Record<string, KindRules>> = {
  ...batchKinds,
  ...flinkKinds,
  ...fluxKinds,
  ...kruiseKinds,
  ...kubeflowKinds,
  ...kyvernoKinds,
  ...rayKinds,
  ...sparkKinds,
};

/** A value without members that are null, at any depth: to these rules they are not there. The same value where there are none. */
function withoutNulls<T>(value: T): T {
  if (Array.isArray(value)) {
    const items = value.map(withoutNulls);
    return items.every((item, at) => item === value[at]) ? value : (items as T);
  }
  if (typeof value !== "object" || value === null) return value;
  let isSame = true;
  const members: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    if (member === null) {
      isSame = false;
      continue;
    }
    const kept: unknown = withoutNulls(member);
    members[key] = kept;
    if (kept !== member) isSame = false;
  }
  return isSame ? value : (members as T);
}

function overNulls(rules: KindRules): KindRules {
  const { replicas, components, retain, aggregate, dependencies, reflect, health } = rules;
  return {
    ...rules,
    ...(replicas && { replicas: (object) => replicas(withoutNulls(object)) }),
    ...(components && { components: (object) => components(withoutNulls(object)) }),
    ...(retain && { retain: (desired, observed) => retain(desired, withoutNulls(observed)) }),
    ...(aggregate && {
      aggregate: (object, items, nowMs) => aggregate(withoutNulls(object), withoutNulls(items), nowMs),
    }),
    ...(dependencies && { dependencies: (object) => dependencies(withoutNulls(object)) }),
    ...(reflect && { reflect: (object) => reflect(withoutNulls(object)) }),
    ...(health && { health: (object) => health(withoutNulls(object)) }),
  };
}

const rules = new Map(Object.entries(thirdPartyKinds).map(([key, ofKind]) => [key, overNulls(ofKind)]));

/** Rules for kinds of other projects; they stand before the native ones. */
export const thirdPartySource: RuleSource = (apiVersion, kind) => rules.get(`${apiVersion}/${kind}`);
