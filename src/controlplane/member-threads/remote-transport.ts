import { abortReason, type Logger } from "#base";
import { parseJson, writeJson } from "#machinery";
import type { KubeList, KubeObject, RawResponse, Transport, WatchSink } from "#machinery";
import { ConnectionRefused } from "#simulator";
import { type Asked, Batches, errorOf, type Port, type Told } from "./messages.ts";

/** A request without its number. */
type Question = Asked extends infer Each ? (Each extends Asked ? Omit<Each, "id"> : never) : never;

interface Waiting {
  resolve(told: Extract<Told, { kind: "answer" }>): void;
  reject(error: Error): void;
  readonly onWarning?: ((text: string) => void) | undefined;
}

/** The way to a member in another thread. */
export interface RemoteMember {
  readonly transport: Transport;
  /** Asks for something that is no request to its API server. */
  ask(question: Question): Promise<void>;
  /** Fails what waits, ends all watches and refuses what comes later: the thread is gone, or the member was stopped. */
  close(): void;
}

/** Speaks with the member that is served at the other end of a port. */
export function remoteMember(name: string, port: Port, log: Logger): RemoteMember {
  const waiting = new Map<number, Waiting>();
  const watches = new Map<number, WatchSink>();
  let nextId = 1;
  let isClosed = false;
  const batches = new Batches<Asked, Told>(port, (told) => {
    switch (told.kind) {
      case "answer":
        return take(told.id)?.resolve(told);
      case "failure":
        return take(told.id)?.reject(errorOf(told.failure));
      case "warning":
        return waiting.get(told.id)?.onWarning?.(told.text);
      case "event":
        return watches.get(told.id)?.event(told.type, parseJson(told.object) as KubeObject);
      case "closed": {
        const sink = watches.get(told.id);
        watches.delete(told.id);
        return sink?.closed(told.failure === undefined ? undefined : errorOf(told.failure));
      }
      case "log":
        return log[told.level](told.message, told.fields);
    }
  });

  function take(id: number): Waiting | undefined {
    const found = waiting.get(id);
    waiting.delete(id);
    return found;
  }

  function call(
    question: Question,
    signal?: AbortSignal,
    onWarning?: (text: string) => void,
  ): Promise<Extract<Told, { kind: "answer" }>> {
    if (isClosed) return Promise.reject(new ConnectionRefused(name));
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    const id = nextId++;
    return new Promise((resolve, reject) => {
      const leave = () => signal?.removeEventListener("abort", giveUp);
      const giveUp = () => {
        if (take(id) === undefined || signal === undefined) return;
        batches.send({ kind: "giveUp", id });
        reject(abortReason(signal));
      };
      signal?.addEventListener("abort", giveUp, { once: true });
      waiting.set(id, {
        resolve(answer) {
          leave();
          resolve(answer);
        },
        reject(error) {
          leave();
          reject(error);
        },
        onWarning,
      });
      batches.send({ ...question, id } as Asked);
    });
  }

  return {
    transport: {
      async send({ signal, onWarning, ...request }) {
        const { text } = await call({ kind: "send", request: writeJson(request) }, signal, onWarning);
        return parseJson(text ?? "null") as KubeObject;
      },
      async list({ signal, ...request }) {
        const { text } = await call({ kind: "list", request: writeJson(request) }, signal);
        return parseJson(text ?? "null") as KubeList;
      },
      async raw({ signal, ...request }) {
        return (await call({ kind: "raw", request }, signal)).raw as RawResponse;
      },
      watch(request, sink) {
        const id = nextId++;
        if (isClosed) {
          queueMicrotask(() => sink.closed(new ConnectionRefused(name)));
          return { stop() {} };
        }
        watches.set(id, sink);
        batches.send({ kind: "watch", id, request: writeJson(request) });
        return {
          stop() {
            if (watches.delete(id)) batches.send({ kind: "giveUp", id });
          },
        };
      },
    },
    ask: async (question) => void (await call(question)),
    close() {
      if (isClosed) return;
      isClosed = true;
      batches.close();
      const refused = new ConnectionRefused(name);
      for (const { reject } of [...waiting.values()]) reject(refused);
      waiting.clear();
      const sinks = [...watches.values()];
      watches.clear();
      for (const sink of sinks) sink.closed(refused);
    },
  };
}
