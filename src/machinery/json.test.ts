import { expect, it } from "vitest";
import { asJsonNumber, parseJson, writeJson } from "./json.ts";

it.each([
  ["numbers a double holds", '{"a":9007199254740991,"b":-1,"c":1.5,"d":1e20}'],
  ["the largest and the least of 64 bits", '{"a":9223372036854775807,"b":-9223372036854775808}'],
  [
    "beside texts that look like them",
    '{"a":9007199254740993,"b":": 9007199254740993","c":"\\\\\\" ,9007199254740995"}',
  ],
  ["in lists", "[9007199254740993,[9007199254740995],0]"],
  ["beside texts that look like a marked number", '{"a":9007199254740993,"b":"\\u00015","c":"\\u00027"}'],
  ["beside a text that begins with a mark", '{"a":9007199254740993,"b":"\\u0001x"}'],
])("keeps %s", (_title, text) => {
  expect(writeJson(parseJson(text))).toBe(text.replace("1e20", "100000000000000000000"));
});

it("reads what is larger, or has a fraction, as a double", () => {
  expect(parseJson("[9223372036854775808, 12345678901234567.5, 1234567890123456789e1]")).toEqual([
    2 ** 63,
    Number("12345678901234567.5"),
    Number("12345678901234567890"),
  ]);
  expect(parseJson('{ "a": 9007199254740993 }')).toEqual({ a: 9007199254740993n });
  expect(asJsonNumber(5n)).toBe(5);
  expect(asJsonNumber(2n ** 60n + 1n)).toBe(2n ** 60n + 1n);
  expect(asJsonNumber(2n ** 63n)).toBe(2 ** 63);
});

it("leaves other writers able to write", () => {
  expect(JSON.stringify({ a: 9007199254740993n })).toBe('{"a":9007199254740992}');
  expect(() => parseJson('{"a":9007199254740993,}')).toThrow(SyntaxError);
});
