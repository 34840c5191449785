import { type Clock, sleep } from "#base";
import { ApiError, isUnauthorized, type Transport } from "#machinery";

interface PatienceOptions {
  readonly clock: Clock;
  /** How long the control plane may be away at a time. */
  readonly timeoutMs: number;
  /** Told once an outage, with the cause. */
  readonly say: (text: string) => void;
  /** Aborted when it is no use to wait any longer. */
  readonly signal: AbortSignal;
}

const RETRY_MS = 500;
const PASSING_CODES: readonly (number | undefined)[] = [429, 502, 503, 504];

/** Whether nobody answered, or somebody who says that he cannot now; anything else another try would not change. */
const isPassing = (error: unknown): boolean =>
  error instanceof ApiError ? PASSING_CODES.includes(error.status.code) : error instanceof Error;

/**
 * Asks again while the control plane is away, as when it is restarted in the middle. What was asked for may have been done
 * and not answered: who creates must take what is there already. Rejects with the last cause when time is over.
 */
export function withPatience(transport: Transport, options: PatienceOptions): Transport {
  const { clock, timeoutMs, say, signal } = options;
  async function ask<T>(once: () => Promise<T>): Promise<T> {
    const endMs = clock.monotonicMs() + timeoutMs;
    for (let tries = 1; ; tries++) {
      try {
        return await once();
      } catch (error) {
        if (isUnauthorized(error)) throw refused(error);
        if (!isPassing(error)) throw error;
        const cause = (error as Error).message;
        if (signal.aborted || clock.monotonicMs() >= endMs)
          throw new Error(`the control plane does not answer: ${cause}`, { cause: error });
        if (tries === 1) say(`the control plane does not answer, waiting for it: ${cause}`);
        await sleep(clock, RETRY_MS, signal);
      }
    }
  }
  return {
    send: (request) => ask(() => transport.send(request)),
    list: (request) => ask(() => transport.list(request)),
    watch: (request, sink) => transport.watch(request, sink),
    raw: (request) => ask(() => transport.raw(request)),
  };
}

const refused = (error: unknown) =>
  new Error(
    "the control plane does not know the token or certificate any more: a token that has expired or was deleted is replaced by `token create --print-register-command`",
    { cause: error },
  );
