import type { Clock, Logger, Timer } from "#base";
import type { Backend, BackendWatch } from "#store";

/** One process that serves the API over the store it shares with others. */
export interface LiveServer {
  /** As which it takes leases. */
  readonly identity: string;
  /** Where other replicas reach it: `https://HOST:PORT`. */
  readonly server: string;
  /** Where everybody reaches it; absent where it has a loopback address only. */
  readonly address?: string;
  readonly port: number;
}

/** Outside of everything a kube-apiserver on the same store looks at. */
const PREFIX = "/flotilla/apiservers/";
/** A process that is killed is listed for this long, at most. */
const LEASE_SECONDS = 15;
const RENEW_MS = 5_000;

/** Who serves the API besides this process: each keeps an entry in the store that ends by itself. */
export class LiveServers {
  readonly #backend: Backend;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #own: LiveServer;
  readonly #changed: (all: readonly LiveServer[]) => Promise<void>;
  #all: readonly LiveServer[] = [];
  #watch: BackendWatch | undefined;
  #timer: Timer | undefined;
  #isStopped = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly backend: Backend;
    readonly clock: Clock;
    readonly log: Logger;
    readonly own: LiveServer;
    /** Told of the present list whenever it was looked at. */
    readonly changed: (all: readonly LiveServer[]) => Promise<void>;
  }) {
    this.#backend = options.backend;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#own = options.own;
    this.#changed = options.changed;
  }

  get all(): readonly LiveServer[] {
    return this.#all;
  }

  /** Enters this process and follows the others; resolves after the first look. */
  async start(): Promise<void> {
    await this.#renew();
  }

  /** Takes this process out; the others hear of it at once. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#watch?.stop();
    await this.#turn;
    await this.#backend.txn([{ type: "delete", key: this.#key }]);
    await this.#look();
  }

  get #key(): string {
    return PREFIX + this.#own.identity;
  }

  async #renew(): Promise<void> {
    try {
      const value = Buffer.from(JSON.stringify(this.#own));
      await this.#backend.txn([{ type: "put", key: this.#key, value, leaseSeconds: LEASE_SECONDS }]);
      this.#follow();
      await this.#inTurn();
    } catch (error) {
      this.#log.warn("this API server could not be entered among those that serve", { error });
    }
    if (!this.#isStopped) this.#timer = this.#clock.after(RENEW_MS, () => void this.#renew());
  }

  #follow(): void {
    this.#watch ??= this.#backend.watch(PREFIX, this.#backend.revision, {
      changes: (changes) => {
        // A renewal says nothing new.
        const isNew = (key: string) => !this.#all.some(({ identity }) => key === PREFIX + identity);
        if (changes.some(({ type, key }) => type === "delete" || isNew(key))) void this.#inTurn();
      },
      closed: () => {
        this.#watch = undefined;
      },
    });
  }

  #inTurn(): Promise<void> {
    this.#turn = this.#turn
      .then(() => this.#look())
      .catch((error: unknown) => this.#log.warn("the API servers could not be listed", { error }));
    return this.#turn;
  }

  async #look(): Promise<void> {
    const { entries } = await this.#backend.list(PREFIX);
    this.#all = entries.flatMap(({ value }) => parseServer(value) ?? []);
    await this.#changed(this.#all);
  }
}

function parseServer(value: Uint8Array): LiveServer | undefined {
  try {
    const found = JSON.parse(Buffer.from(value).toString("utf8")) as Partial<LiveServer>;
    const { identity, server, address, port } = found;
    if (typeof identity !== "string" || typeof server !== "string" || typeof port !== "number") return undefined;
    return { identity, server, port, ...(typeof address === "string" ? { address } : {}) };
  } catch {
    return undefined;
  }
}
