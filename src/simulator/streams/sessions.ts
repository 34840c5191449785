import { PassThrough, type Readable, type Writable } from "node:stream";
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { serveSpdy, type SpdyStream } from "./spdy.ts";

/** Channels of Kubernetes' remote command protocol over WebSockets. */
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const RESULT = 3;
const CLOSE = 255;

/** Which streams of a command the client wants. */
export interface Wanted {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly isTerminal: boolean;
}

/** The streams of one command, whatever carries them. */
export interface Session {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Tells the exit code and ends the session. */
  finish(code: number): void;
}

const statusOf = (code: number): string =>
  JSON.stringify(
    code === 0
      ? { metadata: {}, status: "Success" }
      : {
          metadata: {},
          status: "Failure",
          message: `command terminated with non-zero exit code: exit status ${code}`,
          reason: "NonZeroExitCode",
          details: { causes: [{ reason: "ExitCode", message: String(code) }] },
        },
  );

/** A session over the channels of a WebSocket. */
export function webSocketSession(peer: WebSocket, wanted: Wanted): Session {
  const send = (channel: number, content: Buffer) => {
    if (peer.readyState === peer.OPEN) peer.send(Buffer.concat([Buffer.from([channel]), content]));
  };
  const output = (channel: number): Writable => {
    const stream = new PassThrough();
    stream.on("data", (content: Buffer) => send(channel, content));
    return stream;
  };
  const stdin = wanted.stdin ? new PassThrough() : undefined;
  peer.on("error", () => peer.terminate());
  peer.on("close", () => stdin?.end());
  peer.on("message", (message: Buffer) => {
    const [channel] = message;
    const content = message.subarray(1);
    if (channel === CLOSE && content[0] === STDIN) stdin?.end();
    if (channel !== STDIN || stdin === undefined || stdin.writableEnded) return;
    // Older protocols have no other way to say that nothing follows.
    if (content.length === 0) stdin.end();
    else if (!stdin.write(content)) {
      peer.pause();
      stdin.once("drain", () => peer.resume());
    }
  });
  return {
    stdin,
    stdout: output(STDOUT),
    stderr: output(STDERR),
    finish(code) {
      // What was written before goes out first.
      setImmediate(() => {
        send(RESULT, Buffer.from(statusOf(code)));
        peer.close(1000);
      });
    },
  };
}

/** Sessions over SPDY: one begins when all streams the client wants are there. */
export function spdySession(connection: Duplex, wanted: Wanted, begin: (session: Session) => void): void {
  const needed = [
    "error",
    ...(wanted.stdin ? ["stdin"] : []),
    ...(wanted.stdout ? ["stdout"] : []),
    ...(wanted.stderr && !wanted.isTerminal ? ["stderr"] : []),
  ];
  const streams = new Map<string, SpdyStream>();
  let hasBegun = false;
  void serveSpdy(connection, (stream) => {
    const type = stream.headers["streamtype"] ?? "";
    streams.set(type, stream);
    // Only what the program reads is kept; sizes of terminals mean nothing here.
    if (type !== "stdin") stream.resume();
    if (hasBegun || !needed.every((name) => streams.has(name))) return;
    hasBegun = true;
    const nowhere = new PassThrough().resume();
    begin({
      stdin: streams.get("stdin"),
      stdout: streams.get("stdout") ?? nowhere,
      stderr: streams.get("stderr") ?? streams.get("stdout") ?? nowhere,
      finish(code) {
        streams.get("error")?.write(statusOf(code));
        for (const stream of streams.values()) stream.end();
        streams.get("stdin")?.resume();
        // The client closes the connection when it has read everything; one that does not is closed for it.
        setTimeout(() => connection.end(), 1_000).unref();
      },
    });
  }).catch(() => connection.destroy());
}
