/** Runs interpreter vectors. Sources and operations nobody answers here are skipped. */
import {
  bindingName,
  bindingReferenceKey,
  workName,
  type AnyBinding,
  type ResourceInterpreterCustomization,
  type Work,
} from "#apis/karmada";
import {
  createInterpreter,
  type AggregatedItem,
  createCustomizations,
  createLuaEngine,
  type Interpreter,
  nativeSource,
  type Operation,
  planBindingStatus,
  pruneManifest,
  recordManaged,
  retainMetadata,
  thirdPartySource,
} from "#interpreter";
import type { KubeObject } from "#machinery";
import { divideByWeight } from "#scheduler";
import { differenceOf } from "./compare.ts";
import type { VectorResult } from "./scheduling.ts";

interface Vector {
  readonly name: string;
  readonly interpreter?: string;
  readonly operation: string;
  readonly unordered?: boolean;
  readonly input: {
    readonly customizations?: readonly ResourceInterpreterCustomization[];
    readonly object: KubeObject;
    readonly replica: number;
    readonly desired: KubeObject;
    readonly observed: KubeObject;
    readonly statusItems?: readonly AggregatedItem[];
    readonly gvk: { readonly apiVersion: string; readonly kind: string };
    readonly kind: string;
    readonly name: string;
    readonly namespace?: string;
    readonly total: number;
    readonly clusters: readonly { readonly name: string; readonly replicas: number }[];
    readonly uid?: string;
    readonly binding: AnyBinding;
    readonly works: readonly Work[];
  };
  readonly expected: Readonly<Record<string, unknown>>;
}

const OPERATIONS: readonly Operation[] = [
  "InterpretReplica",
  "InterpretComponent",
  "ReviseReplica",
  "Retain",
  "AggregateStatus",
  "InterpretDependency",
  "InterpretStatus",
  "InterpretHealth",
];
const native = createInterpreter([nativeSource]);
const thirdParty = createInterpreter([thirdPartySource]);

const engine = createLuaEngine({ now: () => Date.now() / 1000 });

/** Customizations answer in front of nothing: what they do not cover has no rule. */
function customized(customizations: readonly ResourceInterpreterCustomization[]): Interpreter {
  const own = createCustomizations({ engine, now: () => Date.now() });
  own.set(customizations);
  return createInterpreter([own.source]);
}

function run({ operation, input, interpreter: source }: Vector): unknown {
  const interpreter =
    source === "lua" ? customized(input.customizations ?? []) : source === "thirdparty" ? thirdParty : native;
  const { object } = input;
  const none = (of: { readonly apiVersion: string; readonly kind: string }) =>
    OPERATIONS.includes(operation as Operation) && !interpreter.hasHook(of, operation as Operation);
  if (operation !== "HookEnabled" && (object ?? input.desired) !== undefined && none(object ?? input.desired))
    return { enabled: false };
  switch (operation) {
    case "HookEnabled":
      return Object.fromEntries(OPERATIONS.map((name) => [name, interpreter.hasHook(input.gvk, name)]));
    case "InterpretReplica": {
      const found = interpreter.replicas(object);
      return { replica: found?.replica, requires: found?.requirements };
    }
    case "InterpretComponent":
      return { components: interpreter.components(object) };
    case "ReviseReplica":
      return { revised: interpreter.revise(object, input.replica) };
    case "Retain":
      return { retained: interpreter.retain(input.desired, input.observed) };
    case "AggregateStatus":
      return { status: interpreter.aggregate(object, input.statusItems) };
    case "InterpretDependency": {
      const key = (entry: {
        readonly apiVersion: string;
        readonly kind: string;
        readonly namespace?: string;
        readonly name?: string;
      }) => [entry.apiVersion, entry.kind, entry.namespace, entry.name].join("\u0000");
      return { dependencies: [...(interpreter.dependencies(object) ?? [])].sort((a, b) => (key(a) < key(b) ? -1 : 1)) };
    }
    case "InterpretStatus":
      return { status: interpreter.reflect(object) };
    case "InterpretHealth":
      return { healthy: interpreter.health(object) };
    case "Prune":
      return { pruned: pruneManifest(object) };
    case "RetainMetadata":
      return { retained: retainMetadata(input.desired, input.observed) };
    case "RecordManaged":
      return { recorded: recordManaged(object) };
    case "Names":
      return {
        binding: bindingName(input.kind, input.name),
        work: workName(input.kind, input.name, input.namespace ?? ""),
        bindingReferenceKey: bindingReferenceKey(input.namespace, bindingName(input.kind, input.name)),
      };
    case "DivideCompletions": {
      const divided = divideByWeight(
        input.total,
        input.clusters.map(({ name, replicas }) => ({ name, weight: replicas })),
        input.uid ?? "",
      );
      return { completions: divided.map(({ name, replicas }) => ({ name, ...(replicas === 0 ? {} : { replicas }) })) };
    }
    case "AggregateBindingStatus": {
      const { status, isChanged } = planBindingStatus(input.binding, input.works, Date.now());
      const { kind, metadata } = input.binding;
      const what =
        kind === "ClusterResourceBinding"
          ? `ClusterResourceBinding(${metadata.name})`
          : `ResourceBinding(${metadata.namespace}/${metadata.name})`;
      return {
        status,
        events: isChanged ? [`Normal AggregateStatusSucceed Update ${what} with AggregatedStatus successfully.`] : [],
      };
    }
    default:
      return undefined;
  }
}

/** No status and an empty one are the same: only `.status` of a result is ever written. */
function withoutEmptyStatus(result: unknown): unknown {
  const { status, ...rest } = result as { readonly status?: unknown };
  const isEmpty = typeof status === "object" && status !== null && Object.keys(status).length === 0;
  return isEmpty ? rest : result;
}

export const adapter = {
  format: "interpreter",
  accepts: (file: unknown): boolean =>
    Array.isArray(file) &&
    file.length > 0 &&
    typeof (file[0] as Vector).operation === "string" &&
    !["ApplyOverrides", "EnsureWorks", "MatchPolicy"].includes((file[0] as Vector).operation),
  run(_file: unknown, vector: Vector): VectorResult {
    const { name, expected } = vector;
    if (!["native", "thirdparty", "lua", undefined].includes(vector.interpreter))
      return { name, outcome: "skipped", detail: `nothing here answers for ${vector.interpreter} rules` };
    let actual: unknown;
    try {
      actual = run(vector);
    } catch (error) {
      if ("error" in expected) return { name, outcome: "passed" };
      return { name, outcome: "failed", detail: error instanceof Error ? (error.stack ?? "") : String(error) };
    }
    if (actual === undefined) return { name, outcome: "skipped", detail: `nothing here answers ${vector.operation}` };
    const isDisabled = (actual as { readonly enabled?: boolean }).enabled === false;
    if ("error" in expected && isDisabled) return { name, outcome: "passed" };
    if ("error" in expected)
      return {
        name,
        outcome: "failed",
        detail: `must fail with ${JSON.stringify(expected["error"])}, gave ${JSON.stringify(actual)}`,
      };
    const detail = differenceOf(withoutEmptyStatus(expected), withoutEmptyStatus(actual), {
      isUnordered: vector.unordered ?? false,
      ignoresEmpty: vector.interpreter === "native",
    });
    return detail === undefined
      ? { name, outcome: "passed" }
      : { name, outcome: "failed", detail: `${vector.operation} ${detail}` };
  },
};
