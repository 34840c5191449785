import { type Clock, type Logger, silentLogger, type Timer } from "#base";
import type { KubeconfigEndpoint } from "#certs";
import { isUnauthorized, type WatchHandle, type WatchRequest, type WatchSink } from "#machinery";
import { type IssuedCredentials, runCredentialPlugin } from "./exec-credentials.ts";
import { createHttpTransport, type HttpTransport, type HttpTransportOptions } from "./http-transport.ts";

export interface FollowedTransportOptions
  extends Pick<HttpTransportOptions, "impersonate" | "userAgent" | "measure" | "timeoutMs"> {
  /** Says where the server is and who asks, from files that may change. */
  readonly read: () => KubeconfigEndpoint;
  readonly clock: Clock;
  readonly log?: Logger;
  /** How often the files are looked at; left out, they are only when the server refuses who asks. */
  readonly lookAgainMs?: number;
  /** Told of each endpoint it goes on with, the first included. */
  readonly told?: (endpoint: KubeconfigEndpoint) => void;
}

/** A transport whose credentials change while it is used. */
export interface FollowedTransport extends HttpTransport {
  /** The server and the credentials it is asked with now. */
  endpoint(): KubeconfigEndpoint;
  /** Goes on with another endpoint until the files say something new. */
  use(endpoint: KubeconfigEndpoint): void;
}

/** Between two looks, or runs of a plugin, that refusals ask for: a server that refuses everything asks for many. */
const REFUSED_EVERY_MS = { files: 1_000, plugin: 10_000 };

/**
 * A transport to a foreign API server that follows its kubeconfig: files are read again from time to time, a credential
 * plugin is run when what it gave expires, and both when the server refuses who asks; that request is then made once more.
 * A new token is used from the next request on; anything else means new connections, on which watches begin anew. Throws
 * when the first reading gives nothing.
 */
export function createFollowedTransport(options: FollowedTransportOptions): FollowedTransport {
  const { read, clock, log = silentLogger, lookAgainMs, told, ...http } = options;
  const now = () => clock.monotonicMs();
  let seen = read();
  let asked = seen;
  let issued: IssuedCredentials | undefined;
  let running: Promise<void> | undefined;
  /** Counts changes: a refusal of what is no longer used asks for nothing. */
  let generation = 0;
  let looked = -Infinity;
  let ran = -Infinity;
  let isClosed = false;
  let timer: Timer | undefined;
  const retiring = new Set<HttpTransport>();

  const endpoint = (): KubeconfigEndpoint => {
    const { expiresMs: _expires, ...credentials } = issued ?? {};
    return { ...asked, ...credentials };
  };
  const open = () => {
    const { namespace: _namespace, exec: _exec, token: _token, ...rest } = endpoint();
    return createHttpTransport({ ...rest, ...http, token: () => issued?.token ?? asked.token });
  };
  const connectionOf = (of: KubeconfigEndpoint) => JSON.stringify({ ...of, token: "", namespace: "" });
  let present = open();
  told?.(asked);

  /** Takes over what changed; a connection that was made as somebody else is given up. */
  function change(apply: () => void): void {
    const before = endpoint();
    apply();
    const after = endpoint();
    if (JSON.stringify(before) === JSON.stringify(after)) return;
    generation++;
    if (connectionOf(before) === connectionOf(after)) return;
    const old = present;
    present = open();
    retiring.add(old);
    void old
      .retire()
      .catch(() => undefined)
      .finally(() => retiring.delete(old));
  }
  function use(next: KubeconfigEndpoint): void {
    change(() => {
      if (JSON.stringify(next.exec) !== JSON.stringify(asked.exec)) issued = undefined;
      asked = next;
    });
    told?.(next);
  }
  function look(): void {
    looked = now();
    let next: KubeconfigEndpoint;
    try {
      next = read();
    } catch (error) {
      log.warn("credentials cannot be read anew; the last ones stay", { server: asked.server, error });
      return;
    }
    if (isClosed || JSON.stringify(next) === JSON.stringify(seen)) return;
    seen = next;
    log.info("goes on with new credentials", { server: next.server });
    use(next);
  }
  function lookLater(): void {
    if (lookAgainMs === undefined) return;
    timer = clock.after(lookAgainMs, () => {
      look();
      lookLater();
    });
  }
  lookLater();

  /** One run at a time, whoever waits for it. */
  function runPlugin(): Promise<void> {
    running ??= runCredentialPlugin(asked)
      .then((credentials) => change(() => (issued = credentials)))
      .finally(() => {
        ran = now();
        running = undefined;
      });
    return running;
  }
  const isDue = () =>
    asked.exec !== undefined && (issued === undefined || (issued.expiresMs ?? Infinity) <= clock.now());

  /** Whether there is something newer than what was refused. */
  async function isRenewed(refused: number): Promise<boolean> {
    if (isClosed) return false;
    if (generation !== refused) return true;
    if (now() - looked >= REFUSED_EVERY_MS.files) look();
    if (
      asked.exec !== undefined &&
      generation === refused &&
      (running !== undefined || now() - ran >= REFUSED_EVERY_MS.plugin)
    )
      await runPlugin().catch((error: unknown) => log.warn("the credential plugin gave nothing", { error }));
    return generation !== refused;
  }

  /** Asks, and once more where the server refused who asked and somebody else may ask now. */
  async function ask<T>(request: (by: HttpTransport) => Promise<T>, isRefused: (answer: T) => boolean): Promise<T> {
    if (isDue()) await runPlugin();
    const used = generation;
    try {
      const answer = await request(present);
      if (!isRefused(answer) || !(await isRenewed(used))) return answer;
    } catch (error) {
      if (!isUnauthorized(error) || !(await isRenewed(used))) throw error;
    }
    return request(present);
  }
  const never = () => false;

  function follow(request: WatchRequest, sink: WatchSink): WatchHandle {
    let inner: WatchHandle | undefined;
    let isStopped = false;
    const begin = (isAgain: boolean) => {
      if (isStopped) return;
      const used = generation;
      inner = present.watch(request, {
        event: (type, object) => sink.event(type, object),
        closed(error) {
          if (isAgain || !isUnauthorized(error)) return sink.closed(error);
          void isRenewed(used).then((isNew) => {
            if (isNew) begin(true);
            else if (!isStopped) sink.closed(error);
          });
        },
      });
    };
    if (!isDue()) begin(false);
    else
      runPlugin().then(
        () => begin(false),
        (error: unknown) => {
          if (!isStopped) sink.closed(error instanceof Error ? error : new Error(String(error)));
        },
      );
    return {
      stop() {
        isStopped = true;
        inner?.stop();
      },
    };
  }

  return {
    send: (request) => ask((by) => by.send(request), never),
    list: (request) => ask((by) => by.list(request), never),
    raw: (request) =>
      ask(
        (by) => by.raw(request),
        ({ status }) => status === 401,
      ),
    watch: follow,
    endpoint,
    use,
    retire: () => present.retire(),
    async close() {
      isClosed = true;
      timer?.cancel();
      await Promise.all([present, ...retiring].map((transport) => transport.close()));
    },
  };
}
