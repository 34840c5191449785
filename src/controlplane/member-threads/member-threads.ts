import { createRequire } from "node:module";
import { extname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { MessageChannel, Worker } from "node:worker_threads";
import type { Clock, Logger } from "#base";
import { faultyWay } from "#simulator";
import type { RunningMember } from "../member.ts";
import { errorOf } from "./messages.ts";
import { type RemoteMember, remoteMember } from "./remote-transport.ts";
import type { MemberSeat, Seated } from "./seat.ts";

/** A member that runs in another thread, and where its API server listens. */
export interface SeatedMember {
  readonly running: RunningMember;
  readonly port: number;
}

/** Threads that simulated members share. */
export interface MemberThreads {
  /** Starts a member in the thread that has fewest; resolves when it answers. */
  start(seat: MemberSeat): Promise<SeatedMember>;
  /** Ends the threads; members are to be stopped before. */
  stop(): Promise<void>;
}

interface Thread {
  readonly worker: Worker;
  readonly members: Set<RemoteMember>;
  readonly waiting: Map<number, { resolve(port: number): void; reject(error: Error): void }>;
  /** What ended it before it was to end. */
  failure?: Error;
}

/** The thread's program: a file of its own beside the bundle, the source where the program runs from sources. */
const FROM_SOURCES = import.meta.url.endsWith(".ts");
const PROGRAM = new URL(FROM_SOURCES ? "./thread.ts" : `./member-thread${extname(import.meta.url)}`, import.meta.url);

function startWorker(): Worker {
  if (!FROM_SOURCES) return new Worker(fileURLToPath(PROGRAM));
  // A thread does not inherit what makes sources run.
  const loader = createRequire(import.meta.url)
    .resolve("tsx/esm/api")
    .replace(/cjs$/, "mjs");
  const words = [pathToFileURL(loader).href, PROGRAM.href].map((word) => JSON.stringify(word));
  const program = `import(${words[0]}).then(({ register }) => register()).then(() => import(${words[1]}))`;
  return new Worker(program, { eval: true, execArgv: [] });
}

/** Starts `count` threads at once. A thread that fails takes its members down, and says so; the control plane goes on. */
export function startMemberThreads(count: number, clock: Clock, log: Logger): MemberThreads {
  let isStopped = false;
  let nextId = 1;
  const threads = Array.from({ length: count }, startThread);

  function startThread(): Thread {
    const worker = startWorker();
    const thread: Thread = { worker, members: new Set(), waiting: new Map() };
    const end = (error: Error) => {
      thread.failure = error;
      for (const { reject } of thread.waiting.values()) reject(error);
      thread.waiting.clear();
      for (const member of [...thread.members]) member.close();
    };
    worker.on("message", (seated: Seated) => {
      const waiting = thread.waiting.get(seated.id);
      thread.waiting.delete(seated.id);
      if ("failure" in seated) waiting?.reject(errorOf(seated.failure));
      else waiting?.resolve(seated.port);
    });
    worker.on("error", (error) => {
      log.error("a thread of simulated members failed; its members are down", { error });
      end(error instanceof Error ? error : new Error(String(error)));
    });
    worker.on("exit", (code) => {
      if (!isStopped) end(thread.failure ?? new Error(`the thread of simulated members ended with ${code}`));
    });
    return thread;
  }

  return {
    async start(seat) {
      const [thread] = [...threads].sort((one, other) => one.members.size - other.members.size);
      if (thread === undefined || isStopped) throw new Error("there is no thread for simulated members");
      if (thread.failure !== undefined) throw thread.failure;
      const { name } = seat.member;
      const { port1: here, port2: there } = new MessageChannel();
      const remote = remoteMember(name, here, log);
      thread.members.add(remote);
      const id = nextId++;
      try {
        const port = await new Promise<number>((resolve, reject) => {
          thread.waiting.set(id, { resolve, reject });
          thread.worker.postMessage({ id, seat, channel: there }, [there]);
        });
        return { port, running: runningMember(name, remote, clock, () => thread.members.delete(remote)) };
      } catch (error) {
        thread.members.delete(remote);
        remote.close();
        throw error;
      }
    },
    async stop() {
      isStopped = true;
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}

function runningMember(name: string, remote: RemoteMember, clock: Clock, left: () => void): RunningMember {
  const way = faultyWay(remote.transport, name, clock);
  return {
    name,
    api: { transport: () => remote.transport },
    transport: way.transport,
    faults: way.faults,
    setFaults: (change) => way.setFaults(change),
    setNodesReady: (isReady, names) =>
      remote.ask({ kind: "nodes", isReady, ...(names === undefined ? {} : { names }) }),
    setQuotaFull: (isFull) => remote.ask({ kind: "quota", isFull }),
    async stop() {
      way.stop();
      // A member whose thread failed is stopped already.
      await remote.ask({ kind: "stop" }).catch(() => undefined);
      remote.close();
      left();
    },
  };
}
