import type { Clock, Logger } from "#base";
import type { Transport } from "#machinery";
import type { Decision, DecisionLog } from "#scheduler";

/** Decisions that wait to be told; the oldest goes first. */
const WAITING_MAX = 2_000;
const SENDERS = 4;
/** Pause after an answer that says that nobody wants to know. */
const PAUSE_MS = 60_000;
const TIMEOUT_MS = 10_000;

export interface DecisionReport {
  /** A log whose decisions are told to the server, the newest of each binding. */
  readonly log: DecisionLog;
  /** Ends the telling; what is under way is given up. */
  stop(): void;
}

/** Where the API server takes decisions about a binding: `Kind/namespace/name`, or `Kind/name`. */
function pathOf(binding: string): string {
  const [kind = "", ...at] = binding.split("/");
  const name = encodeURIComponent(at.at(-1) ?? "");
  const namespace = at.length > 1 ? `namespaces/${encodeURIComponent(at[0] ?? "")}/` : "";
  return `/apis/work.karmada.io/v1alpha2/${namespace}${kind.toLowerCase()}s/${name}/decision`;
}

/**
 * Tells a control plane what a scheduler of its own decides, so that `explain schedule` can say it. Telling never holds a
 * decision up and may lose some: a server that does not take them, or does not answer, is left alone for a while.
 */
export function reportDecisions(
  log: DecisionLog,
  { transport, clock, logger }: { readonly transport: Transport; readonly clock: Clock; readonly logger: Logger },
): DecisionReport {
  const waiting = new Map<string, Decision>();
  const stopped = new AbortController();
  let senders = 0;
  let pausedUntilMs = 0;
  const pause = (why: string, fields: Readonly<Record<string, unknown>>) => {
    pausedUntilMs = clock.monotonicMs() + PAUSE_MS;
    waiting.clear();
    logger.debug(`decisions are not told for a while: ${why}`, fields);
  };
  const tell = async (decision: Decision): Promise<void> => {
    const late = new AbortController();
    const signal = AbortSignal.any([stopped.signal, late.signal]);
    const timer = clock.after(TIMEOUT_MS, () => late.abort());
    try {
      const { status } = await transport.raw({
        method: "PUT",
        path: pathOf(decision.binding),
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ decision }),
        signal,
      });
      // A binding that is gone answers 404, as does a server that knows no decisions: both are nothing to insist on.
      if (status === 401 || status === 403 || status === 405 || status >= 500)
        pause("the server does not take them", { status });
    } catch (error) {
      if (!stopped.signal.aborted) pause("the server does not answer", { error });
    } finally {
      timer.cancel();
    }
  };
  const send = async (): Promise<void> => {
    try {
      while (!stopped.signal.aborted) {
        const [next] = waiting;
        if (next === undefined) return;
        waiting.delete(next[0]);
        await tell(next[1]);
      }
    } finally {
      senders--;
    }
  };
  return {
    log: {
      get: (key) => log.get(key),
      list: () => log.list(),
      get size() {
        return log.size;
      },
      keep(decision) {
        log.keep(decision);
        if (stopped.signal.aborted || clock.monotonicMs() < pausedUntilMs) return;
        waiting.delete(decision.binding);
        waiting.set(decision.binding, decision);
        if (waiting.size > WAITING_MAX) waiting.delete(waiting.keys().next().value as string);
        if (senders >= SENDERS) return;
        senders++;
        void send();
      },
      forget(key) {
        log.forget(key);
        waiting.delete(key);
      },
    },
    stop: () => stopped.abort(),
  };
}
