import { type AnyBinding, Cluster, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import type { FrontAnswer, FrontRequest, ResourcePath, User } from "#apiserver";
import type { Clock } from "#base";
import type { Client } from "#client";
import { apiError, badRequest, requestEntityTooLarge } from "#machinery";
import {
  type Decision,
  type DecisionLog,
  decisionKey,
  explainLive,
  type LiveParts,
  type ScheduleCause,
  type SimulationOptions,
} from "#scheduler";
import type { LeaderAnswer } from "./ask-leader.ts";

/** The subresource of bindings that says why they are where they are. */
export const DECISION_SUBRESOURCE = "decision";

/** Answer of `GET …/resourcebindings/NAME/decision`. */
export interface SchedulingDecision {
  readonly apiVersion: "flotilla.io/v1alpha1";
  readonly kind: "SchedulingDecision";
  readonly metadata: { readonly name: string; readonly namespace?: string };
  /** `kept`: what the scheduler decided last; `computed`: what it would decide now, since nothing is kept or `fresh` was asked. */
  readonly source: "kept" | "computed";
  /** The scheduler the binding is handed to, where that is not the server's own. */
  readonly scheduler?: string;
  /** Whether the binding has not changed since. */
  readonly isCurrent: boolean;
  readonly decision?: Decision;
  /** Why there is none. */
  readonly error?: string;
  /** Why a replica answers that decides nothing itself: which one leads, and what is with it. */
  readonly leader?: string;
}

export interface DecisionApiParts extends LiveParts {
  readonly decisions: DecisionLog;
  /** What schedulers of their own have told. */
  readonly told: DecisionLog;
  /** Name of the server's own scheduler. */
  readonly schedulerName: string;
  readonly client: Client;
  readonly clock: Clock;
  readonly options: Omit<SimulationOptions, "nowMs">;
  /** Asks the replica whose scheduler decides; absent where that is this one. */
  readonly askLeader?: (request: FrontRequest, user: User, body: Buffer) => Promise<LeaderAnswer | undefined>;
}

/** Answers for the `decision` subresource of bindings of both kinds; `undefined` for all else. It writes nothing. */
export async function answerDecision(
  parts: DecisionApiParts,
  request: FrontRequest,
  path: ResourcePath,
  user: User,
): Promise<FrontAnswer | undefined> {
  if (path.subresource !== DECISION_SUBRESOURCE || path.group !== "work.karmada.io") return undefined;
  const kinds = [ResourceBinding, ClusterResourceBinding] as const;
  const kind = kinds.find(({ resource }) => resource === path.resource);
  if (kind === undefined) return undefined;
  if (request.method !== "GET" && request.method !== "PUT")
    throw apiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
  const { client, clock, schedulerName } = parts;
  const body = request.method === "PUT" ? await request.body() : Buffer.alloc(0);
  const led = await parts.askLeader?.(request, user, body);
  if (led?.kind === "answered") return led.answer;
  const name = path.name ?? "";
  const at = { namespace: path.namespace, name };
  const binding = (await client.get(kind as typeof ResourceBinding, at)) as AnyBinding;
  const scheduler = binding.spec.schedulerName || DEFAULT_SCHEDULER;
  const isOther = scheduler !== schedulerName;
  if (request.method === "PUT") {
    if (!isOther) throw badRequest(`the binding is handed to the server's own scheduler ${JSON.stringify(scheduler)}`);
    const decision = readDecision(body, decisionKey(binding));
    parts.told.keep(decision);
    return json({ ...headOf(path, name), source: "kept", scheduler, isCurrent: true, decision });
  }
  const decisions = isOther ? parts.told : parts.decisions;
  const isFresh = new URL(request.url, "http://localhost").searchParams.get("fresh") === "true";
  const kept = isFresh ? undefined : decisions.get(decisionKey(binding));
  const head = {
    ...headOf(path, name),
    ...(isOther ? { scheduler } : {}),
    ...(led === undefined ? {} : { leader: led.why }),
  };
  if (kept !== undefined) {
    // Writing the result made a new generation by itself; what counts is whether the scheduler has seen this one.
    const isCurrent = binding.status?.schedulerObservedGeneration === binding.metadata.generation;
    return json({ ...head, source: "kept", isCurrent, decision: kept });
  }
  // Lists may leave out what each item is.
  const all = async (of: (typeof kinds)[number]) =>
    (await client.list(of as typeof ResourceBinding)).items.map((item) => ({ ...item, kind: of.kind }) as AnyBinding);
  const [clusters, bindings] = await Promise.all([client.list(Cluster), Promise.all(kinds.map(all))]);
  const snapshot = { clusters: clusters.items, bindings: bindings.flat() };
  const answer = await explainLive(binding, snapshot, { ...parts.options, nowMs: clock.now() }, parts);
  return json({ ...head, source: "computed", isCurrent: true, ...answer });
}

const DEFAULT_SCHEDULER = "default-scheduler";

const headOf = ({ namespace }: ResourcePath, name: string) =>
  ({
    apiVersion: "flotilla.io/v1alpha1",
    kind: "SchedulingDecision",
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
  }) as const;

const DECISION_BYTES_MAX = 1024 * 1024;
const CAUSES: ReadonlySet<unknown> = new Set<ScheduleCause>([
  "placement",
  "replicas",
  "trigger",
  "always",
  "terminating",
]);

/** A decision somebody tells of a binding: what is shown of it must be there. Throws with the field's name. */
function readDecision(body: Buffer, key: string): Decision {
  if (body.length > DECISION_BYTES_MAX) throw requestEntityTooLarge(`limit is ${DECISION_BYTES_MAX}`);
  let given: unknown;
  try {
    given = JSON.parse(body.toString("utf8"));
  } catch {
    throw badRequest("the body is no JSON");
  }
  const decision = (given as { readonly decision?: unknown } | null)?.decision;
  if (typeof decision !== "object" || decision === null) throw badRequest("decision: must be an object");
  const of = decision as Readonly<Record<string, unknown>>;
  const must = (field: string, isGood: boolean, what: string) => {
    if (!isGood) throw badRequest(`decision.${field}: must be ${what}`);
  };
  const isCount = (value: unknown) => Number.isInteger(value) && (value as number) >= 0;
  const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
  const isObjects = (value: unknown) => isList(value) && value.every((one) => typeof one === "object" && one !== null);
  const isName = (value: unknown) => typeof value === "string";
  must("binding", of["binding"] === key, JSON.stringify(key));
  must("time", isName(of["time"]), "a time");
  must("generation", isCount(of["generation"]), "a whole number");
  must("clusters", isCount(of["clusters"]), "a whole number");
  must("cause", CAUSES.has(of["cause"]), `one of ${[...CAUSES].join(", ")}`);
  must("terms", isObjects(of["terms"]), "a list of objects");
  for (const [at, term] of (of["terms"] as readonly Readonly<Record<string, unknown>>[]).entries()) {
    must(`terms[${at}].refused`, isObjects(term["refused"]), "a list of objects");
    must(`terms[${at}].candidates`, isObjects(term["candidates"]), "a list of objects");
    const { selected } = term;
    must(`terms[${at}].selected`, isList(selected) && selected.every(isName), "a list of names");
  }
  if (of["result"] !== undefined) must("result", isObjects(of["result"]), "a list of objects");
  return decision as Decision;
}

const json = (value: SchedulingDecision): FrontAnswer => ({
  status: 200,
  headers: { "content-type": "application/json" },
  body: Buffer.from(JSON.stringify(value)),
});
