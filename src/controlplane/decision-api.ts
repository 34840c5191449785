import { type AnyBinding, Cluster, ClusterResourceBinding, ResourceBinding } from "#apis/karmada";
import type { FrontAnswer, FrontRequest, ResourcePath } from "#apiserver";
import type { Clock } from "#base";
import type { Client } from "#client";
import { apiError } from "#machinery";
import {
  type Decision,
  type DecisionLog,
  decisionKey,
  explainLive,
  type LiveParts,
  type SimulationOptions,
} from "#scheduler";

/** The subresource of bindings that says why they are where they are. */
export const DECISION_SUBRESOURCE = "decision";

/** Answer of `GET …/resourcebindings/NAME/decision`. */
export interface SchedulingDecision {
  readonly apiVersion: "flotilla.io/v1alpha1";
  readonly kind: "SchedulingDecision";
  readonly metadata: { readonly name: string; readonly namespace?: string };
  /** `kept`: what the scheduler decided last; `computed`: what it would decide now, since nothing is kept or `fresh` was asked. */
  readonly source: "kept" | "computed";
  /** Whether the binding has not changed since. */
  readonly isCurrent: boolean;
  readonly decision?: Decision;
  /** Why there is none. */
  readonly error?: string;
}

export interface DecisionApiParts extends LiveParts {
  readonly decisions: DecisionLog;
  readonly client: Client;
  readonly clock: Clock;
  readonly options: Omit<SimulationOptions, "nowMs">;
}

/** Answers for the `decision` subresource of bindings of both kinds; `undefined` for all else. It writes nothing. */
export async function answerDecision(
  parts: DecisionApiParts,
  request: FrontRequest,
  path: ResourcePath,
): Promise<FrontAnswer | undefined> {
  if (path.subresource !== DECISION_SUBRESOURCE || path.group !== "work.karmada.io") return undefined;
  const kinds = [ResourceBinding, ClusterResourceBinding] as const;
  const kind = kinds.find(({ resource }) => resource === path.resource);
  if (kind === undefined) return undefined;
  if (request.method !== "GET")
    throw apiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
  const { client, decisions, clock } = parts;
  const name = path.name ?? "";
  const at = { namespace: path.namespace, name };
  const binding = (await client.get(kind as typeof ResourceBinding, at)) as AnyBinding;
  const isFresh = new URL(request.url, "http://localhost").searchParams.get("fresh") === "true";
  const kept = isFresh ? undefined : decisions.get(decisionKey(binding));
  const head = {
    apiVersion: "flotilla.io/v1alpha1",
    kind: "SchedulingDecision",
    metadata: { name, ...(path.namespace === undefined ? {} : { namespace: path.namespace }) },
  } as const;
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

const json = (value: SchedulingDecision): FrontAnswer => ({
  status: 200,
  headers: { "content-type": "application/json" },
  body: Buffer.from(JSON.stringify(value)),
});
