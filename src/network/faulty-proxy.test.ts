import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "#base";
import { eventually } from "#testing";
import { type FaultyProxy, startFaultyProxy } from "./faulty-proxy.ts";

let server: Server;
let proxy: FaultyProxy;
const sockets: Socket[] = [];
beforeEach(async () => {
  // Answers whatever it is told.
  server = createServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  proxy = await startFaultyProxy({ host: "127.0.0.1", port: 0, to: { host: "127.0.0.1", port }, clock: systemClock });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await proxy.close();
  await new Promise((resolve) => server.close(resolve));
});

function dial() {
  const socket = connect(proxy.port, "127.0.0.1");
  sockets.push(socket);
  const line = { heard: "", end: "" };
  socket.on("data", (chunk: Buffer) => (line.heard += chunk.toString()));
  socket.on("error", (error: Error & { code?: string }) => (line.end = error.code ?? error.message));
  socket.on("close", () => (line.end ||= "closed"));
  return { line, say: (text: string) => socket.write(text) };
}

test("a steady way passes everything on; a large answer arrives whole", async () => {
  const { line, say } = dial();
  const text = "x".repeat(3_000_000);
  say(text);
  await eventually(() => line.heard.length === text.length);
  expect(line.heard).toBe(text);
});

test("down resets what is open and what comes, up lets new connections through", async () => {
  const first = dial();
  first.say("a");
  await eventually(() => first.line.heard === "a");
  proxy.setFaults({ isDown: true });
  await eventually(() => first.line.end === "ECONNRESET");
  const second = dial();
  await eventually(() => second.line.end !== "");
  proxy.setFaults({ isDown: false });
  const third = dial();
  third.say("c");
  await eventually(() => third.line.heard === "c");
});

test("a black hole keeps connections, old and new, and loses nothing when it is mended", async () => {
  const first = dial();
  first.say("a");
  await eventually(() => first.line.heard === "a");
  proxy.setFaults({ isHanging: true });
  const second = dial();
  first.say("b");
  second.say("c");
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect([first.line, second.line]).toEqual([
    { heard: "a", end: "" },
    { heard: "", end: "" },
  ]);
  proxy.setFaults({ isHanging: false });
  await eventually(() => first.line.heard === "ab" && second.line.heard === "c");
});

test("what is late arrives in order, also when the delay ends in between", async () => {
  const { line, say } = dial();
  proxy.setFaults({ latencyMs: 60 });
  for (const text of ["a", "b", "c"]) {
    say(text);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  proxy.setFaults({ latencyMs: 0 });
  say("d");
  await eventually(() => line.heard === "abcd");
});
