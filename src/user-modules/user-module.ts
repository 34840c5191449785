import { Worker } from "node:worker_threads";
import type { Clock, Logger } from "#base";

export interface UserModuleOptions {
  /** URL of the module: `file:///…/widgets.js`. */
  readonly url: string;
  /** The version of what a module may rely on; it must name the same. */
  readonly apiVersion: string;
  /** What a module is, for messages: `scheduler plugin`. */
  readonly what: string;
  /** The thread's program: the prelude and what follows it. */
  readonly program: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Time for one answer; default 1 s. */
  readonly timeoutMs?: number;
  /** Time to load the module; default 10 s. */
  readonly loadTimeoutMs?: number;
}

/** What every module tells of itself. */
interface Named {
  readonly name: string;
}

/** One life of a module's thread; what it was told is forgotten with it. */
export interface ModuleLife<Loaded> {
  /** What the module told of itself when it was loaded this time. */
  readonly loaded: Loaded;
  /** Tells it something that needs no answer. */
  tell(message: object): void;
}

/** A user's module in a thread of its own. */
export interface UserModule<Loaded> {
  /** What it told of itself when it was first loaded. */
  readonly loaded: Loaded;
  /** Asks it. Rejects with what it threw, or that it did not answer in time; a module that hangs is loaded anew. */
  ask(question: (life: ModuleLife<Loaded>) => object): Promise<unknown>;
  close(): void;
}

const TIMEOUT_MS = 1_000;
const LOAD_TIMEOUT_MS = 10_000;

/** A limit was not kept, or the thread ended: only another life helps. */
class LifeOver extends Error {}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

class Life<Loaded> {
  readonly ready: Promise<ModuleLife<Loaded>>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;

  constructor({ url, apiVersion, program }: UserModuleOptions) {
    this.#worker = new Worker(program, {
      eval: true,
      workerData: { url, apiVersion },
      stdout: false,
      stderr: false,
    });
    this.#worker.unref();
    this.#worker.on(
      "message",
      ({ id, answer, error }: { readonly id: number; readonly answer?: unknown; readonly error?: string }) => {
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (error === undefined) waiting?.resolve(answer);
        else waiting?.reject(new Error(error));
      },
    );
    this.#worker.on("error", (error) => this.#end(error instanceof Error ? error : new Error(String(error))));
    this.#worker.on("exit", () => this.#end(new LifeOver("its worker ended")));
    this.ready = new Promise<unknown>((resolve, reject) => this.#waiting.set(0, { resolve, reject })).then(
      (loaded) => ({ loaded: loaded as Loaded, tell: (message) => this.#worker.postMessage(message) }),
    );
    this.ready.catch(() => undefined);
  }

  ask(question: object): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...question, id });
    });
  }

  kill(why: Error): void {
    this.#end(why);
    void this.#worker.terminate();
  }

  #end(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

function within<T>(clock: Clock, limitMs: number, running: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(limitMs, () => reject(new LifeOver(`it did not answer within ${limitMs} ms`)));
    running.then(resolve, reject).finally(() => timer.cancel());
  });
}

/** Loads a user's module. Rejects when it cannot be loaded or is none of this API version. */
export async function startUserModule<Loaded extends Named>(options: UserModuleOptions): Promise<UserModule<Loaded>> {
  const { url, what, clock, log, timeoutMs = TIMEOUT_MS, loadTimeoutMs = LOAD_TIMEOUT_MS } = options;
  let life = new Life<Loaded>(options);
  let loaded: Loaded;
  try {
    ({ loaded } = await within(clock, loadTimeoutMs, life.ready));
  } catch (error) {
    life.kill(new Error("it could not be loaded"));
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot use the ${what} ${url}: ${cause}`, { cause: error });
  }
  let isClosed = false;
  return {
    loaded,
    async ask(question) {
      const mine = life;
      try {
        const ready = await within(clock, loadTimeoutMs, mine.ready);
        return await within(clock, timeoutMs, mine.ask(question(ready)));
      } catch (error) {
        if (error instanceof LifeOver && mine === life && !isClosed) {
          log.warn(`a ${what} is started anew`, { plugin: loaded.name, cause: error.message });
          life = new Life(options);
          mine.kill(new Error("it was ended because it hung"));
        }
        throw error;
      }
    },
    close() {
      isClosed = true;
      life.kill(new Error("it was closed"));
    },
  };
}
