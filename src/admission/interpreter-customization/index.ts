/** Admission of ResourceInterpreterCustomization: one script a kind and operation, and scripts that can be read. */
import { ResourceInterpreterCustomization } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import type { Clock } from "#base";
import type { Client } from "#client";
import { denied } from "../denied.ts";

const WEBHOOK = "resourceinterpretercustomization.karmada.io";

/** Operations in the order they are looked at, with where their script stands. */
const OPERATIONS = [
  ["Retain", "retention"],
  ["InterpretReplica", "replicaResource"],
  ["InterpretComponent", "componentResource"],
  ["ReviseReplica", "replicaRevision"],
  ["InterpretStatus", "statusReflection"],
  ["AggregateStatus", "statusAggregation"],
  ["InterpretHealth", "healthInterpretation"],
  ["InterpretDependency", "dependencyInterpretation"],
] as const;

/** For how long a customization that was let through counts as there although a list does not show it yet. */
const CLAIM_MS = 2000;
const CLAIMS_MAX = 1000;

export interface InterpreterCustomizationOptions {
  readonly client: () => Client;
  readonly clock: Clock;
  /** What is wrong with a script's text; `undefined` when it can be read. Absent: scripts are not looked at. */
  readonly syntaxError?: ((script: string) => string | undefined) | undefined;
}

type Spec = ResourceInterpreterCustomization["spec"];
type Named = Pick<ResourceInterpreterCustomization, "metadata" | "spec">;

const scriptOf = ({ customizations }: Spec, part: (typeof OPERATIONS)[number][1]): string =>
  customizations[part]?.luaScript ?? "";

/** The first operation that another customization does already; dependencies of several add up. */
export function customizationConflict(own: Named, others: readonly Named[]): string | undefined {
  const rivals = others.filter(
    ({ metadata, spec: { target } }) =>
      metadata.name !== own.metadata.name &&
      target.apiVersion === own.spec.target.apiVersion &&
      target.kind === own.spec.target.kind,
  );
  for (const [operation, part] of OPERATIONS) {
    if (operation === "InterpretDependency" || scriptOf(own.spec, part) === "") continue;
    const rival = rivals.find(({ spec }) => scriptOf(spec, part) !== "");
    if (rival !== undefined)
      return `conflicting with InterpreterOperation(${operation}) of existing ResourceInterpreterCustomization(${rival.metadata.name})`;
  }
  return undefined;
}

export function interpreterCustomizationAdmission(options: InterpreterCustomizationOptions): AdmissionPlugin {
  const { client, clock, syntaxError } = options;
  const claims = new Map<string, { readonly claim: Named; readonly untilMs: number }>();
  return {
    name: WEBHOOK,
    handles: ({ definition, operation, subresource }) =>
      definition.kind.group === "config.karmada.io" &&
      definition.kind.resource === "resourceinterpretercustomizations" &&
      operation !== "DELETE" &&
      subresource === undefined,
    async validate({ object, isDryRun }) {
      const own = object as ResourceInterpreterCustomization;
      const { items } = await client().list(ResourceInterpreterCustomization);
      // From here on nothing waits, so that of two that arrive together the second sees the first.
      for (const [name, { untilMs }] of claims) if (untilMs <= clock.now()) claims.delete(name);
      const conflict = customizationConflict(own, [...items, ...[...claims.values()].map(({ claim }) => claim)]);
      if (conflict !== undefined) throw denied(WEBHOOK, conflict);
      for (const [operation, part] of OPERATIONS) {
        const script = scriptOf(own.spec, part);
        const wrong = script === "" ? undefined : syntaxError?.(script);
        if (wrong !== undefined) throw denied(WEBHOOK, `InterpreterOperation(${operation}) Lua script error: ${wrong}`);
      }
      if (!isDryRun && claims.size < CLAIMS_MAX)
        claims.set(own.metadata.name ?? "", { claim: own, untilMs: clock.now() + CLAIM_MS });
    },
  };
}
