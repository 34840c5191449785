import { parseKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, createHttpTransport, type HttpTransport } from "#client";

export interface KubeconfigClients {
  /** A client of the current context of a kubeconfig file. */
  readonly connect: (kubeconfig: string) => Client;
  /** Closes all of them. */
  readonly close: () => Promise<void>;
}

/** Clients of servers that run as programs of their own. */
export function kubeconfigClients(): KubeconfigClients {
  const transports: HttpTransport[] = [];
  return {
    connect(kubeconfig) {
      const { namespace: _namespace, ...endpoint } = resolveContext(parseKubeconfig(kubeconfig));
      const transport = createHttpTransport(endpoint);
      transports.push(transport);
      return createClient(transport);
    },
    async close() {
      await Promise.all(transports.map((transport) => transport.close()));
    },
  };
}
