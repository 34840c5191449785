import type { LogFields, Logger } from "#base";
import { systemClock } from "#base";
import { parseJson, writeJson } from "#machinery";
import type { ListRequest, RawRequest, ResourceRequest, WatchHandle, WatchRequest } from "#machinery";
import { createMemoryBackend, openFileBackend } from "#store";
import { startMember } from "../member.ts";
import { realRandom } from "../real-random.ts";
import { type Asked, Batches, failureOf, type LogLevel, type Port, type Told } from "./messages.ts";
import { memberFolder, type MemberSeat } from "./seat.ts";

/** A logger whose lines are written by the thread of the control plane. */
function loggerOver(tell: (told: Told) => void, isVerbose: boolean): Logger {
  const make = (fixed: LogFields): Logger => {
    const say = (level: LogLevel) => (message: string, fields?: LogFields) => {
      const shown = Object.entries({ ...fixed, ...fields }).map(([key, value]) => [key, textOf(value)]);
      tell({ kind: "log", level, message, fields: Object.fromEntries(shown) as LogFields });
    };
    return {
      debug: isVerbose ? say("debug") : () => {},
      info: say("info"),
      warn: say("warn"),
      error: say("error"),
      with: (fields) => make({ ...fixed, ...fields }),
    };
  };
  return make({});
}

const textOf = (value: unknown): unknown => {
  if (value instanceof Error) return value.message;
  return typeof value === "object" && value !== null ? writeJson(value) : value;
};

/** Starts a member in this thread and answers at the port until it is told to stop. Gives the port of its API server. */
export async function serveMember(port: Port, { member, folder, serving, isVerbose }: MemberSeat): Promise<number> {
  const batches = new Batches<Told, Asked>(port, (asked) => {
    void answer(asked).catch((error: unknown) => tell({ kind: "failure", id: asked.id, failure: failureOf(error) }));
  });
  const tell = (told: Told) => batches.send(told);
  const simulated = await startMember({
    ...member,
    clock: systemClock,
    random: realRandom(),
    log: loggerOver(tell, isVerbose),
    backend: folder === undefined ? createMemoryBackend() : openFileBackend(memberFolder(folder, member.name)),
  });
  const listener = await simulated.api.listen({ host: "127.0.0.1", port: 0, ...serving });
  const inside = simulated.api.transport();
  const running = new Map<number, AbortController>();
  const watches = new Map<number, WatchHandle>();

  /** Answers a request that can be given up. */
  async function given(
    id: number,
    work: (signal: AbortSignal) => Promise<Omit<Told & { kind: "answer" }, "kind" | "id">>,
  ) {
    const abort = new AbortController();
    running.set(id, abort);
    try {
      const told = await work(abort.signal);
      if (!abort.signal.aborted) tell({ kind: "answer", id, ...told });
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    } finally {
      running.delete(id);
    }
  }

  async function answer(asked: Asked): Promise<void> {
    const { id } = asked;
    switch (asked.kind) {
      case "send": {
        const request = parseJson(asked.request) as ResourceRequest;
        const onWarning = (text: string) => tell({ kind: "warning", id, text });
        return given(id, async (signal) => ({
          text: writeJson(await inside.send({ ...request, signal, onWarning })),
        }));
      }
      case "list": {
        const request = parseJson(asked.request) as ListRequest;
        return given(id, async (signal) => ({ text: writeJson(await inside.list({ ...request, signal })) }));
      }
      case "raw":
        return given(id, async (signal) => ({ raw: await inside.raw({ ...(asked.request as RawRequest), signal }) }));
      case "watch":
        watches.set(
          id,
          inside.watch(parseJson(asked.request) as WatchRequest, {
            event: (type, object) => tell({ kind: "event", id, type, object: writeJson(object) }),
            closed(error) {
              watches.delete(id);
              tell({ kind: "closed", id, ...(error === undefined ? {} : { failure: failureOf(error) }) });
            },
          }),
        );
        return;
      case "giveUp":
        running.get(id)?.abort();
        watches.get(id)?.stop();
        watches.delete(id);
        return;
      case "nodes":
        await simulated.setNodesReady(asked.isReady, asked.names);
        return tell({ kind: "answer", id });
      case "quota":
        await simulated.setQuotaFull(asked.isFull);
        return tell({ kind: "answer", id });
      case "stop":
        await listener.close();
        await simulated.stop();
        tell({ kind: "answer", id });
        batches.close();
    }
  }
  return listener.port;
}
