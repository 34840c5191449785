import { describe, expect, test } from "vitest";
import type { Cluster, ResourceBinding } from "#apis/karmada";
import { silentLogger, systemClock } from "#base";
import type { SchedulingInput } from "./facts.ts";
import { scoreClusters } from "./filter-score.ts";
import { startPluginHost } from "./plugin-host/host.ts";
import { definePlugin, type SchedulerPlugin } from "./plugins/plugin.ts";

const clusters = ["m1", "m2"].map(
  (name) =>
    ({
      apiVersion: "cluster.karmada.io/v1alpha1",
      kind: "Cluster",
      metadata: { name },
      spec: { syncMode: "Push" },
    }) as Cluster,
);
const binding = {
  apiVersion: "work.karmada.io/v1alpha2",
  kind: "ResourceBinding",
  metadata: { name: "web" },
  spec: { resource: { apiVersion: "v1", kind: "ConfigMap", name: "web" } },
} as ResourceBinding;
const input = { spec: binding.spec, placement: {}, clusters } as unknown as SchedulingInput;

/** Scores by a plugin, and what was measured of it. */
function scored(plugin: SchedulerPlugin) {
  const points = new Set<string>();
  const scores = scoreClusters(input, clusters, {
    plugins: [plugin],
    measure: { nowMs: () => 0, took() {}, ran: (name, point) => void points.add(`${name} ${point}`) },
  });
  return { scores, points: [...points] };
}

describe("scores of a plugin that normalises them", () => {
  test("may lie anywhere before, and count as they are afterwards; the normalisation is measured by upstream's name", async () => {
    const raw: Readonly<Record<string, number>> = { m1: 300, m2: 1200 };
    const linked = definePlugin({
      name: "Linked",
      score: (_, { metadata }) => raw[metadata.name ?? ""] ?? 0,
      normalizeScores: (_, scores) => new Map([...scores].map(([name, score]) => [name, score / 12])),
    });
    expect(scored(linked)).toEqual({
      scores: [25, 100],
      points: ["Linked Score", "Linked ScoreExtensionNormalize"],
    });
    const source = `export default { apiVersion: "flotilla.io/scheduler-plugin/v1", name: "Hosted",
      score: ({ cluster }) => ({ m1: 300, m2: 1200 })[cluster.metadata.name],
      normalizeScores: ({ scores }) => ({ m1: scores.m1 / 12, m2: scores.m2 / 12 }),
    };`;
    const host = await startPluginHost({
      url: `data:text/javascript,${encodeURIComponent(source)}`,
      clock: systemClock,
      log: silentLogger,
      timeoutMs: 10_000,
    });
    try {
      expect(scored(await host.ask(binding, clusters))).toEqual({
        scores: [25, 100],
        points: ["Hosted Score", "Hosted ScoreExtensionNormalize"],
      });
    } finally {
      host.close();
    }
  });

  test("fail the pass by the plugin's name when they still lie elsewhere, or one is missing", () => {
    const bad = (scores: Readonly<Record<string, number>>) =>
      definePlugin({ name: "Bad", score: () => 1, normalizeScores: () => new Map(Object.entries(scores)) });
    expect(() => scored(bad({ m1: 5, m2: 101 }))).toThrow('plugin "Bad" must score from 0 to 100, not 101');
    expect(() => scored(bad({ m1: 5 }))).toThrow('plugin "Bad" must score from 0 to 100, not undefined');
  });
});
