import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { BackendChange } from "../backend.ts";
import type { EtcdConnection } from "./connection.ts";
import { type KeyValue, range, watch, type WatchResponse } from "./messages.ts";

export interface FeedSink {
  /** Changes of whole revisions, in order; `seen` is the newest revision they reach. */
  changes(changes: readonly BackendChange[], seen: number): void;
  /** Changes before `oldest` were compacted before they could be read; the feed goes on after `now`. */
  lost(oldest: number, now: number): void;
}

const AGAIN_MS = [10, 50, 100, 250, 500, 1_000] as const;

/**
 * Every change of the whole key space, in order and once, over any number of broken streams. The whole space, because
 * then each revision is seen, and it is known when nothing older can come any more.
 */
export class ChangeFeed {
  readonly #connection: EtcdConnection;
  readonly #sink: FeedSink;
  #seen: number;
  #isStopped = false;
  #stream: ClientDuplexStream<object, WatchResponse> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(connection: EtcdConnection, after: number, sink: FeedSink) {
    this.#connection = connection;
    this.#seen = after;
    this.#sink = sink;
    void this.#open();
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#stream?.cancel();
    return Promise.resolve();
  }

  async #open(): Promise<void> {
    try {
      const stream = await this.#connection.open(watch);
      if (this.#isStopped) {
        stream.cancel();
        return;
      }
      this.#stream = stream;
      let parts: BackendChange[] = [];
      let isOver = false;
      const over = () => {
        if (isOver) return;
        isOver = true;
        this.#again();
      };
      stream.on("data", (answer: WatchResponse) => {
        if (isOver || this.#isStopped) return;
        if (answer.canceled === true) {
          isOver = true;
          stream.cancel();
          if ((answer.compactRevision ?? 0) > 0) void this.#skip(answer.compactRevision as number);
          else this.#again();
          return;
        }
        this.#failures = 0;
        for (const event of answer.events ?? []) parts.push(changeOf(event));
        // The parts of one revision may come in several messages; nobody may see half of them.
        if (answer.fragment === true || parts.length === 0) return;
        const changes = parts;
        parts = [];
        this.#seen = (changes[changes.length - 1] as BackendChange).revision;
        this.#sink.changes(changes, this.#seen);
      });
      stream.on("error", over);
      stream.on("end", over);
      stream.write({
        createRequest: {
          key: Buffer.from([0]),
          rangeEnd: Buffer.from([0]),
          startRevision: this.#seen + 1,
          progressNotify: true,
          fragment: true,
        },
      });
    } catch {
      this.#again();
    }
  }

  #again(): void {
    if (this.#isStopped) return;
    this.#connection.turn();
    const waitMs = AGAIN_MS[Math.min(this.#failures++, AGAIN_MS.length - 1)] as number;
    this.#timer = setTimeout(() => void this.#open(), waitMs);
  }

  async #skip(oldest: number): Promise<void> {
    try {
      const { header } = await this.#connection.ask(range, { key: Buffer.from("\0"), countOnly: true });
      this.#seen = header?.revision ?? oldest;
      this.#sink.lost(oldest, this.#seen);
      void this.#open();
    } catch {
      this.#again();
    }
  }
}

function changeOf({ type, kv }: { readonly type?: number; readonly kv: KeyValue }): BackendChange {
  const key = Buffer.from(kv.key).toString("utf8");
  return type === 1
    ? { type: "delete", key, revision: kv.modRevision }
    : { type: "put", key, revision: kv.modRevision, value: kv.value ?? new Uint8Array() };
}
