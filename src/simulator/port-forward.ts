import { PassThrough, Duplex } from "node:stream";
import { createWebSocketStream, type WebSocket } from "ws";
import type { Connect, RunningApiServer, UpgradeRequest } from "#apiserver";
import { badRequest, getPath, type KubeObject } from "#machinery";
import { podOf } from "./exec.ts";
import { answerHttp, listenerOn } from "./streams/http-answer.ts";
import { serveSpdy, type SpdyStream } from "./streams/spdy.ts";
import { acceptSpdy, asksFor, refuse, webSockets } from "./streams/upgrade.ts";

const PROTOCOL = "portforward.k8s.io";
/** SPDY inside of a WebSocket, as kubectl speaks it today. */
const TUNNEL = `SPDY/3.1+${PROTOCOL}`;
const CHANNELS = ["v4.channel.k8s.io", PROTOCOL];
const PORTS_MAX = 64;

/** Where one forwarded connection goes, and where is told why it does not. */
interface Forwarded {
  readonly data: Duplex;
  readonly error: { end(text?: string): unknown };
}

/**
 * `pods/NAME/portforward` of a simulated member, over SPDY, SPDY in a WebSocket, and the channels of a WebSocket: the ports
 * its containers declare answer HTTP, the others refuse the connection.
 */
export function simulatedPortForward(api: () => RunningApiServer): Connect {
  const acceptor = webSockets([TUNNEL, ...CHANNELS]);
  return async (request, path) => {
    if (path.group !== "" || path.resource !== "pods" || path.subresource !== "portforward") return undefined;
    const pod = await podOf(api(), path);
    if (getPath(pod, "status", "phase") !== "Running")
      throw badRequest(
        `unable to forward port because pod is not running. Current status=${String(getPath(pod, "status", "phase") ?? "Pending")}`,
      );
    const ports = new URL(request.url, "http://localhost").searchParams.getAll("ports").flatMap((text) =>
      text.split(",").map((one) => {
        const port = Number(one);
        if (!Number.isInteger(port) || port < 1 || port > 65_535)
          throw badRequest(`unable to parse ${JSON.stringify(one)} as a port`);
        return port;
      }),
    );
    if (ports.length > PORTS_MAX) throw badRequest(`at most ${PORTS_MAX} ports are forwarded by one connection`);
    return {
      accept(upgrade: UpgradeRequest, socket: Duplex, head: Buffer) {
        const kind = asksFor(upgrade);
        if (kind === "websocket")
          acceptor.handleUpgrade(upgrade, socket, head, (peer) => {
            peer.on("error", () => peer.terminate());
            if (peer.protocol === TUNNEL) overSpdy(createWebSocketStream(peer), pod);
            else overChannels(peer, pod, ports);
          });
        else if (kind === "spdy") {
          if (acceptSpdy(upgrade, socket, [PROTOCOL]) === undefined) return;
          if (head.length > 0) socket.unshift(head);
          overSpdy(socket, pod);
        } else refuse(socket, 400, "Bad Request", "unable to upgrade: WebSockets and SPDY/3.1 are known");
      },
    };
  };
}

function serve({ data, error }: Forwarded, pod: KubeObject, port: number): void {
  const container = listenerOn(pod, port);
  if (container === undefined) {
    error.end(
      `error forwarding port ${port} to pod ${pod.metadata.uid}, uid : failed to connect to localhost:${port} inside the pod: dial tcp4 127.0.0.1:${port}: connect: connection refused`,
    );
    data.end();
    data.resume();
    return;
  }
  data.once("close", () => error.end());
  data.once("finish", () => error.end());
  answerHttp(data, pod, container, port);
}

/** Streams come in pairs of one request: one for what goes wrong, one for data. */
function overSpdy(connection: Duplex, pod: KubeObject): void {
  const waiting = new Map<string, SpdyStream>();
  void serveSpdy(connection, (stream) => {
    const { streamtype, port = "", requestid = "" } = stream.headers;
    const other = waiting.get(requestid);
    if (other === undefined) {
      waiting.set(requestid, stream);
      stream.once("close", () => waiting.delete(requestid));
      return;
    }
    waiting.delete(requestid);
    const [data, error] = streamtype === "data" ? [stream, other] : [other, stream];
    error.resume();
    serve({ data, error }, pod, Number(port));
  }).catch(() => connection.destroy());
}

/** Two channels a port: data and error. Each begins with the port, two bytes, little end first. */
function overChannels(peer: WebSocket, pod: KubeObject, ports: readonly number[]): void {
  const send = (channel: number, content: Buffer) => {
    if (peer.readyState === peer.OPEN) peer.send(Buffer.concat([Buffer.from([channel]), content]));
  };
  const inputs = ports.map((port, at) => {
    const named = Buffer.alloc(2);
    named.writeUInt16LE(port);
    send(2 * at, named);
    send(2 * at + 1, named);
    const input = new PassThrough();
    const output = new PassThrough();
    output.on("data", (content: Buffer) => send(2 * at, content));
    const data = Duplex.from({ readable: input, writable: output });
    data.on("error", () => {});
    const error = { end: (text?: string) => (text === undefined ? undefined : send(2 * at + 1, Buffer.from(text))) };
    serve({ data, error }, pod, port);
    return input;
  });
  peer.on("message", (message: Buffer) => {
    const channel = message[0] ?? 1;
    if (channel % 2 === 0) inputs[channel / 2]?.write(message.subarray(1));
  });
  peer.on("close", () => {
    for (const input of inputs) input.end();
  });
}
