import {
  bindingName,
  ClusterResourceBinding,
  executionNamespace,
  MANAGED,
  PropagationPolicy,
  ResourceBinding,
  Work,
  workName,
} from "#apis/karmada";
import { type Clock, sleep } from "#base";
import { type Client, createKindMapper, discover, retryOnConflict } from "#client";
import { getPath, type KubeObject, type ResourceKind, setPath } from "#machinery";
import { inParallel, type Result } from "./carry-out.ts";
import { isExtensible, phaseOf, type Plan, type PlanItem, policyKind, selectorsOf } from "./plan.ts";
import { select } from "./selection.ts";
import { isSameSelector, isSameTemplate, selectorOf } from "./template.ts";

interface UndoOptions {
  readonly plane: Client;
  readonly member: Client;
  readonly clock: Clock;
  readonly concurrency: number;
  /** How long each step may take: until the copy is to stay, and until it was let go. */
  readonly waitMs: number;
  readonly isDryRun: boolean;
  /** Whether what the plan left as it was stays: it was there before the plan was carried out. */
  readonly keepsSkipped: boolean;
}

const LOOK_MS = 250;
const NAMED_MAX = 5;

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
const isPreserved = (object: KubeObject) => getPath(object, "spec", "preserveResourcesOnDeletion") === true;

/**
 * Takes templates and their policies back, the last first; the objects stay in the member, and it is looked whether they do.
 * A template whose copy would go with it is left alone, and so is one that is another by now.
 */
export async function undoPromotion(plan: Plan, options: UndoOptions): Promise<readonly Result[]> {
  const results = new Map<PlanItem, Result>();
  // Many objects share a policy: whoever takes himself out of it waits for the one before.
  let last: Promise<unknown> = Promise.resolve();
  const drop: Drop = (item, isDryRun) => {
    const dropped = last.then(() => dropPolicy(item, plan, options.plane, isDryRun));
    last = dropped.catch(() => undefined);
    return dropped;
  };
  const phases = [...new Set(plan.items.map(phaseOf))].sort((a, b) => b - a);
  for (const phase of phases)
    await inParallel(
      plan.items.filter((item) => phaseOf(item) === phase),
      options.concurrency,
      async (item) => {
        const result = await undoOne(item, plan, options, drop).catch(
          (error: unknown): Result => ({ item, outcome: "failed", message: messageOf(error) }),
        );
        results.set(item, result);
      },
    );
  return plan.items.flatMap((item) => results.get(item) ?? []);
}

type Drop = (item: PlanItem, isDryRun: boolean) => Promise<void>;

async function undoOne(item: PlanItem, plan: Plan, options: UndoOptions, drop: Drop): Promise<Result> {
  const { plane, member, clock, waitMs, isDryRun } = options;
  const at = { namespace: item.namespace, name: item.name };
  const kind = await createKindMapper(plane.transport, clock).find(item.apiVersion, item.kind);
  const present = kind === undefined ? undefined : await plane.find(kind, at);
  if (kind === undefined || present === undefined) {
    await drop(item, isDryRun);
    return { item, outcome: "skipped", message: "it is not in the control plane" };
  }
  if (item.hasTemplate === true && options.keepsSkipped) {
    await drop(item, isDryRun);
    return { item, outcome: "done", message: "only its policy is taken back: its template was there before" };
  }
  const failed = (message: string): Result => ({ item, outcome: "failed", message });
  if (item.action === "conflict" || item.action === "blocked" || (item.action === "skip" && options.keepsSkipped))
    return { item, outcome: "skipped", message: "promote did not make it" };
  if (item.kind !== "Namespace" && !isSameTemplate(present, item.template as KubeObject))
    return failed("the template is another than the one that was promoted; delete it by hand");
  const others = await othersIn(item, plane);
  if (others !== undefined) return failed(others);
  const endMs = clock.monotonicMs() + waitMs;
  let doomed = await wouldGo(item, plan.cluster, plane);
  while (doomed !== undefined && clock.monotonicMs() < endMs) {
    await sleep(clock, LOOK_MS);
    doomed = await wouldGo(item, plan.cluster, plane);
  }
  if (doomed !== undefined) return failed(doomed);
  if (isDryRun) return { item, outcome: "done" };
  const before = await member.find(kind, at);
  // As kubectl deletes: left to itself a server keeps what belongs to a Job, and so its binding.
  await plane.delete(kind, at, {
    propagationPolicy: "Background",
    preconditions: { uid: present.metadata.uid ?? "" },
  });
  let held: string | undefined;
  do {
    held = await stillHeld(item, plan.cluster, plane, member, kind);
    if (held === undefined) break;
    await sleep(clock, LOOK_MS);
  } while (clock.monotonicMs() < endMs);
  if (held !== undefined) return failed(`its template is deleted, but ${held}`);
  await drop(item, false);
  const after = await member.find(kind, at);
  if (before !== undefined && after?.metadata.uid !== before.metadata.uid)
    return failed(`its template is deleted, and its object in cluster(${plan.cluster}) did not stay`);
  return { item, outcome: "done" };
}

/** What lives in a namespace or is of a kind that would go along with it. */
async function othersIn({ kind, name, template }: PlanItem, plane: Client): Promise<string | undefined> {
  if (kind === "Namespace") {
    const { resources } = await discover(plane.transport);
    const living = await select(plane, resources, {
      types: ["all"],
      names: [],
      namespaces: [name],
      manifests: [],
      excludedKinds: [],
      excludedNamespaces: [],
    });
    const bindings = (await plane.list(ResourceBinding, { namespace: name })).items;
    const policies = (await plane.list(PropagationPolicy, { namespace: name })).items;
    const all = [
      ...living.map((one) => `${one.kind.kind} ${one.name}`),
      ...bindings.map(({ metadata }) => `ResourceBinding ${metadata.name}`),
      ...policies.map(({ metadata }) => `PropagationPolicy ${metadata.name}`),
    ];
    if (all.length === 0) return undefined;
    const rest = all.length > NAMED_MAX ? `, … (${all.length})` : "";
    return `these lie in it in the control plane and would go along: ${all.slice(0, NAMED_MAX).join(", ")}${rest}`;
  }
  if (kind !== "CustomResourceDefinition") return undefined;
  const names = getPath(template as KubeObject, "spec", "names") as { readonly plural: string; readonly kind: string };
  const group = String(getPath(template as KubeObject, "spec", "group"));
  const version = (getPath(template as KubeObject, "spec", "versions") as readonly { readonly name: string }[])[0]
    ?.name;
  const served: ResourceKind = {
    group,
    version: version ?? "",
    kind: names.kind,
    resource: names.plural,
    namespaced: false,
  };
  const { items } = await plane.list(served);
  return items.length === 0 ? undefined : `${items.length} objects of this kind would go along`;
}

const worksOf = async ({ kind, namespace, name }: PlanItem, cluster: string, plane: Client) => {
  const at = { namespace: executionNamespace(cluster), name: workName(kind, name, namespace ?? "") };
  return plane.find(Work, at);
};

/** Why the copy would go with its template; nothing where it would stay. */
async function wouldGo(item: PlanItem, cluster: string, plane: Client): Promise<string | undefined> {
  const of = (item.namespace === undefined
    ? ClusterResourceBinding
    : ResourceBinding) as unknown as ResourceKind<KubeObject>;
  const binding = await plane.find(of, { namespace: item.namespace, name: bindingName(item.kind, item.name) });
  if (binding !== undefined && !isPreserved(binding))
    return "its binding does not say preserveResourcesOnDeletion: its copies would be deleted";
  const work = await worksOf(item, cluster, plane);
  return work !== undefined && !isPreserved(work as unknown as KubeObject)
    ? "its work does not say preserveResourcesOnDeletion: its copy would be deleted"
    : undefined;
}

/** What still has to happen before an object of the member is nobody's but the member's. */
async function stillHeld(
  item: PlanItem,
  cluster: string,
  plane: Client,
  member: Client,
  kind: ResourceKind<KubeObject>,
): Promise<string | undefined> {
  if ((await worksOf(item, cluster, plane)) !== undefined) return "its work is still being removed";
  const copy = await member.find(kind, { namespace: item.namespace, name: item.name });
  return copy?.metadata.labels?.[MANAGED] === "true"
    ? `its object in cluster(${cluster}) still carries our marks`
    : undefined;
}

/** Takes an object out of the policy that promote made for it, and the policy with the last one. */
async function dropPolicy(
  { policy: name, namespace, template }: PlanItem,
  plan: Plan,
  plane: Client,
  isDryRun: boolean,
): Promise<void> {
  if (name === undefined || isDryRun) return;
  const kind = policyKind(namespace);
  await retryOnConflict(async () => {
    const present = await plane.find(kind, { namespace, name });
    if (present === undefined || !isExtensible(present, plan.cluster)) return;
    const has = selectorsOf(present);
    const own = selectorOf(template as KubeObject);
    const rest = has.filter((selector) => !isSameSelector(selector, own));
    if (rest.length === has.length) return;
    if (rest.length > 0) await plane.update(kind, setPath(present, ["spec", "resourceSelectors"], rest));
    else await plane.delete(kind, { namespace, name }, { preconditions: { uid: present.metadata.uid ?? "" } });
  });
}
