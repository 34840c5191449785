import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AuthorizerValue,
  bool,
  CelBudgetError,
  CelEnvironment,
  CelTypeError,
  CostBudget,
  dyn,
  fromJson,
  objectTypeOf,
  opaqueType,
  schemaType,
  toJson,
} from "#cel";
import type { JsonSchema } from "#machinery";

const schema: JsonSchema = {
  type: "object",
  properties: {
    spec: {
      type: "object",
      properties: {
        replicas: { type: "integer" },
        ratio: { type: "number" },
        name: { type: "string" },
        "a-b.c": { type: "string" },
        namespace: { type: "string" },
        port: { "x-kubernetes-int-or-string": true },
        wait: { type: "string", format: "duration" },
        since: { type: "string", format: "date-time" },
        tags: { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
        hosts: {
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
          items: { type: "object", properties: { name: { type: "string" }, ip: { type: "string" } } },
        },
        limits: { type: "object", additionalProperties: { type: "string" } },
      },
    },
    status: { type: "object", properties: { replicas: { type: "integer" } } },
  },
};
const self = schemaType(schema, undefined, true);
const typed = new CelEnvironment({ variables: { self, oldSelf: self } });
const object = {
  apiVersion: "example.io/v1",
  kind: "Thing",
  metadata: { name: "thing" },
  spec: {
    replicas: 3,
    ratio: 2,
    name: "web-1",
    "a-b.c": "x",
    namespace: "here",
    port: "http",
    wait: "1h30m",
    since: "2026-01-02T03:04:05.678Z",
    tags: ["a", "b"],
    hosts: [
      { name: "m1", ip: "10.0.0.1" },
      { name: "m2", ip: "10.0.0.2" },
    ],
    limits: { cpu: "500m", memory: "1Gi" },
  },
};
const old = { ...object, spec: { ...object.spec, tags: ["b", "a"], hosts: [...object.spec.hosts].reverse() } };
const variables = { self: fromJson(object, self), oldSelf: fromJson(old, self) };
const evaluate = (source: string) => toJson(typed.compile(source).run(variables));

const failure = (act: () => unknown): Error => {
  try {
    act();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was refused");
};

const TRUE = [
  "self.spec.replicas + 1 == 4 && self.spec.replicas / 2 == 1 && 7 % 4 == 3 && -self.spec.replicas < 0",
  "self.spec.ratio * 1.5 == 3.0 && self.spec.replicas < 3.5 && 5u > 4u && int(3.9) == 3",
  "self.spec.name.matches('^web-[0-9]+$') && self.spec.name.find('[0-9]') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22']",
  "self.spec.a__dash__b__dot__c == 'x' && self.spec.__namespace__ == 'here' && self.spec.`a-b.c` == 'x'",
  "type(self.spec.port) == string && self.spec.port == 'http'",
  "self.spec.wait > duration('1h') && self.spec.wait.getMinutes() == 90 && string(self.spec.wait) == '5400s'",
  "self.spec.since.getFullYear() == 2026 && self.spec.since + duration('1s') > self.spec.since && self.spec.since.getHours('Asia/Tokyo') == 12",
  "string(self.spec.since) == '2026-01-02T03:04:05.678Z' && self.spec.since.getMilliseconds() == 678",
  "self.spec.tags == oldSelf.spec.tags && self.spec.hosts == oldSelf.spec.hosts && ['a', 'b'] != ['b', 'a']",
  "(self.spec.tags + ['b', 'c']).size() == 3",
  "self.metadata.name == 'thing' && self.kind == 'Thing' && !has(self.metadata.generateName)",
  "!has(self.status) && has(self.spec.limits.cpu) && !has(self.spec.limits.gpu) && 'cpu' in self.spec.limits",
  "self.spec.limits.all(k, k.size() > 2) && self.spec.limits['cpu'] == '500m'",
  "self.spec.limits.all(k, v, isQuantity(v)) && self.spec.hosts.exists(i, h, i == 1 && h.name == 'm2')",
  "quantity(self.spec.limits['memory']).isGreaterThan(quantity('1G')) && quantity('1500m').add(1).compareTo(quantity('2.5')) == 0",
  "quantity('2').asInteger() == 2 && !quantity('1.5').isInteger()",
  "quantity('1Gi').isInteger() && !quantity('1.5Gi').isInteger() && !quantity('1000m').isInteger() && quantity('1Ki').add(2).asInteger() == 1026",
  "'%s %d %.2f %e'.format([['a', 1.5, null], 5, 1234.565, 0.00012]) == '[\"a\", 1.500000, null] 5 1,234.57 1.200000×10⁻⁰⁴'",
  "string(1e20) == '1e+20' && string(timestamp('2020-01-02T03:04:05+02:00')) == '2020-01-02T03:04:05+02:00' && duration('90.5s').getMilliseconds() == 90500",
  "url('http://[fe80::1%25eth0]:80/a?x=1&y&z=%zz#f').getHostname() == 'fe80::1%eth0' && url('/a?x=1&y&z=%zz#f').getQuery() == {'x': ['1'], 'y': ['']}",
  "self.spec.hosts.map(h, h.name) == ['m1', 'm2'] && self.spec.hosts.filter(h, h.ip.endsWith('2')).size() == 1",
  "self.spec.hosts.map(h, h.ip.endsWith('2'), h.name) == ['m2'] && self.spec.hosts.exists_one(h, h.name == 'm1')",
  "self.spec.hosts.exists(h, cidr('10.0.0.0/8').containsIP(h.ip)) && ip('::1').isLoopback() && ip('fe80::1').family() == 6",
  "string(ip('2001:db8:0:0::1')) == '2001:db8::1' && !isIP('::ffff:1.2.3.4') && ip.isCanonical('10.0.0.1')",
  "string(cidr('192.168.1.7/16').masked()) == '192.168.0.0/16' && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
  "url('https://a.example:8443/p q'.replace(' ', '%20') + '?x=1&x=2').getQuery()['x'] == ['1', '2'] && isURL('/only/path') && !isURL('x y')",
  "url('https://a.example:8443/p').getHost() == 'a.example:8443' && url('https://[::1]:80/').getHostname() == '::1'",
  "semver('1.2.3-rc.1').isLessThan(semver('1.2.3')) && semver('v1.2', true).minor() == 2 && !isSemver('1.2')",
  "format.dns1123Label().validate('a.b').hasValue() && !format.named('labelValue').value().validate('ok').hasValue()",
  "sets.contains([1, 2, 3], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2]) && [1, 3, 2].max() == 3",
  "[1, 2].isSorted() && [duration('1s'), duration('2s')].sum() == duration('3s') && [1, 2, 1].lastIndexOf(1) == 2",
  "self.?status.replicas.orValue(7) == 7 && self.?spec.name.value() == 'web-1' && {'a': 1}[?'b'].or(optional.of(2)).value() == 2",
  "optional.of(3).optMap(x, x + 1).value() == 4 && [?optional.none(), 1].size() == 1 && {?'a': optional.none()}.size() == 0",
  "{'a': 1, 'b': 2}.transformMap(k, v, v * 2)['b'] == 4 && ['x'].transformList(i, v, v + string(i)) == ['x0']",
  "'%s is %d of %.2f at %x'.format([dyn('a'), 5, 2.5, 255]) == 'a is 5 of 2.50 at ff' && strings.quote('a\"b') == '\"a\\\\\"b\"'",
  "[3, 1, 2].sortBy(x, -x) == [3, 2, 1] && ['b', 'a'].sort() == ['a', 'b'] && [1, 2, 1].distinct().reverse() == [2, 1] && [1, 2, 3].slice(1, 2) == [2] && [[1], [2]].flatten() == lists.range(3).slice(1, 3) && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && ['a', 'b'].join('-') == 'a-b' && 'hello'.substring(1, 3) == 'el'",
  "'héllo'.size() == 5 && 'hello'.indexOf('l', 3) == 3 && 'ABC'.lowerAscii() == 'abc' && ' x '.trim() == 'x' && 'abc'.charAt(1) == 'b'",
  "false && self.spec.limits.gone == '' || true || self.spec.limits.gone == ''",
  "[0, 2].exists(x, 4 / x == 2) && (self.spec.replicas > 1 ? 'many' : 'few') == 'many'",
  "jsonpatch.escapeKey('a/b~c') == 'a~1b~0c' && bytes('a') == b'a' && int('42') == 42 && double('1e2') == 100.0",
  "-9223372036854775808 < 9223372036854775807 && 0x10 == 16 && '\\u00e9' == 'é' && r'\\d' == '\\\\d'",
];

describe("CEL of Kubernetes", () => {
  test.each(TRUE)("holds: %s", (source) => {
    expect(typed.compile(source, bool).run(variables)).toBe(true);
  });

  test.each([
    ["self.spec.gone == 1", "ERROR: <input>:1:10: undefined field 'gone'\n | self.spec.gone == 1\n | .........^"],
    [
      "self.spec.replicas == 'x'",
      "ERROR: <input>:1:20: found no matching overload for '_==_' applied to '(int, string)'",
    ],
    ["self.spec.replicas + self.spec.ratio > 1.0", "found no matching overload for '_+_' applied to '(int, double)'"],
    [
      "self.spec.name.contains(1)",
      "ERROR: <input>:1:24: found no matching overload for 'contains' applied to 'string.(int)'",
    ],
    ["other.spec", "undeclared reference to 'other' (in container '')"],
    ["nothing(self)", "undeclared reference to 'nothing' (in container '')"],
    ["self.spec.replicas.all(x, x > 1)", "expression of type 'int' cannot be range of a comprehension"],
    ["self.spec.name.x", "type 'string' does not support field selection"],
    ["[1, 'a'].size() == 2", "expected type 'int' but found 'string'"],
    ["true ? 1 : 'a'", "found no matching overload for '_?_:_' applied to '(bool, int, string)'"],
    ["self.spec.name == null", "found no matching overload for '_==_' applied to '(string, null)'"],
    ["self.spec.replicas >", "Syntax error"],
    ["", "no expression was given"],
  ])("is refused when written: %s", (source, message) => {
    expect(failure(() => typed.compile(source)).message).toContain(message);
  });

  test("an expression of another type than asked for names the type it must have", () => {
    const error = failure(() => typed.compile("self.spec.replicas", bool));
    expect(error).toBeInstanceOf(CelTypeError);
    expect(error.message).toBe("must evaluate to bool");
  });

  test.each([
    ["self.spec.limits.gone == 'x'", "no such key: gone"],
    ["self.status.replicas == 1", "no such key: status"],
    ["dyn(null).data == 'x'", "no such key: data"],
    ["dyn(1).data == 'x'", "no such key: data"],
    ["{dyn(null).key: dyn(null).value}.size() == 1", "no such key: key"],
    ["self.spec.tags[5] == 'x'", "index out of bounds: 5"],
    ["1 / (self.spec.replicas - 3) == 1", "division by zero"],
    ["9223372036854775807 + self.spec.replicas > 0", "integer overflow"],
    ["quantity('x').isInteger()", "quantities must match"],
    ["dyn(self.spec.replicas) + 'a' == 'a'", "no such overload"],
  ])("fails while it runs: %s", (source, message) => {
    expect(failure(() => evaluate(source)).message).toContain(message);
  });

  test("untyped objects are read as they come, whole numbers as integers", () => {
    const untyped = new CelEnvironment({ variables: { object: dyn } });
    const run = (source: string) => toJson(untyped.compile(source).run({ object: fromJson(object, dyn) }));
    expect(run("object.spec.replicas + 1")).toBe(4);
    expect(run("object.metadata.namespace == 'x' || object.spec.namespace == 'here'")).toBe(true);
    expect(run("object.spec.port == 'http' && object.spec.replicas != 'three'")).toBe(true);
    expect(run("{'a': [dyn(1), {'b': object.spec.tags}]}.a[1].b")).toEqual(["a", "b"]);
    expect(run("object.spec.?nothing.?deeper.orValue('none')")).toBe("none");
  });

  test("a rule that loops over huge lists stops with the budget's error, and nothing forgives it", () => {
    const environment = new CelEnvironment({ variables: { list: dyn } });
    const list = fromJson(
      Array.from({ length: 2000 }, (_, at) => at),
      dyn,
    );
    const nested = environment.compile("true || list.all(x, list.all(y, list.all(z, x + y + z >= 0)))", bool);
    expect(nested.run({ list })).toBe(true);
    const looping = environment.compile("list.all(x, list.all(y, x + y >= 0)) || true", bool);
    const error = failure(() => looping.run({ list }));
    expect(error).toBeInstanceOf(CelBudgetError);
    expect(error.message).toBe("operation cancelled: actual cost limit exceeded");
    const budget = new CostBudget(30_000);
    const once = environment.compile("list.all(x, x >= 0)", bool);
    expect(once.run({ list }, budget)).toBe(true);
    expect(() => {
      once.run({ list }, budget);
      once.run({ list }, budget);
      once.run({ list }, budget);
    }).toThrow(CelBudgetError);
  });

  test.each([
    ["bool('5')", "instantiation failed: type conversion error from 'string' to 'bool'"],
    ["double('x') > 1.0", "instantiation failed: type conversion error from 'string' to 'double'"],
    ["int('1.5') == 1", "instantiation failed: type conversion error from 'string' to 'int'"],
    ["uint('-1') == 1u", "instantiation failed: type conversion error from 'string' to 'uint'"],
    ["int(self.spec.name) == 1", "type conversion error from 'string' to 'int'"],
    [
      "'%s'.format([dyn(quantity('1'))]) == ''",
      "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given kubernetes.Quantity",
    ],
    ["'5'.substring(5, 2) == ''", "invalid substring range. start: 5, end: 2"],
    [
      "isIP('x') || ip('x').family() == 4",
      `IP Address "x" parse error during conversion from string: ParseAddr("x"): unable to parse IP`,
    ],
    [
      "ip('01.2.3.4').family() == 4",
      `IP Address "01.2.3.4" parse error during conversion from string: ParseAddr("01.2.3.4"): IPv4 field has octet with leading zero`,
    ],
    [
      "ip('1.2.x.4').family() == 4",
      `IP Address "1.2.x.4" parse error during conversion from string: ParseAddr("1.2.x.4"): unexpected character (at "x.4")`,
    ],
    ["ip('::ffff:1.2.3.4').family() == 4", `IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed`],
    ["ip('fe80::1%eth0').family() == 6", `IP address "fe80::1%eth0" with zone value is not allowed`],
    [
      "cidr('x').prefixLength() == 1",
      `network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix("x"): no '/'`,
    ],
    [
      "cidr('10.0.0.0/08').prefixLength() == 8",
      `network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0/08"): bad bits after slash: "08"`,
    ],
    [
      "cidr('10.0.0.0/33').prefixLength() == 8",
      `network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0/33"): prefix length out of range`,
    ],
    [
      "cidr('::ffff:1.2.3.4/120').prefixLength() == 8",
      `network address parse error during conversion from string: IPv4-mapped IPv6 address "::ffff:1.2.3.4/120" is not allowed`,
    ],
    ["url('').getScheme() == ''", `URL parse error during conversion from string: parse "": empty url`],
    [
      "url('http://a b').getScheme() == ''",
      `URL parse error during conversion from string: parse "http://a b": invalid character " " in host name`,
    ],
    [
      "url('https://x:port/').getScheme() == ''",
      `URL parse error during conversion from string: parse "https://x:port/": invalid port ":port" after host`,
    ],
    [
      "!isURL('/x y') || url('x').getScheme() == ''",
      `URL parse error during conversion from string: parse "x": invalid URI for request`,
    ],
  ])("%s says what is wrong as kube-apiserver does", (source, message) => {
    expect(failure(() => evaluate(source)).message).toBe(message);
  });

  test("bounds of a schema bound the estimate", () => {
    const of = (maxItems: number | undefined) => {
      const list = schemaType({
        type: "array",
        ...(maxItems === undefined ? {} : { maxItems }),
        items: { type: "string", maxLength: 10 },
      });
      return new CelEnvironment({ variables: { self: list } }).compile("self.all(x, self.all(y, x != y))")
        .estimatedCost;
    };
    expect(of(10)).toBeLessThan(2000);
    expect(of(undefined)).toBeGreaterThan(10_000_000);
  });

  test.each([
    ["self.s == 'abc'", 3],
    ["self.s == self.t", 1_204],
    ["self.s.startsWith('abc')", 3],
    ["self.s.contains('abc')", 2_002],
    ["self.s.matches('^abc$')", 4_004],
    ["self.s in self.l", 704],
    ["self.l.all(x, x == 'abc')", 3_503],
    ["self.l.exists(x, x.startsWith('abc'))", 4_203],
    ["self.l.exists_one(x, x == 'a')", 2_804],
    ["self.l.map(x, x + 'a').size() > 1", 21_015],
    ["self.l.filter(x, x == 'a').size() > 1", 10_515],
    ["self.m.all(k, k == 'abc')", 1_203],
    ["has(self.s) ? self.s == 'x' : self.t == 'y'", 4],
    ["self.s.split('/').size() == 2", 4_004],
    ["self.l.join(',') == 'a'", 11_273],
    ["self.l.isSorted()", 11_902],
    ["sets.equivalent(self.l, ['a'])", 1_413],
    ["isCIDR(self.s) && cidr(self.s).containsIP('1.2.3.4')", 4_009],
    ["self.n > 5 && self.n < 7 || self.n == 9", 8],
  ])("%s is estimated to cost what kube-apiserver estimates", (rule, cost) => {
    const text = (maxLength: number) => ({ type: "string", maxLength }) as const;
    const self = schemaType({
      type: "object",
      properties: {
        s: text(5_000),
        t: text(3_000),
        n: { type: "integer" },
        l: { type: "array", maxItems: 700, items: text(40) },
        m: { type: "object", maxProperties: 300, additionalProperties: text(20) },
      },
    });
    expect(new CelEnvironment({ variables: { self } }).compile(rule).estimatedCost).toBe(cost);
  });

  test("object literals are checked by their type and become JSON", () => {
    const object = objectTypeOf({ op: dyn, path: dyn, value: dyn }, "JSONPatch");
    const environment = new CelEnvironment({
      variables: { labels: dyn },
      construct: (name) => (name === "JSONPatch" || name === "Object.spec" ? object : undefined),
    });
    const run = (source: string) => toJson(environment.compile(source).run({ labels: fromJson({ a: "b" }, dyn) }));
    expect(run('[JSONPatch{op: "add", path: "/a/" + labels.a, value: {"x": "{"}}, JSONPatch{op: "x"}]')).toEqual([
      { op: "add", path: "/a/b", value: { x: "{" } },
      { op: "x" },
    ]);
    expect(run("Object.spec{value: 1, ?path: labels[?'gone']}")).toEqual({ value: 1 });
    expect(failure(() => run("Object.spec{gone: 1}")).message).toContain(":13: undefined field 'gone'");
    expect(failure(() => run("Other{op: 1}")).message).toContain("undeclared reference to 'Other'");
  });

  test("whatever is written, an expression is refused or gives a value, in bounded work", () => {
    const words = [
      ..."()[]{}.,?:!-+*/%<>=&|`'\"",
      ...[
        "self",
        "spec",
        "tags",
        "hosts",
        ".all(x, ",
        ".map(x, ",
        ".?",
        "[?",
        "has(",
        "x",
        "1",
        "2u",
        "0.5",
        "'a'",
        "null",
        "true",
      ],
      ...[
        " in ",
        " == ",
        " && ",
        "size(",
        "Object{",
        "b'",
        "\\",
        "\n",
        "//",
        "é",
        "quantity(",
        ".format([",
        "optional.of(",
      ],
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 14 }), (parts) => {
        try {
          typed.compile(parts.join("")).run(variables);
        } catch (error) {
          expect((error as Error).name).toMatch(/^Cel(Compile|Type|Runtime|Budget)Error$/);
        }
      }),
      { numRuns: 2000, seed: 5 },
    );
  });

  test("the authorizer answers what an expression asks", () => {
    const asked: unknown[] = [];
    const authorizer = new AuthorizerValue((check) => {
      asked.push(check);
      return { isAllowed: check.verb === "get", reason: "said so" };
    });
    const environment = new CelEnvironment({
      variables: { authorizer: opaqueType("kubernetes.authorization.Authorizer") },
    });
    const run = (source: string) => environment.compile(source).run({ authorizer });
    expect(run("authorizer.group('apps').resource('deployments').namespace('a').check('get').allowed()")).toBe(true);
    expect(run("authorizer.serviceAccount('a', 'b').path('/x').check('post').reason()")).toBe("said so");
    expect(asked).toMatchObject([
      { group: "apps", resource: "deployments", namespace: "a", verb: "get" },
      { serviceAccount: { namespace: "a", name: "b" }, path: "/x", verb: "post" },
    ]);
  });
});
