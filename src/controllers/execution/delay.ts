/** What Works say while their changes wait for a member that is slow or turns them away. */
import { Work } from "#apis/karmada";
import { sleep } from "#base";
import { isTooManyRequests, keyOf, type KubeObject, objectKey, type ResourceKind } from "#machinery";
import { type FlowDelay, isMemberBusy, type Member } from "#member";
import type { Context, Memory } from "./context.ts";
import { contentDigest, MANIFEST_DIGEST, type WorkCondition } from "./plan.ts";
import { writeConditions } from "./withdraw.ts";

const DELAYED = "SynchronizationDelayed";

/** Works that stand aside for less go on soon, and a write for each would take the time they wait for. */
const ASIDE_TOLD_MS = 60_000;
const LOOK_MS = 15_000;

/** Whether a member would have done it had it less to do: nothing is wrong with the object. */
export const isTurnedAway = (error: unknown): boolean => isMemberBusy(error) || isTooManyRequests(error);

const isDelayed = (work: Work): boolean =>
  work.status?.conditions?.some(({ type, status }) => type === DELAYED && status === "True") === true;

const conditionOf = ({ reason, message }: FlowDelay): WorkCondition => ({
  type: DELAYED,
  status: "True",
  reason,
  message: `changes wait: ${message}`,
});

/** Of a Work whose member turned it away with `error`. It stays as it was said first: the cause is told once. */
export function delayedCondition(work: Work, member: Member, error: unknown): readonly WorkCondition[] {
  if (isDelayed(work)) return [];
  const reason = isTooManyRequests(error) ? "MemberThrottles" : "MemberBusy";
  const said = error instanceof Error ? error.message : String(error);
  const message = isTooManyRequests(error) ? `the member cluster answers 429: ${said}` : said;
  return [conditionOf(member.flow.delay ?? { reason, message })];
}

/** Of a Work that waited and is carried out. */
export const noLongerDelayed = (work: Work): readonly WorkCondition[] =>
  isDelayed(work)
    ? [{ type: DELAYED, status: "False", reason: "InTime", message: "its changes do not wait any longer" }]
    : [];

/** Looks after the Works that stand aside at a member, as long as there are any. */
export async function watchAside(
  member: Member,
  { watched, untold }: Pick<Memory, "watched" | "untold">,
  context: Context,
): Promise<void> {
  if (watched.has(member)) return;
  watched.add(member);
  const ends = AbortSignal.any([context.signal, member.signal]);
  const seen = new WeakSet<Work>();
  while (member.flow.aside > 0 && !ends.aborted) {
    await sleep(context.clock, LOOK_MS, ends);
    const { delay } = member.flow;
    // A burst keeps a member busy that is well: its Cluster says so, and thousands of Works need not.
    if (ends.aborted || delay === undefined || delay.reason === "MemberBusy") continue;
    for (const key of member.room.late(ASIDE_TOLD_MS)) {
      const work = context.cache(Work).get(key);
      // What waits to be told of a success is told first.
      if (work === undefined || seen.has(work) || untold.has(key)) continue;
      seen.add(work);
      if (!isDelayed(work) && isWaitedFor(work, member)) tell(work, conditionOf(delay), member, context);
    }
  }
  watched.delete(member);
}

function tell(work: Work, condition: WorkCondition, { room }: Member, context: Context): void {
  const { namespace, name = "" } = work.metadata;
  const key = keyOf(work);
  const isAside = () => room.isAside(key);
  const request = {
    kind: Work as unknown as ResourceKind,
    key,
    name,
    ...(namespace === undefined ? {} : { namespace }),
  };
  context.report(request, async () => {
    const latest = context.cache(Work).get(key);
    if (latest !== undefined && isAside()) await writeConditions(latest, [condition], context, isAside);
  });
}

/** Whether the member is to get something: at a start Works stand aside of which all is there. */
function isWaitedFor(work: Work, member: Member): boolean {
  const isApplied = work.status?.conditions?.some(({ type, status }) => type === "Applied" && status === "True");
  if (isApplied !== true || work.metadata.deletionTimestamp !== undefined) return true;
  const manifests = (work.spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
  return manifests.some((manifest) => {
    const kind = member.kinds.known(manifest.apiVersion, manifest.kind);
    if (kind === undefined) return false;
    const { namespace, name = "" } = manifest.metadata;
    const present = member.informers.of(kind).get(objectKey(kind.namespaced ? namespace : undefined, name));
    const digest = present?.metadata.annotations?.[MANIFEST_DIGEST];
    return digest !== undefined && digest !== contentDigest(manifest);
  });
}
