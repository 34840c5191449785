/** What a start of the control plane writes when nothing has changed meanwhile: nothing. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Deployment, Event } from "#apis/kubernetes";
import { Cluster, PropagationPolicy, ResourceBinding, Work } from "#apis/karmada";
import type { KubeObject, ResourceKind } from "#machinery";
import { aDeployment, aPropagationPolicy, startVirtualFleet, type VirtualFleet } from "#testing";

const COUNT = 150;
let fleet: VirtualFleet;
beforeAll(async () => {
  fleet = await startVirtualFleet({ members: ["m1", "m2"] });
  await fleet.until(async () =>
    (await fleet.plane.list(Cluster)).items.every(({ status }) => status?.resourceSummary !== undefined),
  );
});
afterAll(() => fleet.stop());

const versions = async (kinds: readonly ResourceKind[]) =>
  Object.fromEntries(
    (await Promise.all(kinds.map(async (kind) => (await fleet.plane.list<KubeObject>(kind)).items)))
      .flat()
      .map(({ kind, metadata }) => [`${kind} ${metadata.namespace}/${metadata.name}`, metadata.resourceVersion]),
  );

test("a restart writes nothing of what stands, and a template that changes afterwards is propagated", async () => {
  await fleet.plane.create(
    PropagationPolicy,
    aPropagationPolicy("all", { clusterAffinity: { clusterNames: ["m1", "m2"] } }),
  );
  for (let at = 0; at < COUNT; at++) await fleet.plane.create(Deployment, aDeployment(`app-${at}`, 1));
  await fleet.until(async () =>
    (await fleet.plane.list(Deployment)).items.every(({ status }) => status?.readyReplicas === 2),
  );
  await fleet.advance(30_000);
  const kinds = [Deployment, ResourceBinding, Work, Event];
  const before = await versions(kinds);
  await fleet.restart();
  await fleet.advance(30_000);
  expect(await versions(kinds)).toEqual(before);
  await fleet.plane.patch(Deployment, { namespace: "default", name: "app-7" }, "application/merge-patch+json", {
    metadata: { labels: { changed: "afterwards" } },
  });
  await fleet.until(
    async () =>
      (await fleet.member("m2").get(Deployment, { namespace: "default", name: "app-7" })).metadata.labels?.[
        "changed"
      ] === "afterwards",
  );
});
