import fc from "fast-check";
import { expect, it } from "vitest";
import { indented, inLines } from "./pretty.ts";

const setIn = (pieces: readonly Buffer[]) => Buffer.concat([...indented(pieces)]).toString();

it("JSON in lines is what Go's encoder and JavaScript's write, however it was cut", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(), (value, at) => {
      const whole = Buffer.from(`${JSON.stringify(value)}\n`);
      const cut = at % (whole.length + 1);
      expect(setIn([whole.subarray(0, cut), whole.subarray(cut)])).toBe(JSON.stringify(value, undefined, 2));
    }),
  );
  expect(setIn([Buffer.from('{"a":9007199254740993,"b":[],"c":{},"d":"\\"{"}\n')])).toBe(
    '{\n  "a": 9007199254740993,\n  "b": [],\n  "c": {},\n  "d": "\\"{"\n}',
  );
});

it.each([
  ["as pretty says", "/api?pretty=true", "x", "{\n"],
  ["as the form says", "/api", "application/json;pretty=1", "{\n"],
  ["for curl", "/api", "curl/8", "{\n"],
  ["not for others", "/api", "kubectl", "{}"],
  ["not where pretty says no", "/api?pretty=0", "curl/8", "{}"],
])("answers are set in lines %s", (_title, url, agent, begin) => {
  const headers = { "content-type": "application/json" };
  const body = Buffer.from(begin === "{}" ? "{}\n" : '{"a":1}\n');
  const answer = inLines({ url, headers: { "user-agent": agent, accept: agent } }, { status: 200, headers, body });
  expect("body" in answer ? answer.body.toString().slice(0, 2) : "").toBe(begin);
});
