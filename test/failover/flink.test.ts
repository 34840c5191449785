/** A Flink job that goes on from its checkpoint in another cluster: the state is a label its member's admission reads. */
import { afterEach, expect, test } from "vitest";
import { CustomResourceDefinition } from "#apis/kubernetes";
import { PropagationPolicy, ResourceBinding } from "#apis/karmada";
import type { AdmissionPlugin } from "#apiserver";
import { createClient } from "#client";
import { getPath, type KubeObject, setPath } from "#machinery";
import {
  aFlinkJob,
  aPropagationPolicy,
  type FailoverFleet,
  FLINK_JOB_LABEL,
  flinkDefinition,
  FlinkDeployment,
  flinkPolicy,
  flinkStatus,
  startFailoverFleet,
} from "#testing";

let fleet: FailoverFleet;
afterEach(() => fleet.stop());

/** What Kyverno would be told: a new job that carries the id of its predecessor starts from its last checkpoint. */
const startsFromCheckpoint = (created: KubeObject[]): AdmissionPlugin => ({
  name: "start-from-checkpoint",
  handles: ({ definition: { kind }, operation }) => kind.kind === FlinkDeployment.kind && operation === "CREATE",
  mutate({ object }) {
    created.push(object);
    const id = object.metadata.labels?.[FLINK_JOB_LABEL];
    if (id === undefined) return object;
    const path = `/shared/${object.metadata.namespace}/${id}/checkpoints/chk-42`;
    return setPath(object, ["spec", "job", "initialSavepointPath"], path);
  },
});

test("[RN-6] [RN-10] [RN-11] [RN-12] [RN-13] [RN-14] [RN-15] S16: the job's id travels on the creation request, admission sets the savepoint, and nobody takes it away again", async () => {
  fleet = await startFailoverFleet({
    members: ["m1", "m2"],
    flags: ["--feature-gates=Failover=true,StatefulFailoverInjection=true"],
  });
  const created: KubeObject[] = [];
  await fleet.plane.create(CustomResourceDefinition, flinkDefinition());
  for (const [name, member] of fleet.members) {
    member.api.server.admission.push(startsFromCheckpoint(created));
    await createClient(member.api.transport()).create(CustomResourceDefinition, flinkDefinition());
    expect(name).toMatch(/^m/);
  }
  await fleet.advance(15_000);
  await fleet.plane.create(
    PropagationPolicy,
    aPropagationPolicy(
      "flink",
      {
        clusterAffinity: { clusterNames: ["m1", "m2"] },
        spreadConstraints: [{ spreadByField: "cluster", minGroups: 1, maxGroups: 1 }],
      },
      "default",
      flinkPolicy(60, "Immediately"),
    ),
  );
  const at = { namespace: "default", name: "stream" };
  await fleet.plane.create(FlinkDeployment, aFlinkJob("stream"));
  const binding = () => fleet.plane.get(ResourceBinding, { namespace: "default", name: "stream-flinkdeployment" });
  const where = async () => ((await binding()).spec.clusters ?? []).map(({ name }) => name).join();
  await fleet.until(async () => (await where()) !== "");
  const first = await where();
  const second = first === "m1" ? "m2" : "m1";
  const job = (cluster: string) => fleet.member(cluster).find(FlinkDeployment, at);
  await fleet.until(async () => (await job(first)) !== undefined);
  const report = async (cluster: string, jobID: string, state: string) => {
    const object = (await job(cluster)) as KubeObject;
    const status = flinkStatus(jobID, state);
    await fleet.member(cluster).updateStatus(FlinkDeployment, { ...object, status } as KubeObject);
    await fleet.advance(5_000);
  };
  await report(first, "a3f8c1d2e4", "RUNNING");
  expect(created[0]?.metadata.labels?.[FLINK_JOB_LABEL]).toBeUndefined();
  // It cannot run there any more, and says so.
  await report(first, "a3f8c1d2e4", "CREATED");
  await fleet.until(async () => (await job(second)) !== undefined, 120_000);
  expect(await job(first)).toBeUndefined();
  const request = created.at(-1);
  expect(request?.metadata.labels?.[FLINK_JOB_LABEL]).toBe("a3f8c1d2e4");
  const path = async () => getPath((await job(second)) as KubeObject, "spec", "job", "initialSavepointPath");
  expect(await path()).toBe("/shared/default/a3f8c1d2e4/checkpoints/chk-42");
  const { resourceVersion } = (await job(second))?.metadata ?? {};
  await fleet.advance(120_000);
  expect((await job(second))?.metadata.resourceVersion).toBe(resourceVersion);
  await report(second, "b1", "RUNNING");
  await fleet.until(async () => (await binding()).spec.gracefulEvictionTasks === undefined, 600_000);
  await fleet.advance(10_000);
  expect((await job(second))?.metadata.labels?.[FLINK_JOB_LABEL]).toBeUndefined();
  expect(await path()).toBe("/shared/default/a3f8c1d2e4/checkpoints/chk-42");
});
