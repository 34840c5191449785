import type { Clock, Logger } from "#base";
import { expiredSince, readKubeconfig, resolveContext } from "#certs";
import { createHttpTransport, type HttpTransport, type RequestMeasure } from "#client";
import type { Transport } from "#machinery";

/** The control plane, reached with the newest credentials. */
export interface PlaneConnection {
  readonly transport: Transport;
  /** Goes on with another kubeconfig; watches that run keep their connection until they end. */
  use(kubeconfig: string): void;
  stop(): Promise<void>;
}

export interface PlaneConnectionOptions {
  /** Reads the kubeconfig; asked again every half minute. */
  readonly read: () => string;
  readonly context?: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly measure?: RequestMeasure;
}

const LOOK_AGAIN_MS = 30_000;

/** Opens the control plane a kubeconfig names. Throws when the first reading gives none. */
export function createPlaneConnection({ read, context, clock, log, measure }: PlaneConnectionOptions): PlaneConnection {
  let text = read();
  let present: HttpTransport = open(text);
  let isStopped = false;
  const closing: Promise<void>[] = [];

  function open(kubeconfig: string): HttpTransport {
    const { namespace: _namespace, ...endpoint } = resolveContext(readKubeconfig(kubeconfig), context);
    const ended =
      endpoint.clientCertificate === undefined ? undefined : expiredSince(endpoint.clientCertificate, clock.now());
    if (ended !== undefined)
      log.error("the client certificate for the control plane has expired: register anew, or replace the kubeconfig", {
        since: ended,
      });
    return createHttpTransport({
      ...endpoint,
      userAgent: "karmada-agent",
      ...(measure === undefined ? {} : { measure }),
    });
  }

  function use(kubeconfig: string): void {
    if (kubeconfig === text || isStopped) return;
    const fresh = open(kubeconfig);
    const old = present;
    text = kubeconfig;
    present = fresh;
    closing.push(old.close().catch(() => undefined));
    log.info("went on with new credentials for the control plane");
  }

  const look = () => {
    if (isStopped) return;
    try {
      use(read());
    } catch (error) {
      log.warn("the kubeconfig of the control plane cannot be read; the last one stays", { error });
    }
    timer = clock.after(LOOK_AGAIN_MS, look);
  };
  let timer = clock.after(LOOK_AGAIN_MS, look);

  return {
    transport: {
      send: (request) => present.send(request),
      list: (request) => present.list(request),
      watch: (request, sink) => present.watch(request, sink),
      raw: (request) => present.raw(request),
    },
    use,
    async stop() {
      isStopped = true;
      timer.cancel();
      await Promise.all([present.close(), ...closing]);
    },
  };
}
