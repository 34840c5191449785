import { Agent, type Dispatcher } from "undici";

/** How a server wants to be asked. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** Authority of its certificate; absent for those this machine trusts. */
  readonly authority?: string;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const REQUEST_MS = 30_000;
const CONNECT_MS = 10_000;
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** One of several addresses at a time; another is tried when one cannot be reached. */
export class OpenSearchConnection {
  readonly #addresses: readonly string[];
  readonly #agent: Agent;
  readonly #authorization: string | undefined;
  #at = 0;

  constructor(addresses: readonly string[], credentials: Credentials | undefined) {
    this.#addresses = addresses.map((address) => address.replace(/\/+$/, ""));
    const { username = "", password = "", authority } = credentials ?? {};
    this.#authorization =
      username === "" ? undefined : `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
    this.#agent = new Agent({
      connections: 1,
      headersTimeout: REQUEST_MS,
      bodyTimeout: REQUEST_MS,
      connect: { timeout: CONNECT_MS, ...(authority === undefined ? {} : { ca: authority }) },
    });
  }

  /** Rejects with the last failure when no address can be reached. */
  async ask(method: "PUT" | "POST", path: string, type: string, body: string, signal: AbortSignal): Promise<Answer> {
    let failure: unknown;
    for (let tried = 0; tried < this.#addresses.length; tried++) {
      const address = new URL((this.#addresses[this.#at] as string) + path);
      try {
        const answer = await this.#agent.request({
          origin: address.origin,
          path: address.pathname + address.search,
          method,
          headers: {
            "content-type": type,
            ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
          },
          body,
          signal,
        });
        return { status: answer.statusCode, body: await read(answer.body) };
      } catch (error) {
        if (signal.aborted) throw error;
        failure = error;
        this.#at = (this.#at + 1) % this.#addresses.length;
      }
    }
    throw failure;
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** The answer as JSON, or as text where it is none. */
async function read(body: Dispatcher.ResponseData["body"]): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
