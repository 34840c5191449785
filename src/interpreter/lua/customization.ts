import type { ResourceInterpreterCustomization } from "#apis/karmada";
import { compileLabelSelector, type KubeObject, type LabelSelector } from "#machinery";
import type { RuleSource } from "../interpreter.ts";
import type { Dependency, Json, KindRules, Operation } from "../rules.ts";
import { settleEmpties } from "./convert.ts";
import type { LuaEngine, LuaResult } from "./engine.ts";
import { LuaError, LuaLimitError } from "./errors.ts";

type Rule = keyof ResourceInterpreterCustomization["spec"]["customizations"];

/** The rules of a customization: what each is called, which operation it answers, and which Lua function it must define. */
export const CUSTOMIZATION_RULES: readonly {
  readonly rule: Rule;
  readonly operation: Operation;
  readonly function: string;
}[] = [
  { rule: "retention", operation: "Retain", function: "Retain" },
  { rule: "replicaResource", operation: "InterpretReplica", function: "GetReplicas" },
  { rule: "componentResource", operation: "InterpretComponent", function: "GetComponents" },
  { rule: "replicaRevision", operation: "ReviseReplica", function: "ReviseReplica" },
  { rule: "statusReflection", operation: "InterpretStatus", function: "ReflectStatus" },
  { rule: "statusAggregation", operation: "AggregateStatus", function: "AggregateStatus" },
  { rule: "healthInterpretation", operation: "InterpretHealth", function: "InterpretHealth" },
  { rule: "dependencyInterpretation", operation: "InterpretDependency", function: "GetDependencies" },
];

/** A customization whose script was stopped for using too much. */
export interface CustomizationTrouble {
  readonly customization: ResourceInterpreterCustomization;
  readonly operation: Operation;
  readonly message: string;
  /** How long its calls fail at once. */
  readonly pauseMs: number;
}

export interface CustomizationOptions {
  readonly engine: LuaEngine;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly onTrouble?: (trouble: CustomizationTrouble) => void;
}

/** Rules of ResourceInterpreterCustomizations. */
export interface Customizations {
  readonly source: RuleSource;
  /** Replaces what is known; the next call sees it. */
  set(customizations: readonly ResourceInterpreterCustomization[]): void;
}

interface Script {
  readonly customization: ResourceInterpreterCustomization;
  readonly text: string;
}

const PAUSE_FIRST_MS = 1_000;
const PAUSE_MOST_MS = 300_000;

export function createCustomizations(options: CustomizationOptions): Customizations {
  let kinds: ReadonlyMap<string, KindRules> = new Map();
  let breaker = new Breaker(options);
  return {
    source: (apiVersion, kind) => kinds.get(`${apiVersion}/${kind}`),
    set(customizations) {
      const byKind = new Map<string, ResourceInterpreterCustomization[]>();
      for (const customization of customizations) {
        const { apiVersion, kind } = customization.spec.target;
        const key = `${apiVersion}/${kind}`;
        byKind.set(key, [...(byKind.get(key) ?? []), customization]);
      }
      breaker = breaker.keeping(customizations);
      kinds = new Map(
        [...byKind].map(([key, own]) => [
          key,
          rulesOf(
            own.sort((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1)),
            breaker,
          ),
        ]),
      );
    },
  };
}

/** Calls scripts; one that was stopped is left alone for a while, so that it cannot slow the others again and again. */
class Breaker {
  readonly #options: CustomizationOptions;
  readonly #paused = new Map<string, { readonly untilMs: number; readonly pauseMs: number }>();

  constructor(options: CustomizationOptions) {
    this.#options = options;
  }

  /** A breaker that remembers only scripts that are still there. */
  keeping(customizations: readonly ResourceInterpreterCustomization[]): Breaker {
    const next = new Breaker(this.#options);
    const texts = new Set(customizations.flatMap(({ spec }) => scriptsOf(spec.customizations)));
    for (const [text, pause] of this.#paused) if (texts.has(text)) next.#paused.set(text, pause);
    return next;
  }

  call(script: Script, operation: Operation, name: string, given: readonly unknown[], wanted = 1): LuaResult {
    const { engine, now, onTrouble } = this.#options;
    const paused = this.#paused.get(script.text);
    if (paused !== undefined && now() < paused.untilMs)
      throw new LuaLimitError(
        `the ${operation} script of ResourceInterpreterCustomization(${script.customization.metadata.name}) used more than its share and is paused`,
      );
    try {
      const result = engine.call(script.text, name, given, wanted);
      if (paused !== undefined) this.#paused.delete(script.text);
      return result;
    } catch (error) {
      if (error instanceof LuaLimitError) {
        const pauseMs = Math.min(paused === undefined ? PAUSE_FIRST_MS : paused.pauseMs * 2, PAUSE_MOST_MS);
        this.#paused.set(script.text, { untilMs: now() + pauseMs, pauseMs });
        onTrouble?.({ customization: script.customization, operation, message: error.message, pauseMs });
      }
      throw error;
    }
  }
}

const scriptsOf = (customizations: ResourceInterpreterCustomization["spec"]["customizations"]) =>
  Object.values(customizations ?? {}).flatMap((rule) => (rule?.luaScript ? [rule.luaScript] : []));

const TYPE_NUMBERS: Readonly<Record<string, number>> = {
  nil: 0,
  boolean: 1,
  number: 2,
  string: 3,
  function: 4,
  table: 7,
};

function tableOf(result: LuaResult, called: string): void {
  const [type = "nil"] = result.types;
  if (type !== "table") throw new LuaError(`expect the returned ${called} type is table but got ${type}`);
}

const mustBe = (result: LuaResult, type: "number" | "boolean") => {
  const [given = "nil"] = result.types;
  if (given !== type)
    throw new LuaError(`result type ${TYPE_NUMBERS[given]} is not ${type === "boolean" ? "bool" : type}`);
};

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A returned object; its empty tables are what they were in the objects that were given. */
function objectOf(result: LuaResult, references: readonly unknown[], called: string): KubeObject {
  tableOf(result, called);
  const object = settleEmpties(result.values[0], references);
  if (!isObject(object)) throw new LuaError(`expect the returned ${called} is an object`);
  return object as unknown as KubeObject;
}

/** A returned list; an empty table is an empty list. */
function listOf(result: LuaResult, called: string): readonly Json[] {
  tableOf(result, called);
  const list = settleEmpties(result.values[0], []) ?? [];
  if (!Array.isArray(list) || !list.every(isObject))
    throw new LuaError(`expect the returned ${called} is a list of objects`);
  return list;
}

/** Checks what a rule says an object depends on. Throws at the first entry that names nothing. */
export function verifiedDependencies(found: readonly Json[]): readonly Dependency[] {
  for (const [at, entry] of found.entries()) {
    const wrong = (reason: string): never => {
      throw new Error(`dependencies[${at}]: Invalid value: ${JSON.stringify(entry)}: ${reason}`);
    };
    for (const field of ["apiVersion", "kind", "namespace", "name"])
      if (entry[field] !== undefined && typeof entry[field] !== "string") wrong(`${field} must be a string`);
    if (!entry["apiVersion"]) wrong("dependency missing required apiVersion");
    if (!entry["kind"]) wrong("dependency missing required kind");
    if (!entry["name"] && entry["labelSelector"] === undefined)
      wrong("dependency can not leave name and labelSelector all empty");
    if (entry["labelSelector"] !== undefined)
      try {
        compileLabelSelector(entry["labelSelector"] as LabelSelector);
      } catch (error) {
        wrong(`invalid labelSelector: ${error instanceof Error ? error.message : String(error)}`);
      }
  }
  return found as unknown as readonly Dependency[];
}

/** Dependencies of several rules: without repetitions, in order; entries with a selector are never equal. */
function united(lists: readonly (readonly Dependency[])[]): readonly Dependency[] {
  const key = ({ apiVersion, kind, namespace = "", name = "" }: Dependency) =>
    [apiVersion, kind, namespace, name].join("\u0000");
  const seen = new Set<string>();
  return lists
    .flat()
    .filter((entry) => {
      if (entry.labelSelector !== undefined) return true;
      const own = key(entry);
      return seen.has(own) ? false : seen.add(own);
    })
    .sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

const REPLICAS_MAX = 2 ** 31 - 1;

/** A number of replicas; a fraction is cut off. Throws what can be none. */
export function countOf(value: number): number {
  const count = Math.trunc(value);
  if (!(count >= 0 && count <= REPLICAS_MAX))
    throw new LuaError(`${value} is no number of replicas: it must lie between 0 and ${REPLICAS_MAX}`);
  return count;
}

/** The rules of one kind; of several customizations the first by name that has a script answers. */
function rulesOf(customizations: readonly ResourceInterpreterCustomization[], breaker: Breaker): KindRules {
  const all = (rule: Rule): readonly Script[] =>
    customizations.flatMap((customization) => {
      const text = customization.spec.customizations?.[rule]?.luaScript;
      return text ? [{ customization, text }] : [];
    });
  const first = <P extends keyof KindRules>(rule: Rule, part: P, make: (script: Script) => KindRules[P]) => {
    const [script] = all(rule);
    return script === undefined ? {} : { [part]: make(script) };
  };
  const dependencies = all("dependencyInterpretation");
  return {
    ...first(
      "retention",
      "retain",
      (script) => (desired, observed) =>
        objectOf(breaker.call(script, "Retain", "Retain", [desired, observed]), [desired, observed], "retained object"),
    ),
    ...first("replicaResource", "replicas", (script) => (object) => {
      const result = breaker.call(script, "InterpretReplica", "GetReplicas", [object], 2);
      mustBe(result, "number");
      const [, type = "nil"] = result.types;
      if (type !== "nil" && type !== "table")
        throw new LuaError(`expect the returned requires type is table but got ${type}`);
      const requirements = type === "nil" ? undefined : (settleEmpties(result.values[1], []) ?? {});
      if (requirements !== undefined && !isObject(requirements))
        throw new LuaError("expect the returned requires is an object");
      return { replica: countOf(result.values[0] as number), requirements };
    }),
    ...first("componentResource", "components", (script) => (object) => {
      const result = breaker.call(script, "InterpretComponent", "GetComponents", [object]);
      return result.types[0] === "nil" ? undefined : listOf(result, "components");
    }),
    ...first(
      "replicaRevision",
      "revise",
      (script) => (object, count) =>
        objectOf(breaker.call(script, "ReviseReplica", "ReviseReplica", [object, count]), [object], "requires"),
    ),
    ...first("statusReflection", "reflect", (script) => (object) => {
      const result = breaker.call(script, "InterpretStatus", "ReflectStatus", [object]);
      tableOf(result, "replica");
      return (settleEmpties(result.values[0], []) ?? {}) as Json;
    }),
    ...first("statusAggregation", "aggregate", (script) => (object, items) => {
      const result = breaker.call(script, "AggregateStatus", "AggregateStatus", [object, items]);
      return objectOf(result, [], "aggregated object")["status" as never] as Json | undefined;
    }),
    ...first("healthInterpretation", "health", (script) => (object) => {
      const result = breaker.call(script, "InterpretHealth", "InterpretHealth", [object]);
      mustBe(result, "boolean");
      return result.values[0] as boolean;
    }),
    ...(dependencies.length === 0
      ? {}
      : {
          dependencies: (object: KubeObject) =>
            united(
              dependencies.map((script) =>
                verifiedDependencies(
                  listOf(breaker.call(script, "InterpretDependency", "GetDependencies", [object]), "requires"),
                ),
              ),
            ),
        }),
  };
}
