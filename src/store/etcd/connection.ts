import { readFileSync } from "node:fs";
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { StoreError } from "../errors.ts";
import { authenticate, type Call } from "./messages.ts";

/** Where etcd is and who we are there. Files are PEM, as kube-apiserver's `--etcd-*` flags name them. */
export interface EtcdOptions {
  /** `host:port`, members of one cluster. */
  readonly endpoints: readonly string[];
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly username?: string;
  readonly password?: string;
}

const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
const CALL_MS = 10_000;
/** Waits between tries while no member answers. */
const RETRY_MS = [20, 50, 100, 250, 500, 1_000] as const;

/** Errors after which the next member is asked. What was sent may have been carried out. */
const isUnreachable = (error: unknown): boolean =>
  [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED, status.INTERNAL].includes(codeOf(error)) ||
  /no leader|leader changed|request timed out|too many requests|not capable/i.test(textOf(error));

export const codeOf = (error: unknown): status =>
  typeof (error as ServiceError | undefined)?.code === "number" ? (error as ServiceError).code : status.UNKNOWN;

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Calls to an etcd cluster: any member that answers, the same one as long as it does. */
export class EtcdConnection {
  readonly #options: EtcdOptions;
  readonly #credentials: ChannelCredentials;
  readonly #clients = new Map<string, Client>();
  #current = 0;
  #token: Promise<string> | undefined;
  #isClosed = false;

  constructor(options: EtcdOptions) {
    this.#options = options;
    this.#credentials = credentialsOf(options);
  }

  get endpoints(): readonly string[] {
    return this.#options.endpoints;
  }

  /**
   * Asks one member after the other until one answers or the time is over. `onRetry` is told before a request that may
   * have been carried out is sent again.
   */
  async ask<Answer>(what: Call<Answer>, message: object, onRetry?: () => void): Promise<Answer> {
    const untilMs = performance.now() + CALL_MS;
    const encoded = what.encode(message);
    for (let tries = 0; ; tries++) {
      if (this.#isClosed) throw new StoreError("STORE_CLOSED", "the store is closed");
      try {
        return await this.#once(what, encoded, Math.max(1, untilMs - performance.now()));
      } catch (error) {
        if (codeOf(error) === status.UNAUTHENTICATED && this.#options.username !== undefined && tries === 0) {
          this.#token = undefined;
          continue;
        }
        if (!isUnreachable(error)) throw error;
        this.#current = (this.#current + 1) % this.endpoints.length;
        const waitMs = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)] as number;
        if (performance.now() + waitMs > untilMs)
          throw new StoreError("STORE_UNAVAILABLE", `etcd at ${this.endpoints.join(", ")}: ${textOf(error)}`, {
            cause: error,
          });
        onRetry?.();
        if (tries >= this.endpoints.length - 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
    }
  }

  async #once<Answer>(what: Call<Answer>, encoded: Buffer, timeoutMs: number): Promise<Answer> {
    const metadata = await this.#metadata();
    return new Promise((resolve, reject) => {
      this.#client().makeUnaryRequest(
        what.path,
        (bytes: Buffer) => bytes,
        what.decode,
        encoded,
        metadata,
        { deadline: Date.now() + timeoutMs },
        (error, answer) => (error === null ? resolve(answer as Answer) : reject(error)),
      );
    });
  }

  /** A stream to the member that answers now; on its error the next call goes to another. */
  async open<Answer>(what: Call<Answer>): Promise<ClientDuplexStream<object, Answer>> {
    // A member cut off from the others would keep a stream silent for ever: without a leader it shall end.
    const metadata = await this.#metadata();
    metadata.set("hasleader", "true");
    return this.#client().makeBidiStreamRequest(what.path, what.encode, what.decode, metadata);
  }

  /** Lets the next call go to another member. */
  turn(): void {
    this.#current = (this.#current + 1) % this.endpoints.length;
  }

  close(): void {
    this.#isClosed = true;
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #client(): Client {
    const endpoint = this.endpoints[this.#current] as string;
    let client = this.#clients.get(endpoint);
    if (client === undefined) {
      client = new Client(endpoint, this.#credentials, {
        "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
        "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1_000,
      });
      this.#clients.set(endpoint, client);
    }
    return client;
  }

  async #metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    const { username, password = "" } = this.#options;
    if (username === undefined) return metadata;
    this.#token ??= this.#authenticate(username, password);
    try {
      metadata.set("token", await this.#token);
    } catch (error) {
      this.#token = undefined;
      throw error;
    }
    return metadata;
  }

  #authenticate(name: string, password: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#client().makeUnaryRequest(
        authenticate.path,
        authenticate.encode,
        authenticate.decode,
        { name, password },
        { deadline: Date.now() + CALL_MS },
        (error, answer) => (error === null ? resolve(answer?.token ?? "") : reject(error)),
      );
    });
  }
}

function credentialsOf({ caFile, certFile, keyFile }: EtcdOptions): ChannelCredentials {
  if (caFile === undefined && certFile === undefined) return credentials.createInsecure();
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new StoreError("STORE_UNREADABLE", "--etcd-certfile and --etcd-keyfile are given together or not at all");
  const read = (file: string | undefined) => {
    if (file === undefined) return null;
    try {
      return readFileSync(file);
    } catch (error) {
      throw new StoreError("STORE_UNREADABLE", `${file} cannot be read: ${textOf(error)}`, { cause: error });
    }
  };
  return credentials.createSsl(read(caFile), read(keyFile), read(certFile));
}
