import type { Clock, Logger } from "#base";
import { expiredSince, type KubeconfigEndpoint, readKubeconfig, resolveContext } from "#certs";
import { createFollowedTransport, type RequestMeasure } from "#client";
import type { Transport } from "#machinery";

/** The control plane, reached with the newest credentials. */
export interface PlaneConnection {
  readonly transport: Transport;
  /** Goes on with the kubeconfig of a certificate that was renewed, until the file says something new. */
  use(kubeconfig: string): void;
  stop(): Promise<void>;
}

export interface PlaneConnectionOptions {
  /** Reads the kubeconfig; asked again every half minute, and when the control plane refuses who asks. */
  readonly read: () => KubeconfigEndpoint;
  readonly context?: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly measure?: RequestMeasure;
}

const LOOK_AGAIN_MS = 30_000;

/** Opens the control plane a kubeconfig names. Throws when the first reading gives none. */
export function createPlaneConnection({ read, context, clock, log, measure }: PlaneConnectionOptions): PlaneConnection {
  function told({ clientCertificate }: KubeconfigEndpoint): void {
    const ended = clientCertificate === undefined ? undefined : expiredSince(clientCertificate, clock.now());
    if (ended !== undefined)
      log.error("the client certificate for the control plane has expired: register anew, or replace the kubeconfig", {
        since: ended,
      });
  }
  const transport = createFollowedTransport({
    read,
    clock,
    log,
    told,
    lookAgainMs: LOOK_AGAIN_MS,
    userAgent: "karmada-agent",
    ...(measure === undefined ? {} : { measure }),
  });
  return {
    transport,
    use(kubeconfig) {
      transport.use(resolveContext(readKubeconfig(kubeconfig), context));
      log.info("went on with new credentials for the control plane");
    },
    stop: () => transport.close(),
  };
}
