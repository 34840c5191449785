import { createRequire } from "node:module";
import { extname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { MessageChannel, Worker } from "node:worker_threads";
import { type Clock, exponentialBackoff, type Logger, sleep } from "#base";
import type { Transport } from "#machinery";
import { faultyWay } from "#simulator";
import { breakLock } from "#store";
import type { RunningMember } from "../member.ts";
import { errorOf } from "./messages.ts";
import { type RemoteMember, remoteMember } from "./remote-transport.ts";
import { memberFolder, type MemberSeat, type Seated } from "./seat.ts";

/** A member that runs in another thread, and where its API server listens. */
export interface SeatedMember {
  readonly running: RunningMember;
  readonly port: number;
}

/** Threads that simulated members share. */
export interface MemberThreads {
  /**
   * Starts a member in the thread that has fewest; resolves when it answers. `restarted` is told each time it is back after its
   * thread failed: what it kept in memory is gone then.
   */
  start(seat: MemberSeat, restarted?: () => void): Promise<SeatedMember>;
  /** Ends the threads; members are to be stopped before. */
  stop(): Promise<void>;
}

/** A member's place in a thread, which outlives the thread. */
interface Place {
  readonly seat: MemberSeat;
  readonly restarted: () => void;
  remote: RemoteMember;
  isLeft: boolean;
}

interface Thread {
  readonly worker: Worker;
  readonly places: Set<Place>;
  /** Members that are being started for the first time. */
  seating: number;
  readonly waiting: Map<number, { resolve(port: number): void; reject(error: Error): void }>;
  /** What ended it before it was to end. */
  failure?: Error;
}

/** The thread's program: a file of its own beside the bundle, the source where the program runs from sources. */
const FROM_SOURCES = import.meta.url.endsWith(".ts");
const PROGRAM = new URL(FROM_SOURCES ? "./thread.ts" : `./member-thread${extname(import.meta.url)}`, import.meta.url);

/** Starts the program of a thread. */
export function startMemberThread(): Worker {
  if (!FROM_SOURCES) return new Worker(fileURLToPath(PROGRAM));
  // A thread does not inherit what makes sources run.
  const loader = createRequire(import.meta.url)
    .resolve("tsx/esm/api")
    .replace(/cjs$/, "mjs");
  const words = [pathToFileURL(loader).href, PROGRAM.href].map((word) => JSON.stringify(word));
  const program = `import(${words[0]}).then(({ register }) => register()).then(() => import(${words[1]}))`;
  return new Worker(program, { eval: true, execArgv: [] });
}

const membersOf = ({ places, seating }: Thread) => places.size + seating;

const RESTART = exponentialBackoff({ baseMs: 500, maxMs: 30_000 });
/** A thread that ran this long failed by itself, not because of what failed before. */
const SETTLED_MS = 60_000;

/**
 * Starts `count` threads at once. A thread that fails takes its members down, and says so; another takes its place, and its
 * members are started again in it, at the same ports. The control plane goes on meanwhile.
 */
export function startMemberThreads(
  count: number,
  clock: Clock,
  log: Logger,
  startWorker: () => Worker = startMemberThread,
): MemberThreads {
  let nextId = 1;
  const stopping = new AbortController();
  const isStopped = () => stopping.signal.aborted;
  const threads = Array.from({ length: count }, () => startThread(0));

  function startThread(failures: number): Thread {
    const startedMs = clock.monotonicMs();
    const worker = startWorker();
    const thread: Thread = { worker, places: new Set(), seating: 0, waiting: new Map() };
    const end = (error: Error) => {
      if (thread.failure !== undefined || isStopped()) return;
      thread.failure = error;
      const members = [...thread.places].map(({ seat }) => seat.member.name);
      log.error("a thread of simulated members failed; they are started again", { members, error });
      for (const { reject } of thread.waiting.values()) reject(error);
      thread.waiting.clear();
      for (const { remote } of thread.places) remote.close();
      void replace(thread, clock.monotonicMs() - startedMs > SETTLED_MS ? 0 : failures);
    };
    worker.on("message", (seated: Seated) => {
      const waiting = thread.waiting.get(seated.id);
      thread.waiting.delete(seated.id);
      if ("failure" in seated) waiting?.reject(errorOf(seated.failure));
      else waiting?.resolve(seated.port);
    });
    worker.on("error", (error) => end(error instanceof Error ? error : new Error(String(error))));
    worker.on("exit", (code) => end(new Error(`the thread of simulated members ended with ${code}`)));
    return thread;
  }

  /** Puts a new thread in the place of one that failed, once it is gone with all it held open. */
  async function replace(failed: Thread, failures: number): Promise<void> {
    await failed.worker.terminate();
    await sleep(clock, RESTART(failures), stopping.signal).catch(() => undefined);
    if (isStopped()) return;
    // What it held can be held anew: nobody else in this process opens these folders.
    for (const { seat } of failed.places)
      if (seat.folder !== undefined) breakLock(memberFolder(seat.folder, seat.member.name));
    const fresh = startThread(failures + 1);
    threads[threads.indexOf(failed)] = fresh;
    for (const place of failed.places) {
      if (place.isLeft) continue;
      fresh.places.add(place);
      void startAgain(fresh, place);
    }
  }

  async function startAgain(thread: Thread, place: Place): Promise<void> {
    const { name } = place.seat.member;
    for (let failures = 0; !isStopped() && !place.isLeft && thread.failure === undefined; failures++) {
      try {
        const { remote } = await seatIn(thread, place.seat);
        if (thread.failure !== undefined) return remote.close();
        if (isStopped() || place.isLeft) return await leave(remote);
        place.remote = remote;
        log.info("a simulated member is back", { member: name });
        return place.restarted();
      } catch (error) {
        if (isStopped() || thread.failure !== undefined) return;
        log.error("a simulated member could not be started again", { member: name, error });
        await sleep(clock, RESTART(failures), stopping.signal).catch(() => undefined);
      }
    }
  }

  async function seatIn(thread: Thread, seat: MemberSeat): Promise<{ remote: RemoteMember; port: number }> {
    if (thread.failure !== undefined) throw thread.failure;
    const { port1: here, port2: there } = new MessageChannel();
    const remote = remoteMember(seat.member.name, here, log);
    const id = nextId++;
    try {
      const port = await new Promise<number>((resolve, reject) => {
        thread.waiting.set(id, { resolve, reject });
        thread.worker.postMessage({ id, seat, channel: there }, [there]);
      });
      return { remote, port };
    } catch (error) {
      remote.close();
      throw error;
    }
  }

  return {
    async start(seat, restarted = () => undefined) {
      const [thread] = [...threads].sort((one, other) => membersOf(one) - membersOf(other));
      if (thread === undefined || isStopped()) throw new Error("there is no thread for simulated members");
      // Counted from the first moment, so that members that start at once are spread.
      thread.seating++;
      try {
        const { remote, port } = await seatIn(thread, seat);
        const place: Place = {
          seat: { ...seat, serving: { ...seat.serving, port } },
          restarted,
          remote,
          isLeft: false,
        };
        thread.places.add(place);
        const left = () => {
          for (const { places } of threads) places.delete(place);
        };
        return { port, running: runningMember(place, clock, left) };
      } finally {
        thread.seating--;
      }
    },
    async stop() {
      stopping.abort();
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}

/** Ends a member that nobody wants any more. One whose thread failed has ended already. */
async function leave(remote: RemoteMember): Promise<void> {
  await remote.ask({ kind: "stop" }).catch(() => undefined);
  remote.close();
}

function runningMember(place: Place, clock: Clock, left: () => void): RunningMember {
  const { name } = place.seat.member;
  /** Leads to the member of now. */
  const inside: Transport = {
    send: (request) => place.remote.transport.send(request),
    list: (request) => place.remote.transport.list(request),
    raw: (request) => place.remote.transport.raw(request),
    watch: (request, sink) => place.remote.transport.watch(request, sink),
  };
  const way = faultyWay(inside, name, clock);
  return {
    name,
    api: { transport: () => inside },
    transport: way.transport,
    faults: way.faults,
    setFaults: (change) => way.setFaults(change),
    setNodesReady: (isReady, names) =>
      place.remote.ask({ kind: "nodes", isReady, ...(names === undefined ? {} : { names }) }),
    setQuotaFull: (isFull) => place.remote.ask({ kind: "quota", isFull }),
    async stop() {
      place.isLeft = true;
      way.stop();
      await leave(place.remote);
      left();
    },
  };
}
