import { createServer, type Server } from "node:http";
import type { Duplex } from "node:stream";
import { getPath, type KubeObject } from "#machinery";

interface Port {
  readonly containerPort?: number;
  readonly protocol?: string;
}

/** The container that listens on a port, by what the pod declares. */
export function listenerOn(pod: KubeObject, port: number): string | undefined {
  const containers = (getPath(pod, "spec", "containers") ?? []) as readonly {
    readonly name: string;
    readonly ports?: readonly Port[];
  }[];
  return containers.find(({ ports = [] }) =>
    ports.some(({ containerPort, protocol = "TCP" }) => containerPort === port && protocol === "TCP"),
  )?.name;
}

/** Speaks HTTP on a connection to a port of a simulated container: every request is answered with who got it. */
export function answerHttp(connection: Duplex, pod: KubeObject, container: string, port: number): void {
  const server: Server = createServer((request, response) => {
    request.resume();
    const { name, namespace } = pod.metadata;
    const node = String(getPath(pod, "spec", "nodeName") ?? "");
    response.setHeader("content-type", "text/plain; charset=utf-8");
    response.end(
      `${request.method} ${request.url}\nanswered by container ${container} of pod ${namespace}/${name} on node ${node}, port ${port} (simulated)\n`,
    );
  });
  server.on("clientError", (_error, socket) => socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"));
  server.emit("connection", connection);
}
