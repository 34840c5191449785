import { stringify } from "yaml";
import type { AggregatedItem, Interpreter, Operation } from "#interpreter";
import type { KubeObject } from "#machinery";
import { readDocuments, readObject } from "./load.ts";

export const OPERATIONS: readonly Operation[] = [
  "Retain",
  "InterpretReplica",
  "InterpretComponent",
  "ReviseReplica",
  "InterpretStatus",
  "AggregateStatus",
  "InterpretHealth",
  "InterpretDependency",
];

/** What an execution is given, as flags name it. */
export interface Given {
  readonly desired?: string;
  readonly observed?: string;
  readonly status?: string;
  readonly replicas: number;
  readonly nowMs: number;
}

export function operationOf(text: string | undefined): Operation {
  if (!text) throw new Error("operation is not set for executing");
  const found = OPERATIONS.find((operation) => operation.toLowerCase() === text.toLowerCase());
  if (found === undefined) throw new Error(`operation ${text} is not supported. Use one of: ${OPERATIONS.join(", ")}`);
  return found;
}

function oneObject({ desired, observed }: Given): KubeObject {
  if (desired === undefined && observed === undefined)
    throw new Error("desired-file, observed-file options are not set");
  if (desired !== undefined && observed !== undefined)
    throw new Error("you can not specify both desired-file and observed-file options");
  return readObject(desired ?? observed ?? "");
}

function bothObjects({ desired, observed }: Given): readonly [desired: KubeObject, observed: KubeObject] {
  if (desired === undefined || observed === undefined)
    throw new Error(
      desired === undefined
        ? "desired, desired-file options are not set"
        : "observed, observed-file options are not set",
    );
  return [readObject(desired), readObject(observed)];
}

type Results = readonly (readonly [name: string, value: unknown])[];

/**
 * Reads what an operation needs, and gives what runs it. Wrong inputs are errors of the command; what running throws is a
 * failure of the rule.
 */
export function prepare(operation: Operation, interpreter: Interpreter, given: Given): () => Results {
  const enabled = <T>(object: KubeObject, run: () => T): T => {
    if (!interpreter.hasHook(object, operation)) throw new Error("rule is not enabled");
    return run();
  };
  if (operation === "Retain") {
    const [desired, observed] = bothObjects(given);
    return () => enabled(desired, () => [["retained", interpreter.retain(desired, observed)]]);
  }
  const object = oneObject(given);
  switch (operation) {
    case "InterpretReplica":
      return () =>
        enabled(object, () => {
          const found = interpreter.replicas(object);
          return [
            ["replica", found?.replica],
            ["requires", found?.requirements],
          ];
        });
    case "InterpretComponent":
      return () => enabled(object, () => [["components", interpreter.components(object)]]);
    case "ReviseReplica":
      return () => enabled(object, () => [["revised", interpreter.revise(object, given.replicas)]]);
    case "InterpretStatus":
      return () => enabled(object, () => [["status", interpreter.reflect(object)]]);
    case "AggregateStatus": {
      if (given.status === undefined) throw new Error("status-file option is not set");
      const items = readDocuments(given.status) as readonly AggregatedItem[];
      return () =>
        enabled(object, () => [
          ["aggregatedStatus", { ...object, status: interpreter.aggregate(object, items, given.nowMs) }],
        ]);
    }
    case "InterpretHealth":
      return () => enabled(object, () => [["healthy", interpreter.health(object)]]);
    case "InterpretDependency":
      return () => enabled(object, () => [["dependencies", interpreter.dependencies(object)]]);
  }
}

export function resultsText(results: Results, format: string): string {
  if (format === "json") return `${JSON.stringify(Object.fromEntries(results), null, 2)}\n`;
  if (format !== "" && format !== "yaml") throw new Error(`--output: ${JSON.stringify(format)} must be yaml or json`);
  return results
    .map(
      ([name, value], at) =>
        `---\n# [${at + 1}/${results.length}] ${name}:\n${value === undefined ? "" : stringify(value)}`,
    )
    .join("");
}
