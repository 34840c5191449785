import type { LogFields } from "#base";
import { ApiError, type RawRequest, type RawResponse, type WatchEventType } from "#machinery";

/** What the control plane asks of a member in another thread. Objects travel as JSON, everything else as it is. */
export type Asked =
  | { readonly kind: "send" | "list" | "watch"; readonly id: number; readonly request: string }
  | { readonly kind: "raw"; readonly id: number; readonly request: RawRequest }
  | { readonly kind: "nodes"; readonly id: number; readonly isReady: boolean; readonly names?: readonly string[] }
  | { readonly kind: "quota"; readonly id: number; readonly isFull: boolean }
  | { readonly kind: "stop"; readonly id: number }
  /** Ends a request or a watch; nothing more is said of it. */
  | { readonly kind: "giveUp"; readonly id: number };

/** What the member's thread answers. */
export type Told =
  | { readonly kind: "answer"; readonly id: number; readonly text?: string; readonly raw?: RawResponse }
  | { readonly kind: "failure"; readonly id: number; readonly failure: Failure }
  | { readonly kind: "warning"; readonly id: number; readonly text: string }
  | { readonly kind: "event"; readonly id: number; readonly type: WatchEventType; readonly object: string }
  | { readonly kind: "closed"; readonly id: number; readonly failure?: Failure }
  | { readonly kind: "log"; readonly level: LogLevel; readonly message: string; readonly fields: LogFields };

export type LogLevel = "debug" | "info" | "warn" | "error";

/** An error on its way between threads: the Status of an API error, or a name and a message. */
export interface Failure {
  readonly status?: ApiError["status"];
  readonly name: string;
  readonly message: string;
}

export function failureOf(error: unknown): Failure {
  if (error instanceof ApiError) return { status: error.status, name: error.name, message: error.message };
  return error instanceof Error
    ? { name: error.name, message: error.message }
    : { name: "Error", message: String(error) };
}

export function errorOf({ status, name, message }: Failure): Error {
  if (status !== undefined) return new ApiError(status);
  const error = new Error(message);
  error.name = name;
  return error;
}

/** A port as both sides use it. */
export interface Port {
  postMessage(message: unknown): void;
  on(event: "message", listener: (message: unknown) => void): void;
  close(): void;
}

/** Sends what comes within one turn of the event loop as one message: each message has a price of its own. */
export class Batches<Out, In> {
  readonly #port: Port;
  #waiting: Out[] = [];
  #isClosed = false;

  constructor(port: Port, receive: (message: In) => void) {
    this.#port = port;
    port.on("message", (batch) => {
      for (const message of batch as readonly In[]) receive(message);
    });
  }

  send(message: Out): void {
    if (this.#isClosed) return;
    this.#waiting.push(message);
    if (this.#waiting.length === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    if (this.#isClosed || this.#waiting.length === 0) return;
    const batch = this.#waiting;
    this.#waiting = [];
    this.#port.postMessage(batch);
  }

  /** Sends what still waits, and closes the port. */
  close(): void {
    this.#flush();
    this.#isClosed = true;
    this.#port.close();
  }
}
