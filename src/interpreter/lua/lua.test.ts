import { describe, expect, it } from "vitest";
import type { ResourceInterpreterCustomization } from "#apis/karmada";
import type { KubeObject } from "#machinery";
import { createInterpreter, type Interpreter } from "../interpreter.ts";
import { createCustomizations, type CustomizationTrouble } from "./customization.ts";
import { createLuaEngine } from "./engine.ts";
import { formatText } from "./format.ts";

type Scripts = Readonly<Record<string, string>>;
const widget = (more: object = {}) =>
  ({ apiVersion: "example.io/v1", kind: "Widget", metadata: { name: "w", namespace: "shop" }, ...more }) as KubeObject;
const customization = (name: string, scripts: Scripts, kind = "Widget"): ResourceInterpreterCustomization =>
  ({
    apiVersion: "config.karmada.io/v1alpha1",
    kind: "ResourceInterpreterCustomization",
    metadata: { name },
    spec: {
      target: { apiVersion: "example.io/v1", kind },
      customizations: Object.fromEntries(Object.entries(scripts).map(([rule, luaScript]) => [rule, { luaScript }])),
    },
  }) as unknown as ResourceInterpreterCustomization;

function interpreterOf(...all: readonly ResourceInterpreterCustomization[]) {
  const troubles: CustomizationTrouble[] = [];
  let nowMs = 1_000_000;
  const engine = createLuaEngine({ now: () => nowMs / 1000, stepsMax: 200_000, bytesMax: 4 * 1024 * 1024 });
  const own = createCustomizations({ engine, now: () => nowMs, onTrouble: (trouble) => troubles.push(trouble) });
  own.set(all);
  const interpreter: Interpreter = createInterpreter([own.source]);
  return { interpreter, own, troubles, pass: (ms: number) => (nowMs += ms) };
}
/** What `return <text>` gives as a status. */
const value = (text: string) =>
  interpreterOf(
    customization("a", { statusReflection: `function ReflectStatus(o)\n  return { v = ${text} }\nend` }),
  ).interpreter.reflect(widget({ spec: { n: 3, half: 2.5, list: ["a", "b"] } }))?.["v"];
const statusScript = (body: string) =>
  customization("a", { statusReflection: `function ReflectStatus(o) ${body} end` });

describe("Lua 5.1 on the machine", () => {
  it.each<[string, unknown]>([
    ["tostring(3)", "3"],
    ["o.spec.n .. ''", "3"],
    ["tostring(2^31 + 1)", "2147483649"],
    ["1024 * 1024 * 1024 * 4", 4294967296],
    ["math.floor(2^31) + math.floor(2^31)", 4294967296],
    ["tonumber('3000000000') + tonumber('3000000000')", 6000000000],
    ["tonumber('ff', 16)", 255],
    ["tonumber('x')", undefined],
    ["tonumber('  12  ')", 12],
    ["0.1 .. ''", "0.1"],
    ["tostring(1/0)", "+Inf"],
    ["table.getn(o.spec.list)", 2],
    ["select(2, unpack(o.spec.list))", "b"],
    [
      "string.format('%5.1f|%-4s|%04d|%x|%g|%q', 3.14159, 'ab', 42, 255, 0.5, 'say \"hi\"')",
      '  3.1|ab  |0042|ff|0.5|"say \\"hi\\""',
    ],
    ["string.format('%d', 3.99)", "3"],
    ["string.format('%d', 10000000000)", "10000000000"],
    ["string.find('hello world', 'o w')", 5],
    ["string.match('2024-05-01', '(%d+)-(%d+)')", "2024"],
    ["string.match('key = value', '^(%w+)%s*=%s*(%w+)$')", "key"],
    ["string.find('a.b', '.', 2, true)", 2],
    ["string.match('f(a(b)c)d', '%b()')", "(a(b)c)"],
    ["string.match('THE (quick) fox', '%f[%a]%a+', 5)", "quick"],
    ["('x'):upper()", "X"],
    ["string.sub('hello', -3)", "llo"],
    ["string.reverse('abc')", "cba"],
    ["table.concat({1, 2, 3}, '-')", "1-2-3"],
    ["os.date('!%Y-%m-%d %H:%M:%S', 0)", "1970-01-01 00:00:00"],
    ["os.time({year = 2024, month = 5, day = 1, hour = 0})", 1714521600],
    ["os.date('*t', 86400).day", 2],
    ["pcall(loadstring, 'x')", false],
    ["require('kube').resourceAdd('100m', '1', nil)", "1100m"],
    ["require('kube').getResourceQuantity('1Ki')", 1024],
    ["require('kube').resourceAdd()", "0"],
    ["require('kube').resourceAdd(nil, nil)", "0"],
    ["require('kube').resourceAdd('1Gi', '1Mi')", "1025Mi"],
    ["require('kube').resourceAdd('9007199254740993', '1')", "9007199254740994"],
    ["require('kube').getResourceQuantity(nil)", 0],
    ["require('kube').getResourceQuantity('250m')", 0.25],
    ["require('kube').accuratePodRequirements({ spec = { containers = {} } })", undefined],
    [
      "require('kube').accuratePodRequirements({ spec = { containers = { { resources = { limits = { cpu = '1500m' } } } } } })",
      { resourceRequest: { cpu: "1500m" } },
    ],
    ["require('kube').getPodDependencies({ spec = {} }, 'shop')", undefined],
    [
      "require('kube').getPodDependencies({ spec = { serviceAccountName = 'robot' } }, nil)",
      [{ apiVersion: "v1", kind: "ServiceAccount", namespace: "default", name: "robot" }],
    ],
  ])("%s", (text, expected) => {
    expect(value(text)).toEqual(expected);
  });

  it("formats as C does", () => {
    const given = (...values: readonly (string | number)[]) => {
      const left = [...values];
      return () => left.shift() as string | number;
    };
    expect(formatText("%+d % d %e %G %%", given(5, 5, 12345.678, 1e-10))).toBe("+5  5 1.234568e+04 1E-10 %");
    expect(() => formatText("%y", given(1))).toThrow("invalid option '%y' to 'format'");
  });
});

describe("a customization", () => {
  it("gives each call an environment of its own", () => {
    const { interpreter } = interpreterOf(
      customization("a", {
        statusReflection: "leaked = 1\nstring.upper = nil\nfunction ReflectStatus(o) return { a = 1 } end",
      }),
      customization("b", {
        healthInterpretation:
          "function InterpretHealth(o) return leaked == nil and ('x'):upper() == string.upper('x') end",
      }),
      customization("c", { replicaResource: "function Other() end" }),
    );
    interpreter.reflect(widget());
    expect(interpreter.health(widget())).toBe(true);
    expect(() => interpreter.replicas(widget())).toThrow("not found function GetReplicas");
  });

  it.each([
    ["loops", "local n = 0 while true do n = n + 1 end"],
    ["loops and catches its errors", "while true do pcall(function() while true do end end) end"],
    ["recurses", "local function f(n) return 1 + f(n + 1) end return { v = f(1) }"],
    ["doubles a text", "local s = 'xxxxxxxxxxxxxxxx' while true do s = s .. s end"],
    ["fills a table", "local t = {} local i = 0 while true do i = i + 1 t[i] = {} end"],
    [
      "matches for ever",
      "local s = string.format('%s', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') return { v = string.find(s, 'a-a-a-a-a-a-a-a-a-a-b') }",
    ],
    ["sorts for ever", "local t = {} for i = 1, 2000 do t[i] = i end while true do table.sort(t) end"],
  ])("that %s is stopped, said so, and left alone for a while; others go on", (_what, body) => {
    const { interpreter, troubles, pass } = interpreterOf(
      statusScript(body),
      customization("b", { healthInterpretation: "function InterpretHealth(o) return true end" }),
    );
    expect(() => interpreter.reflect(widget())).toThrow(/deadline exceeded|memory limit exceeded|stack overflow/);
    if (troubles.length > 0) {
      expect(() => interpreter.reflect(widget())).toThrow("used more than its share and is paused");
      pass(1_000);
      expect(() => interpreter.reflect(widget())).toThrow(/deadline exceeded|memory limit exceeded/);
      expect(troubles.map(({ pauseMs }) => pauseMs)).toEqual([1_000, 2_000]);
    }
    expect(interpreter.health(widget())).toBe(true);
  });

  it.each([
    ["raises", "error('boom')", "boom"],
    ["raises a table", "error({})", "error object is a table value"],
    ["indexes nothing", "return o.a.b", "attempt to index"],
    ["returns nothing", "", "expect the returned replica type is table but got nil"],
    ["returns a text", "return 'x'", "expect the returned replica type is table but got string"],
    ["returns not a number", "return { v = 0/0 }", "unsupported value"],
    ["returns a ring", "local t = {} t.t = t return t", "cannot encode recursively nested tables"],
    ["returns a sparse list", "return { v = { [1] = 1, [3] = 3 } }", "cannot encode sparse array"],
    ["returns a function", "return { v = print }", "cannot encode function"],
    ["repeats a text", "return { v = string.rep('a', 3) }", "string.rep is not supported"],
    ["reaches for metatables", "return { v = getmetatable('') }", "call function getmetatable is not supported"],
    ["adds a number", "return { v = require('kube').resourceAdd(1, '1') }", "expect a quantity as string or nil"],
    ["adds no quantity", "return { v = require('kube').resourceAdd('1', 'lots') }", "cannot parse 'lots'"],
    ["asks for a negative amount", "return { v = require('kube').getResourceQuantity('-1') }", "negative"],
    ["asks for no amount", "return { v = require('kube').getResourceQuantity() }", "only accepts one argument"],
    [
      "asks for two amounts",
      "return { v = require('kube').getResourceQuantity('1', '2') }",
      "only accepts one argument",
    ],
    ["asks for the amount of a table", "return { v = require('kube').getResourceQuantity({}) }", "but got table"],
    ["asks what a text needs", "return { v = require('kube').accuratePodRequirements('x') }", "expects a pod template"],
    [
      "asks what nothing needs",
      "return { v = require('kube').accuratePodRequirements() }",
      "only accepts one argument",
    ],
    ["forgets the namespace", "return { v = require('kube').getPodDependencies({}) }", "only accepts two argument"],
    ["gives a table as namespace", "return { v = require('kube').getPodDependencies({}, {}) }", "expects a namespace"],
    ["requires a file", "return { v = require('fs') }", "module fs not found"],
  ])("that %s fails with a clear reason", (_what, body, message) => {
    const { interpreter, troubles } = interpreterOf(statusScript(body));
    expect(() => interpreter.reflect(widget())).toThrow(message);
    expect(troubles).toEqual([]);
  });

  it.each([["-1"], ["2 ^ 31"], ["0 / 0"], ["'3'"], ["nil"], ["true"]])("that wants %s replicas fails", (count) => {
    const { interpreter } = interpreterOf(
      customization("a", { replicaResource: `function GetReplicas(o) return ${count} end` }),
    );
    expect(() => interpreter.replicas(widget())).toThrow(/no number of replicas|is not number|unsupported value/);
  });

  it("keeps empty maps and lists that came in, and arguments as they were", () => {
    const { interpreter } = interpreterOf(
      customization("a", {
        replicaRevision:
          "function ReviseReplica(o, n) o.spec.n = n o.spec.moved = o.spec.volumes o.spec.volumes = nil o.spec.new = {} return o end",
      }),
    );
    const object = widget({ spec: { n: 1, volumes: [], labels: {} } });
    expect(interpreter.revise(object, 4)).toEqual(widget({ spec: { n: 4, labels: {}, moved: [] } }));
    expect(object).toEqual(widget({ spec: { n: 1, volumes: [], labels: {} } }));
  });

  it("of several customizations the first by name answers; dependencies are united; changes count at once", () => {
    const dependency = (name: string) =>
      `function GetDependencies(o) return { { apiVersion = "v1", kind = "ConfigMap", namespace = "shop", name = "${name}" } } end`;
    const { interpreter, own } = interpreterOf(
      customization("b", {
        replicaResource: "function GetReplicas() return 2 end",
        dependencyInterpretation: dependency("x"),
      }),
      customization("a", {
        replicaResource: "function GetReplicas() return 1 end",
        dependencyInterpretation: dependency("y"),
      }),
      customization("c", { replicaResource: "function GetReplicas() return 3 end" }, "Gadget"),
    );
    expect(interpreter.replicas(widget())?.replica).toBe(1);
    expect(interpreter.dependencies(widget())?.map(({ name }) => name)).toEqual(["x", "y"]);
    own.set([customization("b", { replicaResource: "function GetReplicas() return 2 end" })]);
    expect(interpreter.replicas(widget())?.replica).toBe(2);
    own.set([]);
    expect(interpreter.hasHook(widget(), "InterpretReplica")).toBe(false);
  });
});
