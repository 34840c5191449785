import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Cluster, Placement, TargetCluster } from "#apis/karmada";
import { seededRandom } from "#base";
import { type Candidate, compareCandidates, ordered } from "./candidates.ts";
import { Fleet, fleetOf, followed } from "./fleet.ts";
import { builtinPlugins, planPass } from "./index.ts";

const cluster = (name: string, pods: number, isLeaving = false): Cluster => ({
  apiVersion: "cluster.karmada.io/v1alpha1",
  kind: "Cluster",
  metadata: { name, ...(isLeaving ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}) },
  spec: { syncMode: "Push", region: `r${pods % 3}` },
  status: { resourceSummary: { allocatable: { pods: String(pods) } } },
});
const podsOf = ({ status }: Cluster) => Number(status?.resourceSummary?.allocatable?.["pods"]);

describe("a fleet that follows a changing list", () => {
  it("says after every change what a fleet read anew says", () => {
    const change = fc.record({
      what: fc.constantFrom("change", "leave", "add", "remove"),
      at: fc.nat({ max: 9 }),
      pods: fc.nat({ max: 1000 }),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        let list: readonly Cluster[] = ["d", "b", "a", "c"].map((name) => cluster(name, 1));
        const fleet = new Fleet([]);
        const clusters = (shown: readonly Cluster[]) => ({
          names: fleetOf(shown).names,
          pods: [...fleetOf(shown).column("pods", "", podsOf)],
          regions: shown.map((_, place) => fleetOf(shown).regionOf(place)),
          leaving: [...fleetOf(shown).leaving],
          places: shown.map(({ metadata }) => fleetOf(shown).placeOf(metadata.name ?? "")),
        });
        for (const { what, at, pods } of changes) {
          const name = list[at % Math.max(1, list.length)]?.metadata.name ?? "z";
          if (what === "remove") list = list.filter(({ metadata }) => metadata.name !== name);
          else if (what === "add" && !list.some(({ metadata }) => metadata.name === `n${pods}`))
            list = [cluster(`n${pods}`, pods), ...list];
          else list = list.map((one) => (one.metadata.name === name ? cluster(name, pods, what === "leave") : one));
          const shown = followed(fleet, list);
          expect(fleetOf(shown)).toBe(fleet);
          expect(clusters(shown)).toEqual(clusters([...list].reverse().sort(byName)));
        }
      }),
      { numRuns: 200 },
    );
  });

  it("asks again only about clusters that changed", () => {
    const list = ["a", "b", "c"].map((name) => cluster(name, 1));
    const fleet = new Fleet(list);
    const asked: string[] = [];
    const of = (one: Cluster) => asked.push(one.metadata.name ?? "");
    fleet.column("pods", "", of);
    followed(fleet, [list[0] as Cluster, cluster("b", 2), list[2] as Cluster]);
    fleet.column("pods", "", of);
    expect(asked).toEqual(["a", "b", "c", "b"]);
  });

  it("leaves a list it no longer follows to a fleet of its own", () => {
    const before = ["a", "b"].map((name) => cluster(name, 1));
    const fleet = fleetOf(before);
    followed(fleet, [cluster("a", 7), before[1] as Cluster]);
    expect([...fleetOf(before).column("pods", "", podsOf)]).toEqual([1, 1]);
    expect([...fleet.column("pods", "", podsOf)]).toEqual([7, 1]);
  });
});

describe("a decision over 5 000 clusters", () => {
  const many = Array.from({ length: 5_000 }, (_, at) => {
    const made = cluster(`c${String(at).padStart(4, "0")}`, 1 + (at % 97));
    const apiEnablements = [{ groupVersion: "apps/v1", resources: [{ kind: "Deployment", name: "deployments" }] }];
    return { ...made, status: { ...made.status, apiEnablements } };
  });
  const decide = (placement: Placement, replicas: number, clusters: readonly TargetCluster[] = []) =>
    planPass({
      binding: {
        apiVersion: "work.karmada.io/v1alpha2",
        kind: "ResourceBinding",
        metadata: { name: "web-deployment", namespace: "default", generation: 1 },
        spec: {
          resource: { apiVersion: "apps/v1", kind: "Deployment", name: "web", namespace: "default", uid: "u" },
          replicas,
          replicaRequirements: {},
          placement,
          clusters,
        },
      },
      clusters: many,
      gates: new Set(),
      algorithm: { plugins: builtinPlugins },
      nowMs: 0,
      explains: true,
    });
  const sum = (targets: readonly TargetCluster[] = []) =>
    targets.reduce((total, { replicas = 0 }) => total + replicas, 0);
  const dynamic: Placement = {
    replicaScheduling: {
      replicaSchedulingType: "Divided",
      replicaDivisionPreference: "Weighted",
      weightPreference: { dynamicWeight: "AvailableReplicas" },
    },
  };

  it("has all replicas, by room, and moves nothing that runs when it is scaled up", () => {
    const first = decide(dynamic, 123_456).clusters ?? [];
    expect(sum(first)).toBe(123_456);
    const room = new Map(many.map((one) => [one.metadata.name, podsOf(one)]));
    for (const { name, replicas = 0 } of first) expect(replicas).toBeLessThanOrEqual(room.get(name) ?? 0);
    const more = new Map((decide(dynamic, 130_000, first).clusters ?? []).map((one) => [one.name, one.replicas ?? 0]));
    expect([...more.values()].reduce((total, one) => total + one, 0)).toBe(130_000);
    for (const { name, replicas = 0 } of first) expect(more.get(name)).toBeGreaterThanOrEqual(replicas);
  });

  it("keeps a record of bounded size", () => {
    const [term] = decide(dynamic, 10).decision?.terms ?? [];
    expect(term?.candidates).toHaveLength(100);
    expect(term?.omitted).toBe(4_900);
    const { decision, condition } = decide({ ...dynamic, clusterAffinity: { clusterNames: ["none"] } }, 10);
    expect(decision?.terms[0]?.refused).toHaveLength(100);
    expect(condition).toMatchObject({
      reason: "NoClusterFit",
      message:
        "0/5000 clusters are available: 5000 cluster(s) did not match the placement cluster affinity constraint.",
    });
  });
});

const byName = (a: Cluster, b: Cluster) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1);

describe("the order of many candidates", () => {
  it("is that of comparing them, with numbers of every size", () => {
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(1, 50, 2147483647, 2 ** 40), fc.boolean(), (seed, most, isWhole) => {
        const random = seededRandom(seed);
        const candidates = Array.from({ length: 200 }, (_, order): Candidate => {
          const available = random.below(most);
          return {
            cluster: cluster(`c${order}`, 1),
            name: `c${order}`,
            order,
            score: random.below(3) * (isWhole ? 100 : 0.1),
            allocatable: available,
            available,
            overflowOrder: [0, 1, 1000][random.below(3)] as number,
          };
        });
        const namesOf = (list: readonly Candidate[]) => list.map(({ name }) => name);
        expect(namesOf(ordered(candidates))).toEqual(namesOf([...candidates].sort(compareCandidates)));
      }),
      { numRuns: 60 },
    );
  });
});
