import { afterEach, describe, expect, it } from "vitest";
import type { Cluster, ResourceBinding } from "#apis/karmada";
import { silentLogger, systemClock } from "#base";
import { type PluginHost, startPluginHost } from "../index.ts";

const clusters: readonly Cluster[] = ["m1", "m2"].map((name) => ({
  apiVersion: "cluster.karmada.io/v1alpha1",
  kind: "Cluster",
  metadata: { name },
  spec: { syncMode: "Push" },
}));
const binding = (name: string): ResourceBinding => ({
  apiVersion: "work.karmada.io/v1alpha2",
  kind: "ResourceBinding",
  metadata: { name },
  spec: { resource: { apiVersion: "v1", kind: "ConfigMap", name } },
});

let host: PluginHost | undefined;
afterEach(() => host?.close());

const PATIENT_MS = 10_000;
const start = (body: string, version = "flotilla.io/scheduler-plugin/v1", timeoutMs = PATIENT_MS) =>
  startPluginHost({
    url: `data:text/javascript,${encodeURIComponent(`export default { apiVersion: "${version}", name: "Mine", ${body} };`)}`,
    clock: systemClock,
    log: silentLogger,
    timeoutMs,
  });

describe("a user's scheduler plugin", () => {
  it("answers from its own thread, at once or later", async () => {
    host = await start(
      `async filter({ cluster }) { return cluster.metadata.name === "m1" ? "not here" : undefined; }, score: () => 50`,
    );
    const plugin = await host.ask(binding("a"), clusters);
    expect(clusters.map((cluster) => plugin.filter?.({} as never, cluster))).toEqual(["not here", undefined]);
    expect(plugin.score?.({} as never, clusters[1] as Cluster)).toBe(50);
  });

  it.each([
    ["throws", `filter() { throw new Error("boom"); }`, 'plugin "Mine" failed: boom'],
    ["answers no reason", `filter: () => 7`, 'plugin "Mine" failed: filter must answer a reason or nothing, not 7'],
    [
      "scores out of bounds",
      `score: () => 101`,
      'plugin "Mine" failed: score must be a number from 0 to 100, not 101 (cluster m1)',
    ],
    ["scores nothing", `score: () => Number.NaN`, "score must be a number from 0 to 100"],
    ["estimates a text", `estimate: () => "many"`, 'estimate must answer a whole number from -1, not "many"'],
  ])("fails the pass by its name when it %s", async (_what, body, message) => {
    host = await start(body);
    await expect(host.ask(binding("a"), clusters)).rejects.toThrow(message);
  });

  it("is ended when it hangs, even in a loop without end, and answers the next pass anew", async () => {
    host = await start(`filter({ binding }) { while (binding.metadata.name === "hang"); }`, undefined, 2_000);
    await expect(host.ask(binding("hang"), clusters)).rejects.toThrow(
      'plugin "Mine" failed: it did not answer within 2000 ms',
    );
    const plugin = await host.ask(binding("fine"), clusters);
    expect(plugin.filter?.({} as never, clusters[0] as Cluster)).toBeUndefined();
  });

  it("is refused when it is made for another API version, has a bad name or is no plugin", async () => {
    await expect(start("", "flotilla.io/scheduler-plugin/v9")).rejects.toThrow(
      'apiVersion must be flotilla.io/scheduler-plugin/v1, not "flotilla.io/scheduler-plugin/v9"',
    );
    await expect(
      startPluginHost({ url: "data:text/javascript,export%20default%201", clock: systemClock, log: silentLogger }),
    ).rejects.toThrow("the module must export the plugin as default");
    await expect(start(`filter: 1`)).rejects.toThrow("filter must be a function");
  });
});
