import { expect, test } from "vitest";
import { ConfigMap } from "#apis/kubernetes";
import { PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import { type KubeObject, type ResourceKind, setPath } from "#machinery";
import { actions } from "./actions/index.ts";
import { policiesProfile } from "./policies/index.ts";
import { runProfile, runSimulation } from "./simulation.ts";
import { type Action, change, isManaged, kindOf, NAMESPACE, objectsOf, templatesOf, type World } from "./world.ts";

const told = ({ failure, history }: Awaited<ReturnType<typeof runSimulation>>) =>
  failure === undefined ? "" : `${failure.checker}: ${failure.message}\n${history.join("\n")}`;

test.each([1, 3, 5, 12, 24, 36])("[DR-26] propagation comes to rest in the right state, seed %i", async (seed) => {
  expect(told(await runSimulation({ seed, steps: 50 }))).toBe("");
});

test.each([
  [1104, "a policy that stopped selecting a kind and then went left its marks on templates"],
  [1426, "a policy that stopped selecting a kind and then went left its marks on templates"],
  [1454, "a policy changed while a template was being claimed kept it"],
  [1239, "a resource refused while the cluster's APIs were unknown was never placed there"],
  [3368, "a repair that had to be tried again counted as a contest"],
  [4194, "a repair that had to be tried again while the status moved on counted as a contest"],
  [1298, "a copy deleted between its writing and the first list of its kind was not made again"],
])("seed %i: %s", async (seed) => {
  expect(told(await runSimulation({ seed, steps: seed < 3000 ? 60 : 70 }))).toBe("");
});

test.each([
  [1, "policies in full"],
  [16, "policies in full, with a pull member"],
  [5, "a policy that changed activated a template a lazy policy had taken from it"],
  [2042, "a workload its policy had let go lost at a restart what it needed"],
  [10008, "a member's own object was taken over and deleted in a cluster the policy that overwrites did not name"],
  [30568, "a copy that was preserved by a member that was down keeps what it had when it is taken back"],
  [50689, "a control plane that stops as a definition goes lets what it made stay until the definition is back"],
  [70898, "a start, and the end of the policy before it, made a lazy policy that had preempted take effect"],
  [2081, "a start activated a lazy policy for a template another one's binding depended on"],
])("[DR-26] seed %i: %s", async (seed) => {
  expect(told(await runProfile(policiesProfile, { seed, steps: seed === 5 ? 60 : 70 }))).toBe("");
});

/** What must not happen, done by hand: a checker that misses it is none. */
const sabotages: readonly (readonly [string, string, Action["run"]])[] = [
  [
    "a copy that is wanted is deleted",
    "no object is deleted that a policy still wants",
    async ({ fleet, clusters }) => {
      for (const cluster of clusters)
        for (const { metadata } of (await fleet.member(cluster).list(ConfigMap, { namespace: NAMESPACE })).items)
          if (metadata.labels?.["karmada.io/managed"] === "true") {
            await fleet.member(cluster).delete(ConfigMap, { namespace: NAMESPACE, name: metadata.name ?? "" });
            return `sabotaged ${metadata.name} in ${cluster}`;
          }
      return undefined;
    },
  ],
  [
    "an object of a member's own is changed",
    "no member object is touched that is not ours",
    async ({ fleet, foreign }) => {
      const [first] = foreign;
      if (first === undefined) return undefined;
      const body = { metadata: { labels: { "karmada.io/managed": "true" } } };
      await fleet
        .member(first.cluster)
        .patch(ConfigMap, { namespace: NAMESPACE, name: first.name }, "application/merge-patch+json", body);
      return "sabotaged an own object";
    },
  ],
];

test.each(sabotages)("when %s, a checker says so", async (_what, checker, run) => {
  const sabotage: Action = { name: "sabotage", weight: 4, run };
  const failures = new Set<string>();
  for (let seed = 1; seed <= 6; seed++) {
    const { failure } = await runSimulation({ seed, steps: 40, actions: [...actions, sabotage] });
    if (failure !== undefined) failures.add(failure.checker);
  }
  expect([...failures]).toContain(checker);
});

const bindings = async ({ fleet }: World) => (await fleet.plane.list(ResourceBinding, { namespace: NAMESPACE })).items;
const editBinding = (world: World, { metadata }: ResourceBinding, path: readonly string[], value: unknown) =>
  change(world, ResourceBinding as ResourceKind, metadata.name ?? "", (present) => setPath(present, path, value));

const policySabotages: readonly (readonly [string, string, Action["run"]])[] = [
  [
    "a lazily claimed binding is changed",
    "a lazily activated policy changes nothing until its user changes the template",
    async (world) => {
      for (const binding of await bindings(world)) {
        const name = binding.metadata.annotations?.["propagationpolicy.karmada.io/name"] ?? "";
        const policy = await world.fleet.plane.find(PropagationPolicy, { namespace: NAMESPACE, name });
        if (policy?.spec.activationPreference !== "Lazy") continue;
        await editBinding(world, binding, ["spec", "conflictResolution"], "Overwrite");
        return `sabotaged ${binding.metadata.name}`;
      }
      return undefined;
    },
  ],
  [
    "a binding whose scheduling is suspended is given other clusters",
    "a binding whose scheduling is suspended keeps its clusters",
    async (world) => {
      for (const binding of await bindings(world)) {
        const isSuspended = (binding.spec.suspension as { readonly scheduling?: boolean } | undefined)?.scheduling;
        if (isSuspended !== true) continue;
        await editBinding(world, binding, ["spec", "clusters"], [{ name: "m9" }]);
        return `sabotaged ${binding.metadata.name}`;
      }
      return undefined;
    },
  ],
  [
    "a copy is changed while it is suspended",
    "nothing is carried out in members while dispatching is suspended",
    async (world) => {
      for (const { metadata, spec } of (await world.fleet.plane.list(Work)).items) {
        const cluster = metadata.namespace?.replace("karmada-es-", "") ?? "";
        if (spec?.suspendDispatching !== true) continue;
        for (const copy of (await objectsOf(world, world.fleet.member(cluster))).filter(isManaged)) {
          if (copy.metadata.annotations?.["work.karmada.io/name"] !== metadata.name) continue;
          const body = { metadata: { labels: { sabotaged: String(world.history.length) } } };
          const at = { namespace: NAMESPACE, name: copy.metadata.name ?? "" };
          const kind = kindOf(world, copy);
          await world.fleet.member(cluster).patch(kind, at, "application/merge-patch+json", body);
          return `sabotaged ${copy.metadata.name} in ${cluster}`;
        }
      }
      for (const { metadata } of (await world.fleet.plane.list(PropagationPolicy)).items)
        await change(world, PropagationPolicy as ResourceKind, metadata.name ?? "", (present) =>
          setPath(present, ["spec", "suspension"], { dispatching: true }),
        );
      return "suspended all policies of the namespace";
    },
  ],
  [
    "what is to be preserved is deleted with its template",
    "what is to be preserved when its template goes stays in members",
    async (world) => {
      for (const template of await templatesOf(world)) {
        const at = { namespace: NAMESPACE, name: template.metadata.name ?? "" };
        const binding = (await bindings(world)).find(({ spec }) => spec.resource.uid === template.metadata.uid);
        if (binding?.spec.preserveResourcesOnDeletion !== true) continue;
        world.deletedTemplates.add(template.metadata.uid ?? "");
        const kind = kindOf(world, template as KubeObject);
        await world.fleet.plane.delete(kind, at);
        for (const cluster of world.clusters) await world.fleet.member(cluster).delete(kind, at);
        return `sabotaged ${template.kind} ${at.name}`;
      }
      return undefined;
    },
  ],
];

test.each(policySabotages)("when %s, a checker of policies says so", async (_what, checker, run) => {
  const profile = { ...policiesProfile, actions: [...policiesProfile.actions, { name: "sabotage", weight: 15, run }] };
  const found = policiesProfile.checkers.filter(({ name }) => name === checker);
  let failure: string | undefined;
  for (let seed = 1; seed <= 10 && failure === undefined; seed++)
    failure = (await runProfile({ ...profile, checkers: found }, { seed, steps: 50 })).failure?.checker;
  expect(failure).toBe(checker);
});

test("the same seed does the same again", async () => {
  const [first, second] = [await runSimulation({ seed: 7, steps: 30 }), await runSimulation({ seed: 7, steps: 30 })];
  expect(second.history).toEqual(first.history);
  expect(second.settledAfterMs).toBe(first.settledAfterMs);
});
