const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back once when a signal aborts, and gives how to stop that. A signal gets one listener however many wait for it:
 * to add and remove one for each of many requests costs a good part of a request.
 */
export function whenAborted(signal: AbortSignal, call: () => void): () => void {
  if (signal.aborted) {
    call();
    return () => undefined;
  }
  let calls = waiting.get(signal);
  if (calls === undefined) {
    const all = new Set<() => void>();
    waiting.set(signal, (calls = all));
    signal.addEventListener("abort", () => callAll(all), { once: true });
  }
  const present = calls;
  // Whoever waits twice is called twice.
  const own = () => call();
  present.add(own);
  return () => void present.delete(own);
}

/** Why a signal aborted, for whoever waited for something else. */
export const abortReason = ({ reason }: AbortSignal): Error =>
  reason instanceof Error ? reason : new Error("the request was given up");

function callAll(calls: Set<() => void>): void {
  for (const call of calls) {
    calls.delete(call);
    call();
  }
}
