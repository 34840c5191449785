import { ApiError, type KubeObject, parseJson, type Status, type WatchEventType, type WatchSink } from "#machinery";

/** Bytes of all watches that wait for their turn; a watch that brings more reads all its own at once. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024;
let waitingBytes = 0;
const NEWLINE = 10;

/** Reads until its share is used up, and says whether more is waiting. `endMs` is by `performance.now()`. */
export type WatchTurn = (share: { readonly endMs: number; items: number }) => boolean;

/**
 * The frames of one watch: JSON texts that end with a line. They are read as they come, or in turns where somebody gives
 * turns: most of what a frame costs is reading it, and what it says can wait for more urgent work.
 */
export class WatchFrames {
  readonly #sink: WatchSink;
  readonly #signal: AbortSignal;
  readonly #fail: (error: Error) => void;
  readonly #inTurn: ((turn: WatchTurn) => void) | undefined;
  /** The pieces of a line whose end has not come. */
  #pieces: Buffer[] = [];
  #lines: Buffer[] = [];
  /** How many of the lines are read. */
  #read = 0;
  /** Its share of what waits. */
  #waitingBytes = 0;

  /** `fail` is told what is wrong with a frame that was read in its turn. */
  constructor(
    sink: WatchSink,
    signal: AbortSignal,
    fail: (error: Error) => void,
    inTurn: ((turn: WatchTurn) => void) | undefined,
  ) {
    this.#sink = sink;
    this.#signal = signal;
    this.#fail = fail;
    this.#inTurn = inTurn;
  }

  /** Throws where a frame that is read at once is none, or says that the watch is over. */
  take(chunk: Buffer): void {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE, from); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      this.#pieces.push(chunk.subarray(from, at));
      from = at + 1;
      const line = this.#pieces.length === 1 ? (this.#pieces[0] as Buffer) : Buffer.concat(this.#pieces);
      this.#pieces = [];
      if (line.length === 0) continue;
      this.#lines.push(line);
      this.#waitingBytes += line.length;
      waitingBytes += line.length;
    }
    if (from < chunk.length) this.#pieces.push(chunk.subarray(from));
    if (this.#inTurn === undefined || waitingBytes > WAITING_BYTES_MAX) this.readAll();
    else if (this.#lines.length > 0) this.#inTurn(this.#turn);
  }

  /** Reads what waits; throws like `take`. */
  readAll(): void {
    while (this.#readOne());
  }

  /** Forgets what waits. */
  drop(): void {
    this.#lines = [];
    this.#read = 0;
    waitingBytes -= this.#waitingBytes;
    this.#waitingBytes = 0;
  }

  readonly #turn: WatchTurn = (share) => {
    try {
      while (share.items > 0 && performance.now() <= share.endMs) {
        if (!this.#readOne()) return false;
        share.items--;
      }
      return this.#lines.length > 0;
    } catch (error) {
      this.drop();
      this.#fail(error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  };

  /** Says whether there was one. */
  #readOne(): boolean {
    const line = this.#signal.aborted ? undefined : this.#lines[this.#read++];
    if (line === undefined) {
      this.drop();
      return false;
    }
    this.#waitingBytes -= line.length;
    waitingBytes -= line.length;
    const frame = parseJson(line.toString("utf8")) as { type: string; object: KubeObject };
    if (frame.type === "ERROR") throw new ApiError(frame.object as unknown as Status);
    this.#sink.event(frame.type as WatchEventType, frame.object);
    return true;
  }
}
