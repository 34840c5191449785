import { afterEach, describe, expect, it } from "vitest";
import { silentLogger, systemClock } from "#base";
import type { KubeObject } from "#machinery";
import { createInterpreter, nativeSource } from "../interpreter.ts";
import { type InterpreterPluginHost, startInterpreterPlugin } from "./host.ts";

const widget = {
  apiVersion: "example.io/v1",
  kind: "Widget",
  metadata: { name: "w" },
  spec: { n: 3 },
} as unknown as KubeObject;
let host: InterpreterPluginHost | undefined;
afterEach(() => host?.close());

async function start(rules: string, version = "flotilla.io/interpreter-plugin/v1") {
  const text = `export default { apiVersion: "${version}", name: "Widgets", kinds: { "example.io/v1/Widget": { ${rules} } } };`;
  host = await startInterpreterPlugin({
    url: `data:text/javascript,${encodeURIComponent(text)}`,
    clock: systemClock,
    log: silentLogger,
    timeoutMs: 150,
  });
  return createInterpreter([host.source, nativeSource]);
}

describe("a user's interpreter module", () => {
  it("answers from its own thread for its kinds and rules only", async () => {
    const interpreter = await start(
      `replicas: (o) => ({ replica: o.spec.n }), async revise(o, n) { return { ...o, spec: { ...o.spec, n } }; }, aggregate: (o, items) => ({ ready: items.length })`,
    );
    expect(await interpreter.ask((asked) => asked.replicas(widget)?.replica)).toBe(3);
    expect(await interpreter.ask((asked) => asked.revise(widget, 5))).toMatchObject({ spec: { n: 5 } });
    expect(await interpreter.ask((asked) => asked.aggregate(widget, [{ clusterName: "m1" }], 7))).toEqual({ ready: 1 });
    expect(interpreter.hasHook(widget, "InterpretHealth")).toBe(false);
    expect(interpreter.hasHook({ apiVersion: "v1", kind: "Widget" }, "InterpretReplica")).toBe(false);
  });

  it.each([
    ["throws", `health() { throw new Error("boom"); }`, 'interpreter plugin "Widgets" failed: boom'],
    ["answers nonsense", `health: () => "yes"`, "health must answer true or false"],
    ["hangs", `health() { for (;;); }`, "it did not answer within 150 ms"],
  ])("fails the operation when it %s, and goes on", async (_what, rule, message) => {
    const interpreter = await start(`${rule}, replicas: () => ({ replica: 1 })`);
    await expect(interpreter.ask((asked) => asked.health(widget))).rejects.toThrow(message);
    expect(await interpreter.ask((asked) => asked.replicas(widget)?.replica)).toBe(1);
  });

  it("is refused by name when it is none", async () => {
    await expect(start("", "v0")).rejects.toThrow("apiVersion must be flotilla.io/interpreter-plugin/v1");
    await expect(start("guess: () => 1")).rejects.toThrow('there is no rule "guess"');
  });
});
