import type { KubeObject } from "#machinery";
import { AnswerBook, type Answers, Unanswered } from "./answers.ts";
import { nativeKinds } from "./native/kinds.ts";
import { isMap, statusOf } from "./parts.ts";
import type { AggregatedItem, Dependency, Json, KindRules, Operation, Replicas } from "./rules.ts";

const PARTS: Readonly<Record<Operation, keyof KindRules>> = {
  InterpretReplica: "replicas",
  InterpretComponent: "components",
  ReviseReplica: "revise",
  Retain: "retain",
  AggregateStatus: "aggregate",
  InterpretDependency: "dependencies",
  InterpretStatus: "reflect",
  InterpretHealth: "health",
};

/**
 * Says what objects mean. Every answer is `undefined` where no source has a rule for the kind.
 *
 * Answers that must be fetched, from a webhook, are only to be had within `ask`.
 */
export interface Interpreter {
  hasHook(kind: { readonly apiVersion: string; readonly kind: string }, operation: Operation): boolean;
  replicas(object: KubeObject): Replicas | undefined;
  components(object: KubeObject): readonly Json[] | undefined;
  revise(object: KubeObject, replicas: number): KubeObject;
  retain(desired: KubeObject, observed: KubeObject): KubeObject;
  aggregate(object: KubeObject, items: readonly AggregatedItem[] | undefined, nowMs?: number): Json | undefined;
  /** `aggregate`, and beside it what the template's status holds that no aggregation of its kind speaks of. */
  templateStatus(object: KubeObject, items: readonly AggregatedItem[] | undefined, nowMs?: number): Json | undefined;
  dependencies(object: KubeObject): readonly Dependency[] | undefined;
  reflect(object: KubeObject): Json | undefined;
  health(object: KubeObject): boolean | undefined;
  /**
   * Runs `plan` with an interpreter whose answers may have to be fetched. A plan is pure and may be run several times:
   * it is stopped at the first answer that is not there yet and started anew when it is. A plan that catches errors
   * passes on those `isUnanswered` knows.
   */
  ask<T>(plan: (interpreter: Interpreter) => T): Promise<T>;
}

/** Gives the rules of a kind, or `undefined`. Earlier sources win, operation by operation. */
export type RuleSource = (apiVersion: string, kind: string, answers?: Answers) => KindRules | undefined;

const wholeStatus: NonNullable<KindRules["reflect"]> = (object) =>
  (object as { readonly status?: Json }).status ?? undefined;
const others: KindRules = { reflect: wholeStatus };
const native = new Map(Object.entries(nativeKinds).map(([key, rules]) => [key, { reflect: wholeStatus, ...rules }]));

/** The built-in rules; of every other kind the status is reflected whole. */
export const nativeSource: RuleSource = (apiVersion, kind) => native.get(`${apiVersion}/${kind}`) ?? others;

/** What a rule made of an object, when it is still one: scripts and webhooks may leave anything. */
function whole(made: KubeObject, operation: Operation): KubeObject {
  const missing = !isMap(made)
    ? "it"
    : ((["apiVersion", "kind"] as const).find((field) => typeof made[field] !== "string" || made[field] === "") ??
      (isMap(made.metadata) ? undefined : "metadata"));
  if (missing !== undefined)
    throw new Error(`${operation} leaves no object: ${missing === "it" ? "it is none" : `${missing} is missing`}`);
  return made;
}

/** An interpreter over sources in order of precedence. */
export function createInterpreter(sources: readonly RuleSource[] = [nativeSource]): Interpreter {
  const over = (answers: Answers | undefined): Interpreter => {
    type Kind = { readonly apiVersion: string; readonly kind: string };
    /** The rules of the first source that has this one. */
    const rulesWith = (of: Kind, part: keyof KindRules): KindRules | undefined => {
      for (const source of sources) {
        const found = source(of.apiVersion, of.kind, answers);
        if (found?.[part] !== undefined) return found;
      }
      return undefined;
    };
    const rule = <P extends keyof KindRules>(of: Kind, part: P): KindRules[P] | undefined =>
      rulesWith(of, part)?.[part];
    return {
      hasHook: (kind, operation) => rule(kind, PARTS[operation]) !== undefined,
      replicas: (object) => rule(object, "replicas")?.(object),
      components: (object) => rule(object, "components")?.(object),
      revise: (object, count) => whole(rule(object, "revise")?.(object, count) ?? object, "ReviseReplica"),
      retain: (desired, observed) =>
        whole((rule(desired, "retain") ?? rule(desired, "keep"))?.(desired, observed) ?? desired, "Retain"),
      aggregate: (object, items, nowMs) => rule(object, "aggregate")?.(object, items, nowMs),
      templateStatus(object, items, nowMs) {
        const rules = rulesWith(object, "aggregate");
        const status = rules?.aggregate?.(object, items, nowMs);
        const own = statusOf(object);
        if (rules?.aggregates === undefined || status === undefined || own === undefined) return status;
        const spokenOf = new Set(rules.aggregates);
        return { ...Object.fromEntries(Object.entries(own).filter(([field]) => !spokenOf.has(field))), ...status };
      },
      dependencies: (object) => rule(object, "dependencies")?.(object),
      reflect: (object) => rule(object, "reflect")?.(object),
      health: (object) => rule(object, "health")?.(object),
      async ask(plan) {
        let book: AnswerBook | undefined;
        for (;;)
          try {
            return plan(book === undefined ? direct : over(book));
          } catch (error) {
            if (!(error instanceof Unanswered)) throw error;
            book ??= new AnswerBook();
            await book.fetch(error);
          }
      },
    };
  };
  const direct = over(undefined);
  return direct;
}
