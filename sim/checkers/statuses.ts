import { bindingName, ResourceBinding } from "#apis/karmada";
import { Deployment } from "#apis/kubernetes";
import { expectedClusters } from "#interpreter";
import { getPath, type KubeObject, type ResourceKind } from "#machinery";
import { allPolicies, claimOf, isClaimed, isSuspendedIn } from "../expected.ts";
import { type Checker, isManaged, kindOf, NAMESPACE, templatesOf, type World } from "../world.ts";

/** Whether a member holds back what is wanted there: it is suspended, or an object of its own stands in the way. */
async function isHeldBack(world: World, template: KubeObject, binding: ResourceBinding): Promise<boolean> {
  const at = { namespace: NAMESPACE, name: template.metadata.name ?? "" };
  for (const name of expectedClusters(binding)) {
    if (isSuspendedIn(binding as unknown as Parameters<typeof isSuspendedIn>[0], name)) return true;
    const object = await world.fleet.member(name).find(kindOf(world, template), at);
    if (object !== undefined && !isManaged(object)) return true;
  }
  return false;
}

async function check(world: World): Promise<void> {
  const policies = await allPolicies(world);
  for (const template of await templatesOf(world)) {
    const { name = "" } = template.metadata;
    if (!isClaimed(template) || claimOf(template, policies) === undefined) continue;
    const what = `${template.kind} ${name}`;
    const binding = await world.fleet.plane.find(ResourceBinding, {
      namespace: NAMESPACE,
      name: bindingName(template.kind, name),
    });
    if (binding === undefined) throw new Error(`${what} has no binding`);
    if (await isHeldBack(world, template, binding)) continue;
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
