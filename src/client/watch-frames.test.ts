import { expect, it } from "vitest";
import type { KubeObject } from "#machinery";
import { WatchFrames, type WatchTurn } from "./watch-frames.ts";

const frame = (name: string, type = "ADDED") =>
  `${JSON.stringify({ type, object: { kind: "Thing", metadata: { name } } })}\n`;

/** Frames of a watch, read in turns where `isInTurn` says so. */
function aWatch(isInTurn: boolean) {
  const told: string[] = [];
  const failures: Error[] = [];
  const asked = new Set<WatchTurn>();
  const abort = new AbortController();
  const sink = {
    event: (type: string, { metadata }: KubeObject) => void told.push(`${type} ${metadata.name}`),
    closed() {},
  };
  const frames = new WatchFrames(
    sink,
    abort.signal,
    (error) => failures.push(error),
    isInTurn ? (turn) => void asked.add(turn) : undefined,
  );
  /** Gives everyone who asked a turn of so many items. */
  const serve = (items: number) => {
    for (const turn of [...asked]) {
      asked.delete(turn);
      if (turn({ endMs: Number.POSITIVE_INFINITY, items })) asked.add(turn);
    }
  };
  return { frames, told, failures, asked, abort, serve };
}

it("reads frames as they come, however they are cut", () => {
  const { frames, told } = aWatch(false);
  const text = frame("one") + frame("two", "MODIFIED");
  for (const byte of text) frames.take(Buffer.from(byte));
  frames.take(Buffer.from(`\n${frame("three")}`));
  expect(told).toEqual(["ADDED one", "MODIFIED two", "ADDED three"]);
  expect(() => frames.take(Buffer.from("nonsense\n"))).toThrow(SyntaxError);
});

it("reads frames in turns, in their order and no more in one than it may", () => {
  const { frames, told, asked, serve } = aWatch(true);
  frames.take(Buffer.from(frame("one") + frame("two") + frame("three")));
  expect(told).toEqual([]);
  serve(2);
  expect(told).toEqual(["ADDED one", "ADDED two"]);
  frames.take(Buffer.from(frame("four")));
  expect(asked.size).toBe(1);
  serve(10);
  expect(told).toEqual(["ADDED one", "ADDED two", "ADDED three", "ADDED four"]);
  expect(asked.size).toBe(0);
});

it("reads everything at once when much waits, or when the watch ends in order", () => {
  const { frames, told } = aWatch(true);
  const long = "x".repeat(6_000_000);
  for (let at = 0; at < 5; at++) frames.take(Buffer.from(frame(`${at}${long}`)));
  expect(told).toHaveLength(0);
  frames.take(Buffer.from(frame(`5${long}`)));
  expect(told).toHaveLength(6);
  frames.take(Buffer.from(frame("last")));
  expect(told).toHaveLength(6);
  frames.readAll();
  expect(told.at(-1)).toBe("ADDED last");
});

it("tells of a frame that is none, or says the watch is over, and reads no further", () => {
  const gone = { type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", message: "too old" } };
  for (const [line, message] of [
    ["nonsense\n", /nonsense|JSON/],
    [`${JSON.stringify(gone)}\n`, /too old/],
  ] as const) {
    const { frames, told, failures, asked, serve } = aWatch(true);
    frames.take(Buffer.from(frame("one") + line + frame("two")));
    serve(10);
    serve(10);
    expect(told).toEqual(["ADDED one"]);
    expect(failures.map((error) => error.message)).toEqual([expect.stringMatching(message)]);
    expect(asked.size).toBe(0);
  }
});

it("tells nothing more once the watch was given up", () => {
  const { frames, told, abort, serve } = aWatch(true);
  frames.take(Buffer.from(frame("one")));
  abort.abort();
  serve(10);
  expect(told).toEqual([]);
});
