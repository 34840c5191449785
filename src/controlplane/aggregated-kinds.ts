import type { KeyPair } from "#certs";
import { createHttpTransport, type HttpTransport } from "#client";
import { forwardingTransport, serviceUnavailable, type Transport } from "#machinery";

/**
 * The control plane's own way to kinds of aggregated servers: through the HTTPS side of this very server, which knows where
 * they are and tells them who asks. It leads nowhere until the server listens.
 */
export interface AggregatedWay {
  readonly transport: Transport;
  /** The server listens at `address`; whoever listens there is this process, so its certificate says nothing. */
  open(address: string, administrator: KeyPair): void;
  close(): Promise<void>;
}

export function aggregatedWay(): AggregatedWay {
  let inner: HttpTransport | undefined;
  const ready = (): HttpTransport => {
    if (inner === undefined)
      throw serviceUnavailable("this server does not listen yet: no aggregated server is reached");
    return inner;
  };
  return {
    transport: forwardingTransport(ready),
    open(address, { certificate, key }) {
      const before = inner;
      inner = createHttpTransport({
        server: address,
        clientCertificate: certificate,
        clientKey: key,
        insecureSkipTlsVerify: true,
        userAgent: "flotilla-aggregated-kinds",
      });
      void before?.close();
    },
    async close() {
      await inner?.close();
      inner = undefined;
    },
  };
}
