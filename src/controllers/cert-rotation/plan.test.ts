import { expect, it } from "vitest";
import { isRotationDue } from "./plan.ts";

it.each([
  ["fresh", 0, false],
  ["four fifths over", 80, true],
  ["a moment before", 79, false],
  ["ended", 120, true],
])("CE-2 %s", (_title, nowMs, expected) => {
  expect(isRotationDue({ notBeforeMs: 0, notAfterMs: 100 }, nowMs, 0.2)).toBe(expected);
});
