import type { Cluster } from "#apis/karmada";
import { createCustomizations, createInterpreter, createLuaEngine, nativeSource, thirdPartySource } from "#interpreter";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { type Parsed, parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { clustersAmong, customizationsAmong, planManifests, readManifests } from "../what-if/manifests.ts";
import { simulationTable } from "../what-if/report.ts";
import { listOf, schedulerFlags, withScheduler } from "../what-if/scheduler-flags.ts";
import { type FleetFile, readSnapshot, takeSnapshot } from "../what-if/snapshot.ts";

/** `flotilla simulate schedule`: what the scheduler would do, were things different. It changes nothing. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        {
          name: "filename",
          short: "f",
          meaning: "manifests to apply: file, folder or -; may be given again",
        },
        { name: "against", default: "live", meaning: "the fleet: live, or a file of simulate snapshot" },
        { name: "remove-cluster", meaning: "clusters to take away, with what runs there" },
        {
          name: "add-cluster",
          meaning: "clusters to add: a file of Cluster manifests, or NEW=LIKE for an empty copy of a present one",
        },
        {
          name: "rebalance",
          isSwitch: true,
          meaning: "place every workload anew, as a WorkloadRebalancer of all would",
        },
        { name: "namespace", short: "n", default: "default", meaning: "namespace of manifests that name none" },
        { name: "output", short: "o", default: "table", meaning: "table or json" },
        { name: "all", isSwitch: true, meaning: "show workloads that stay as well" },
        { name: "explain", isSwitch: true, meaning: "put the decisions into the JSON" },
        ...schedulerFlags,
      ],
      `${program} simulate schedule [-f MANIFESTS] [--against live|FILE] [--remove-cluster NAME] [--add-cluster …]`,
    );
    const output = parsed.get("output") ?? "table";
    if (output !== "table" && output !== "json")
      throw new Error(`--output: ${JSON.stringify(output)} must be one of table, json`);
    const against = parsed.get("against") ?? "live";
    const fleet = against === "live" ? await live(parsed) : readSnapshot(against);
    const objects = listOf(parsed, "filename").flatMap(readManifests);
    const now = () => systemClock.now();
    const scripts = createCustomizations({ engine: createLuaEngine({ now: () => now() / 1000 }), now });
    scripts.set(customizationsAmong(objects, fleet));
    const { simulation, unclaimed } = await withScheduler(parsed, systemClock, async (simulate, gates) => {
      const planned = planManifests(objects, fleet, {
        interpreter: createInterpreter([scripts.source, thirdPartySource, nativeSource]),
        namespace: parsed.get("namespace") ?? "default",
        gates,
      });
      const addClusters = [
        ...planned.clusters,
        ...listOf(parsed, "add-cluster").flatMap((word) => addedClusters(word, fleet)),
      ];
      const removeClusters = listOf(parsed, "remove-cluster");
      for (const name of removeClusters)
        if (![...fleet.clusters, ...addClusters].some(({ metadata }) => metadata.name === name))
          throw new Error(`--remove-cluster: there is no cluster ${JSON.stringify(name)}`);
      const simulation = await simulate(
        { clusters: fleet.clusters, bindings: fleet.bindings },
        { removeClusters, addClusters, addBindings: planned.bindings, rebalances: parsed.isOn("rebalance") },
      );
      return { simulation, unclaimed: planned.unclaimed };
    });
    if (output === "table") process.stdout.write(simulationTable(simulation, unclaimed, parsed.isOn("all")));
    else {
      const shown = simulation.bindings.map(({ decision, ...rest }) =>
        parsed.isOn("explain") && decision !== undefined ? { ...rest, decision } : rest,
      );
      const answer = { ...simulation, bindings: shown, withoutPolicy: unclaimed };
      process.stdout.write(
        `${JSON.stringify({ apiVersion: "flotilla.io/v1alpha1", kind: "ScheduleSimulation", ...answer }, undefined, 4)}\n`,
      );
    }
    return 0;
  });
}

async function live(parsed: Parsed): Promise<FleetFile> {
  const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
  try {
    return await takeSnapshot(client, Date.now());
  } finally {
    await transport.close();
  }
}

/** The clusters a value of `--add-cluster` stands for. */
function addedClusters(word: string, fleet: FleetFile): readonly Cluster[] {
  const equals = word.indexOf("=");
  if (equals > 0) {
    const [name, like] = [word.slice(0, equals), word.slice(equals + 1)];
    const model = fleet.clusters.find(({ metadata }) => metadata.name === like);
    if (model === undefined) throw new Error(`--add-cluster: there is no cluster ${JSON.stringify(like)} to copy`);
    return [emptyCopy(model, name)];
  }
  const found = clustersAmong(readManifests(word), fleet);
  if (found.length === 0) throw new Error(`--add-cluster: ${word} holds no Cluster`);
  return found;
}

/** A cluster of the same make where nothing runs yet. */
function emptyCopy(model: Cluster, name: string): Cluster {
  const { resourceSummary, ...status } = model.status ?? {};
  const {
    allocated: _allocated,
    allocating: _allocating,
    allocatableModelings: _models,
    ...summary
  } = resourceSummary ?? {};
  return {
    ...model,
    metadata: { name, ...(model.metadata.labels === undefined ? {} : { labels: model.metadata.labels }) },
    spec: { ...model.spec, taints: [] },
    status: { ...status, ...(resourceSummary === undefined ? {} : { resourceSummary: summary }) },
  } as Cluster;
}
