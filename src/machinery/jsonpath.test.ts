import { describe, expect, it } from "vitest";
import { compileJsonPath, JsonPathError } from "./jsonpath.ts";

const root = {
  jobStatus: { jobID: "a-1", "with.dot": 1, state: null },
  count: 3,
  half: 0.5,
  million: 1_000_000,
  small: 0.00001,
  large: 1_234_567.5,
  yes: true,
  pods: [
    { name: "a", ready: true, n: 1 },
    { name: "b", ready: false, n: 2 },
    { name: "c", ready: true, n: 3 },
  ],
};

describe("[RN-9] FO-7 templates", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["{.jobStatus.jobID}", "a-1"],
    ["{$.jobStatus.jobID}", "a-1"],
    ["{jobStatus.jobID}", "a-1"],
    ["{.jobStatus['jobID']}", "a-1"],
    ["{.jobStatus.with\\.dot}", "1"],
    ["id={.jobStatus.jobID}!", "id=a-1!"],
    ["{.jobStatus.state}", "null"],
    ["{.count} {.half} {.yes}", "3 0.5 true"],
    ["{.million}", "1000000"],
    ["{.small}", "1e-05"],
    ["{.large}", "1.2345675e+06"],
    ["{.pods[*].name}", "a b c"],
    ["{.pods[0].name}{.pods[-1].name}", "ac"],
    ["{.pods[0:2].name}", "a b"],
    ["{.pods[::2].n}", "1 3"],
    ["{.pods[0,2].name}", "a c"],
    ['{.pods[?(@.name=="b")].n}', "2"],
    ["{.pods[?(@.n>=2)].name}", "b c"],
    ["{.pods[?(@.ready==true)].name}", "a c"],
    ["{..name}", "a b c"],
    ["{.pods[0]}", '{"name":"a","ready":true,"n":1}'],
    ["{range .pods[*]}{.name},{end}", "a,b,c,"],
    ['{"a }"}', "a }"],
  ];
  for (const [template, text] of cases)
    it(`${template} gives ${text}`, () => expect(compileJsonPath(template)(root)).toBe(text));

  const wrong: readonly (readonly [string, RegExp])[] = [
    ["{.jobStatus.missing}", /missing is not found/],
    ["{.pods[9]}", /out of bounds/],
    ["{.a", /unclosed action/],
    ["{.pods[x]}", /invalid array index x/],
    ["{range .pods[*]}", /unterminated range/],
    ["{end}", /not in range/],
    ["{.count[0]}", /is not array or slice/],
    [`{${"..a".repeat(2_000)}}`, /longer than/],
  ];
  for (const [template, message] of wrong)
    it(`${template.slice(0, 30)} is an error`, () => {
      expect(() => compileJsonPath(template)(root)).toThrow(JsonPathError);
      expect(() => compileJsonPath(template)(root)).toThrow(message);
    });
});
