import { bindingName, ResourceBinding } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import { getPath, type ResourceKind } from "#machinery";
import { isClaimed } from "../expected.ts";
import { type Checker, NAMESPACE, templatesOf, type World } from "../world.ts";

async function check(world: World): Promise<void> {
  for (const template of await templatesOf(world)) {
    const { name = "" } = template.metadata;
    if (!isClaimed(template)) continue;
    const what = `${template.kind} ${name}`;
    const binding = await world.fleet.plane.find(ResourceBinding, {
      namespace: NAMESPACE,
      name: bindingName(template.kind, name),
    });
    if (binding === undefined) throw new Error(`${what} has no binding`);
    const applied = binding.status?.conditions?.find(({ type }) => type === "FullyApplied");
    if (applied?.status !== "True")
      throw new Error(
        `the binding of ${what} is not fully applied: ${JSON.stringify(binding.status?.aggregatedStatus)}`,
      );
    if (template.kind !== "Deployment") continue;
    let sum = 0;
    for (const cluster of world.clusters) {
      const copy = await world.fleet.member(cluster).find(Deployment as ResourceKind, { namespace: NAMESPACE, name });
      if (copy?.metadata.labels?.["karmada.io/managed"] !== "true") continue;
      const [ready, wanted] = [getPath(copy, "status", "readyReplicas") ?? 0, getPath(copy, "spec", "replicas")];
      if (ready !== wanted)
        throw new Error(`${what} in ${cluster} has ${String(ready)} of ${String(wanted)} pods ready`);
      sum += Number(ready);
    }
    const shown = Number(getPath(template, "status", "readyReplicas") ?? 0);
    if (shown !== sum) throw new Error(`${what} shows ${shown} ready replicas, members have ${sum}`);
    const observed = getPath(template, "status", "observedGeneration");
    if (observed !== template.metadata.generation)
      throw new Error(`${what} shows generation ${String(observed)} of ${template.metadata.generation}`);
  }
}

export const statuses: Checker = { name: "statuses come to what members report", settled: check };
