import { ConfigMap } from "#apis/kubernetes";
import { Cluster, SYSTEM_NAMESPACE } from "#apis/karmada";
import { type Client, createClient } from "#client";
import type { Fleet } from "#controlplane";
import { type KubeObject, withMetadata } from "#machinery";
import { applyFault, type FaultRequest, isFaultName } from "#simulator";

const nameOf = (member: string) => `simulate-${member}`;
const TRIES_MS = 100;
const ANSWER_MS = 10_000;

/** Follows the requests of `simulate fault`, which travel as ConfigMaps, and says in them what became of each. */
export function followFaults(fleet: Fleet): void {
  const client = createClient(fleet.controlPlane.transport, { fieldManager: "flotilla-simulator" });
  const apply = async (object: KubeObject) => {
    const { namespace, name = "" } = object.metadata;
    const member = fleet.members.get(name.replace(/^simulate-/, ""));
    const { fault = "", latencyMs, periodMs, nodes, askedAt = "", doneFor } = (object as ConfigMap).data ?? {};
    if (member === undefined || !isFaultName(fault) || namespace !== SYSTEM_NAMESPACE || doneFor === askedAt) return;
    let failure = "";
    try {
      await applyFault(member, {
        fault,
        ...(latencyMs === undefined ? {} : { latencyMs: Number(latencyMs) }),
        ...(periodMs === undefined ? {} : { periodMs: Number(periodMs) }),
        ...(nodes === undefined ? {} : { nodes: Number(nodes) }),
      });
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
    }
    await client
      .patch(ConfigMap, { namespace, name }, "application/merge-patch+json", { data: { doneFor: askedAt, failure } })
      .catch(() => undefined);
  };
  fleet.controlPlane.manager.informers.of(ConfigMap).handle({
    add: (object, isInitial) => void (isInitial || apply(object)),
    update: (object) => void apply(object),
    delete: (object) => void apply(withMetadata({ ...object, data: { fault: "up", askedAt: "deleted" } }, {})),
  });
}

/** Asks a control plane with simulated members for a fault of one of them; rejects when nobody carries it out. */
export async function requestFault(client: Client, member: string, request: FaultRequest): Promise<void> {
  const { fault, latencyMs, periodMs, nodes } = request;
  if ((await client.find(Cluster, { name: member })) === undefined)
    throw new Error(`there is no cluster ${JSON.stringify(member)}`);
  const at = { namespace: SYSTEM_NAMESPACE, name: nameOf(member) };
  const askedAt = new Date().toISOString();
  const data = {
    fault,
    ...(latencyMs === undefined ? {} : { latencyMs: String(latencyMs) }),
    ...(periodMs === undefined ? {} : { periodMs: String(periodMs) }),
    ...(nodes === undefined ? {} : { nodes: String(nodes) }),
    // The same fault twice is two requests: this makes the second one a change.
    askedAt,
  };
  const present = await client.find(ConfigMap, at);
  const { resourceVersion } = present?.metadata ?? {};
  const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { ...at, resourceVersion }, data };
  if (present === undefined) await client.create(ConfigMap, object as ConfigMap);
  else await client.update(ConfigMap, object as ConfigMap);
  for (let waitedMs = 0; waitedMs < ANSWER_MS; waitedMs += TRIES_MS) {
    const { data: said = {} } = await client.get(ConfigMap, at);
    if (said["askedAt"] !== askedAt) throw new Error("another request came in between");
    if (said["doneFor"] === askedAt) {
      if (said["failure"]) throw new Error(said["failure"]);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, TRIES_MS));
  }
  await client.delete(ConfigMap, at).catch(() => undefined);
  throw new Error(
    `nobody carried it out: ${member} is no simulated member of that process; one that runs by itself is found by --data-dir`,
  );
}
