import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";

const MESSAGE_BYTES_MAX = 1024 * 1024;

/** An acceptor of WebSockets that speaks the first of `protocols` the client offers. */
export const webSockets = (protocols: readonly string[]): WebSocketServer =>
  new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_BYTES_MAX,
    handleProtocols: (offered) => protocols.find((protocol) => offered.has(protocol)) ?? false,
  });

export const asksFor = (request: IncomingMessage): "websocket" | "spdy" | undefined => {
  const upgrade = String(request.headers.upgrade).toLowerCase();
  if (upgrade === "websocket") return "websocket";
  return upgrade === "spdy/3.1" ? "spdy" : undefined;
};

/** Tells a client of SPDY that its connection is one from here on; `undefined` where no protocol fits, which it is told. */
export function acceptSpdy(request: IncomingMessage, socket: Duplex, protocols: readonly string[]): string | undefined {
  const offered = [request.headers["x-stream-protocol-version"] ?? []]
    .flat()
    .flatMap((line) => line.split(",").map((word) => word.trim()));
  const chosen = protocols.find((protocol) => offered.includes(protocol));
  if (chosen === undefined) {
    const text = `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(" ")}], server accepts [${protocols.join(" ")}]`;
    refuse(socket, 403, "Forbidden", text);
    return undefined;
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${chosen}\r\n\r\n`,
  );
  return chosen;
}

export function refuse(socket: Duplex, code: number, reason: string, text: string): void {
  socket.end(
    `HTTP/1.1 ${code} ${reason}\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
  );
}
