import { Agent, type RequestOptions } from "node:http";
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";

/** How long one that nobody uses is kept; servers keep theirs for 90 s, or say how long. */
const IDLE_MS = 30_000;
/** How many are kept for one target. */
const FREE_MAX = 16;

interface Identified extends RequestOptions {
  /** Requests of the same one share connections. */
  readonly identity: string;
  readonly open: () => Promise<Socket>;
}

/** Connections that outlive the request they were opened for. None of them keeps the process alive. */
class KeptConnections extends Agent {
  /** What a request of Node's needs to go on one of them, or on one that `open` gives. */
  optionsFor(identity: string, open: () => Promise<Socket>): RequestOptions {
    const options: Identified = { identity, open, agent: this };
    return options;
  }

  override getName(options?: RequestOptions): string {
    return (options as Identified).identity;
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    (options as Identified).open().then(
      (socket) => callback?.(null, socket),
      (error: unknown) => callback?.(error as Error, undefined as never),
    );
    return undefined;
  }
}

export const keptConnections = new KeptConnections({
  keepAlive: true,
  timeout: IDLE_MS,
  maxFreeSockets: FREE_MAX,
  scheduling: "lifo",
});
