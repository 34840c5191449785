import { expect, it, vi } from "vitest";
import { whenAborted } from "./when-aborted.ts";

it("calls all who wait once, in the order they came, and nobody who stopped", () => {
  const abort = new AbortController();
  const listen = vi.spyOn(abort.signal, "addEventListener");
  const called: string[] = [];
  const second = () => void called.push("second");
  whenAborted(abort.signal, () => void called.push("first"));
  whenAborted(abort.signal, second);
  const stop = whenAborted(abort.signal, second);
  whenAborted(abort.signal, () => void called.push("last"))();
  stop();
  stop();
  expect(called).toEqual([]);
  abort.abort();
  abort.abort();
  expect(called).toEqual(["first", "second"]);
  expect(listen).toHaveBeenCalledTimes(1);
});

it("lets one who is called stop another, and calls at once when it is over", () => {
  const abort = new AbortController();
  const called: string[] = [];
  let stop = (): void => undefined;
  whenAborted(abort.signal, () => stop());
  stop = whenAborted(abort.signal, () => void called.push("stopped"));
  abort.abort();
  expect(called).toEqual([]);
  whenAborted(abort.signal, () => void called.push("late"))();
  expect(called).toEqual(["late"]);
});
