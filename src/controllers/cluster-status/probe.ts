import { type Clock, sleep } from "#base";
import type { Member } from "#member";
import type { ProbeOutcome } from "./plan.ts";

/** As long as any other request to a member may take. */
export const REQUEST_TIMEOUT_MS = 32_000;

/** Runs `work` with a signal that aborts after `timeoutMs` or with `outer`; rejects then, whatever `work` does. */
export async function withinTime<T>(
  clock: Clock,
  timeoutMs: number,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, outer]);
  const late = sleep(clock, timeoutMs, signal).then((): never => {
    abort.abort();
    throw new Error(outer.aborted ? "stopped" : `no answer within ${timeoutMs / 1000} s`);
  });
  // Whoever loses the race is not waited for; its failure is nobody's.
  late.catch(() => {});
  try {
    return await Promise.race([work(signal), late]);
  } finally {
    abort.abort();
  }
}

/** How a member is, and what was in the way when it is not well. */
export interface Probed {
  readonly outcome: ProbeOutcome;
  readonly cause?: string;
}

/** Asks a member how it is: `/readyz`, or `/healthz` where that is not known. */
export async function probe(
  member: Member,
  context: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Probed> {
  const ask = (path: string) =>
    withinTime(context.clock, REQUEST_TIMEOUT_MS, context.signal, async (signal) => {
      // Past the limits of the connection: a probe must not wait behind what it is to judge.
      const { status } = await member.direct.raw({ method: "GET", path, signal });
      return status;
    });
  try {
    let path = "/readyz";
    let status = await ask(path);
    if (status === 404) status = await ask((path = "/healthz"));
    return status === 200 ? { outcome: "healthy" } : { outcome: "unhealthy", cause: `${path} answered ${status}` };
  } catch (error) {
    return { outcome: "offline", cause: causeOf(error) };
  }
}

/** The innermost reason of a failed connection: libraries wrap it. What says that reason and where it arose says more. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) {
    const inner = causeOf(error.cause);
    return error.message.includes(inner) ? error.message : inner;
  }
  return error.message || (error as { code?: string }).code || error.name;
}
