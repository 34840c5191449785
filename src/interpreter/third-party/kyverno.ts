/** Kyverno: policies. */
import { number, reported, statusOf } from "../parts.ts";
import type { KindRules } from "../rules.ts";
import { isReadyFor, mergeConditions } from "./gather.ts";

const COUNTS = ["validate", "generate", "mutate", "verifyimages"];

const policy: KindRules = {
  aggregate: (_object, items) => {
    const rulecount: Record<string, number> = {};
    let ready: unknown;
    let autogen: unknown;
    for (const { status } of reported(items)) {
      const counts = status?.["rulecount"] as Readonly<Record<string, unknown>> | undefined;
      if (counts === undefined) throw new Error("attempt to index field 'rulecount' (a nil value)");
      for (const name of COUNTS) {
        if (typeof counts[name] !== "number")
          throw new Error(`attempt to perform arithmetic on field '${name}' (a nil value)`);
        rulecount[name] = (rulecount[name] ?? 0) + number(counts[name]);
      }
      ready = status?.["ready"] ?? ready;
      autogen = status?.["autogen"] ?? autogen;
    }
    if (reported(items).length === 0) for (const name of COUNTS) rulecount[name] = 0;
    const conditions = mergeConditions(items);
    return {
      rulecount,
      ...(conditions.length === 0 ? {} : { conditions }),
      ...(ready === undefined ? {} : { ready }),
      ...(autogen === undefined ? {} : { autogen }),
    };
  },
  reflect: (object) => {
    const status = statusOf(object) ?? {};
    return Object.fromEntries(
      ["ready", "conditions", "autogen", "rulecount"]
        .filter(
          (field) =>
            status[field] !== undefined &&
            status[field] !== null &&
            !(typeof status[field] === "object" && Object.keys(status[field] as object).length === 0),
        )
        .map((field) => [field, status[field]]),
    );
  },
  health: (object) => {
    const ready = statusOf(object)?.["ready"];
    return typeof ready === "boolean" ? ready : isReadyFor(object, "Succeeded");
  },
};

export const kyvernoKinds: Readonly<Record<string, KindRules>> = {
  "kyverno.io/v1/ClusterPolicy": policy,
  "kyverno.io/v1/Policy": policy,
};
