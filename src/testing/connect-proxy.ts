import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

/** An HTTP proxy that tunnels whatever it is asked for, and remembers what that was. */
interface ConnectProxy {
  readonly url: string;
  /** `host:port` of every tunnel, the oldest first. */
  readonly asked: readonly string[];
  /** Ends every tunnel; new ones are made as before. */
  cut(): void;
  close(): void;
}

export async function startConnectProxy(): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer();
  server.on("connect", (request, socket: Socket) => {
    asked.push(request.url ?? "");
    const [host = "", port] = (request.url ?? "").split(":");
    const onward = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(onward).pipe(socket);
    });
    for (const [own, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(own);
      own
        .on("error", () => undefined)
        .on("close", () => {
          sockets.delete(own);
          other.destroy();
        });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    cut,
    close() {
      cut();
      server.close();
    },
  };
}
