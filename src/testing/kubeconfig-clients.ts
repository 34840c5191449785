import { type KubeconfigEndpoint, parseKubeconfig, readKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, createHttpTransport, type HttpTransport } from "#client";

export interface KubeconfigClients {
  /** A client of the current context of a kubeconfig file. */
  readonly connect: (kubeconfig: string) => Client;
  /** The same of the text of one. */
  readonly connectText: (text: string) => Client;
  /** Closes all of them. */
  readonly close: () => Promise<void>;
}

/** Clients of servers that run as programs of their own. */
export function kubeconfigClients(): KubeconfigClients {
  const transports: HttpTransport[] = [];
  const connectTo = ({ namespace: _namespace, ...endpoint }: KubeconfigEndpoint): Client => {
    const transport = createHttpTransport(endpoint);
    transports.push(transport);
    return createClient(transport);
  };
  return {
    connect: (kubeconfig) => connectTo(resolveContext(parseKubeconfig(kubeconfig))),
    connectText: (text) => connectTo(resolveContext(readKubeconfig(text))),
    async close() {
      await Promise.all(transports.map((transport) => transport.close()));
    },
  };
}
