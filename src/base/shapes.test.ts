import { expect, test } from "vitest";
import { copyOf, copyWith, copyWithout } from "./index.ts";

const given = JSON.parse('{"a":1,"b":{"c":2},"__proto__":{"polluted":true}}') as Record<string, unknown>;

test("a copy has the members of both in the order in which they came, the later value of one in both", () => {
  const copy = copyWith(given, { b: 3, d: undefined });
  expect(Object.keys(copy)).toEqual(["a", "b", "__proto__", "d"]);
  expect(JSON.stringify(copy)).toBe('{"a":1,"b":3,"__proto__":{"polluted":true}}');
  expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
});

test("a copy leaves out what it is told to, there or not, and changes nothing", () => {
  const before = JSON.stringify(given);
  const copy = copyWithout(given, "a", "none");
  expect(JSON.stringify(copy)).toBe('{"b":{"c":2},"__proto__":{"polluted":true}}');
  expect(copy["b"]).toBe(given["b"]);
  expect(JSON.stringify(given)).toBe(before);
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

test("a copy of all has the symbols, too, and stands by itself", () => {
  const mark = Symbol("mark");
  const marked = Object.assign(JSON.parse('{"a":1,"__proto__":{"polluted":true}}') as Record<string, unknown>, {
    [mark]: { b: [] },
  });
  const copy = copyOf(marked);
  expect(JSON.stringify(copy)).toBe('{"a":1,"__proto__":{"polluted":true}}');
  expect(copy[mark]).toBe(marked[mark]);
  copy["a"] = 2;
  expect(marked["a"]).toBe(1);
});
