import { abortReason, whenAborted } from "#base";
import type { Dispatcher } from "undici";

/** An answer that was read whole. */
export interface Exchange {
  readonly status: number;
  readonly body: Buffer;
  /** The values of a header, by its name in small letters. */
  values(name: string): readonly string[];
  /** All headers by their names in small letters; several values of one name are joined by commas. */
  headers(): Record<string, string>;
}

export interface ExchangeOptions {
  /** A larger answer fails. */
  readonly bytesMax: number;
  /** Told once when the answer begins. */
  readonly began?: (status: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Sends a request and reads its answer into memory. Rejects when the connection fails, the answer is too large, or with the
 * signal's reason. A stream for each answer, as undici's `request` makes it, costs more than a small answer itself.
 */
export function exchange(
  by: Dispatcher,
  sent: Dispatcher.DispatchOptions,
  { bytesMax, began, signal }: ExchangeOptions,
): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortReason(signal));
    let abort: ((error: Error) => void) | undefined;
    let status = 0;
    let rawHeaders: readonly Buffer[] = [];
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end =
      signal &&
      whenAborted(signal, () => {
        const reason = abortReason(signal);
        abort?.(reason);
        reject(reason);
      });
    by.dispatch(sent, {
      onConnect(cut) {
        if (signal?.aborted) cut(abortReason(signal));
        else abort = cut;
      },
      onHeaders(code, headers) {
        // What comes before the answer proper, such as early hints, is none.
        if (code < 200) return true;
        status = code;
        rawHeaders = headers;
        began?.(code);
        return true;
      },
      onData(chunk) {
        bytes += chunk.length;
        if (bytes > bytesMax) {
          abort?.(new Error(`answer is larger than ${bytesMax} bytes`));
          return false;
        }
        chunks.push(chunk);
        return true;
      },
      onComplete() {
        end?.();
        resolve(answered(status, rawHeaders, chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
      },
      onError(error) {
        end?.();
        reject(error);
      },
    });
  });
}

function answered(status: number, raw: readonly Buffer[], body: Buffer): Exchange {
  const nameAt = (at: number) => (raw[at] as Buffer).toString("utf8").toLowerCase();
  return {
    status,
    body,
    values(name) {
      const values: string[] = [];
      for (let at = 0; at + 1 < raw.length; at += 2)
        if ((raw[at] as Buffer).length === name.length && nameAt(at) === name)
          values.push((raw[at + 1] as Buffer).toString("utf8"));
      return values;
    },
    headers() {
      const flat: Record<string, string> = {};
      for (let at = 0; at + 1 < raw.length; at += 2) {
        const name = nameAt(at);
        const value = (raw[at + 1] as Buffer).toString("utf8");
        flat[name] = flat[name] === undefined ? value : `${flat[name]}, ${value}`;
      }
      return flat;
    },
  };
}
