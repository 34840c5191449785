import { bindingName, ClusterResourceBinding, MANAGED, ResourceBinding } from "#apis/karmada";
import { type Clock, sleep } from "#base";
import { type Client, createKindMapper, retryOnConflict } from "#client";
import { isAlreadyExists, type KubeObject, type ResourceKind, setPath } from "#machinery";
import { formatTable } from "../table.ts";
import { isExtensible, phaseOf, policiesOf, policyKind, type Plan, type PlanItem, selectorsOf } from "./plan.ts";
import { isSameSelector, keyText, policyExists, policyText, resourceText } from "./template.ts";

export type Outcome = "done" | "failed" | "skipped";

export interface Result {
  readonly item: PlanItem;
  readonly outcome: Outcome;
  readonly message?: string | undefined;
}

export const ON_ERROR = ["continue", "stop", "rollback"] as const;

export interface RunOptions {
  readonly plane: Client;
  readonly member: Client;
  readonly clock: Clock;
  readonly onError: (typeof ON_ERROR)[number];
  /** Objects made at a time. */
  readonly concurrency: number;
  /** How long to wait until all is taken over; 0 for not at all. */
  readonly waitMs: number;
  /** Told what was done. */
  readonly say: (line: string) => void;
}

const KIND_SERVED_MS = 30_000;
const LOOK_MS = 250;

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Does what a plan says. Never throws for what one object meets with: that is its result. */
export async function carryOut(plan: Plan, options: RunOptions): Promise<readonly Result[]> {
  const { plane, clock, onError, say } = options;
  const kinds = kindsOf(plane, clock);
  const results = new Map<PlanItem, Result>();
  const settle = (item: PlanItem, outcome: Outcome, message?: string) =>
    results.set(item, { item, outcome, ...(message === undefined ? {} : { message }) });
  for (const item of plan.items)
    if (item.action === "skip") settle(item, "skipped", item.note);
    else if (item.action !== "create") settle(item, "failed", `${item.action}: ${item.note ?? ""}`);
  const made: PlanItem[] = [];
  const hasFailed = () => [...results.values()].some(({ outcome }) => outcome === "failed");
  const isOver = () => onError !== "continue" && hasFailed();

  const wanted = plan.items.filter(({ action }) => action === "create");
  const ready: PlanItem[] = [];
  for (const phase of new Set(wanted.map(phaseOf)))
    await inParallel(
      wanted.filter((item) => phaseOf(item) === phase),
      options.concurrency,
      async (item) => {
        if (isOver()) return;
        try {
          if (await makeTemplate(plane, await kinds(item), item)) made.push(item);
          ready.push(item);
        } catch (error) {
          settle(item, "failed", messageOf(error));
        }
      },
    );
  const policies: KubeObject[] = [];
  if (!(onError === "rollback" && hasFailed()))
    for (const policy of policiesOf(plan, ready)) {
      if (onError === "rollback" && hasFailed()) break;
      const claimed = ready.filter(
        ({ policy: name, namespace }) => name === policy.metadata.name && namespace === policy.metadata.namespace,
      );
      try {
        if (await putPolicy(plane, policy, plan.cluster)) policies.push(policy);
      } catch (error) {
        for (const item of claimed) settle(item, "failed", messageOf(error));
      }
    }
  if (onError === "rollback" && hasFailed()) {
    const left = await takeBack(plane, kinds, made, policies);
    for (const item of ready)
      if (!results.has(item)) settle(item, "skipped", left.get(item) ?? "taken back, for another one failed");
  }
  if (options.waitMs > 0) {
    const endMs = clock.monotonicMs() + options.waitMs;
    await inParallel(
      ready.filter((item) => !results.has(item) && item.policy !== undefined),
      options.concurrency,
      async (item) => {
        const obstacle = await untilTakenOver(item, await kinds(item), endMs, plan.cluster, options);
        if (obstacle !== undefined) settle(item, "failed", `made, but ${obstacle}`);
      },
    );
  }
  for (const item of wanted) {
    if (results.has(item)) continue;
    if (!ready.includes(item)) {
      settle(item, "skipped", "not begun, for another one failed");
      continue;
    }
    settle(item, "done");
    say(
      `Resource ${resourceText(await kinds(item))}(${keyText(item.template as KubeObject)}) is promoted successfully`,
    );
  }
  return plan.items.flatMap((item) => results.get(item) ?? []);
}

/** Resources of the control plane, waited for where their CRD has just been made. */
function kindsOf(plane: Client, clock: Clock): (item: PlanItem) => Promise<ResourceKind<KubeObject>> {
  const mapper = createKindMapper(plane.transport, clock);
  return async ({ apiVersion, kind }) => {
    for (const endMs = clock.monotonicMs() + KIND_SERVED_MS; ; await sleep(clock, LOOK_MS)) {
      const found = await mapper.find(apiVersion, kind);
      if (found !== undefined) return found;
      if (clock.monotonicMs() >= endMs)
        throw new Error(`no matches for kind ${JSON.stringify(kind)} in version ${JSON.stringify(apiVersion)}`);
    }
  };
}

/** True when it was made, false where it stood there and only its policy was missing. */
async function makeTemplate(plane: Client, kind: ResourceKind<KubeObject>, item: PlanItem): Promise<boolean> {
  if (item.hasTemplate === true) return false;
  await plane.create(kind, item.template as KubeObject);
  return true;
}

/** Makes a policy, or gives one of promote's own more to claim. True when it was made. */
async function putPolicy(plane: Client, policy: KubeObject, cluster: string): Promise<boolean> {
  const { namespace, name = "" } = policy.metadata;
  const kind = policyKind(namespace);
  try {
    await plane.create(kind, policy);
    return true;
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  await retryOnConflict(async () => {
    const present = await plane.get(kind, { namespace, name });
    const has = selectorsOf(present);
    const missing = selectorsOf(policy).filter((selector) => !has.some((one) => isSameSelector(one, selector)));
    if (missing.length === 0) return;
    if (!isExtensible(present, cluster)) throw new Error(policyExists(policy));
    await plane.update(kind, setPath(present, ["spec", "resourceSelectors"], [...has, ...missing]));
  });
  return false;
}

/** Removes what this run made, the last first; says of what stays why. */
async function takeBack(
  plane: Client,
  kinds: (item: PlanItem) => Promise<ResourceKind<KubeObject>>,
  made: readonly PlanItem[],
  policies: readonly KubeObject[],
): Promise<ReadonlyMap<PlanItem, string>> {
  const left = new Map<PlanItem, string>();
  for (const item of [...made].reverse())
    try {
      const at = { namespace: item.namespace, name: item.name };
      await plane.delete(await kinds(item), at, { propagationPolicy: "Background" });
    } catch (error) {
      left.set(item, `another one failed, and it could not be taken back: ${messageOf(error)}`);
    }
  for (const policy of policies)
    await plane
      .delete(policyKind(policy.metadata.namespace), {
        namespace: policy.metadata.namespace,
        name: policy.metadata.name ?? "",
      })
      .catch((error: unknown) => {
        for (const item of made)
          if (item.policy === policy.metadata.name)
            left.set(item, `its policy ${policyText(policy)} could not be taken back: ${messageOf(error)}`);
      });
  return left;
}

/** What still keeps a template from being carried out and its copy from being ours; nothing once both hold. */
async function untilTakenOver(
  item: PlanItem,
  kind: ResourceKind<KubeObject>,
  endMs: number,
  cluster: string,
  { plane, member, clock }: RunOptions,
): Promise<string | undefined> {
  for (;;) {
    const obstacle = await obstacleOf(item, kind, cluster, plane, member).catch(messageOf);
    if (obstacle === undefined || clock.monotonicMs() >= endMs) return obstacle;
    await sleep(clock, LOOK_MS);
  }
}

async function obstacleOf(
  { kind: kindName, namespace, name }: PlanItem,
  kind: ResourceKind<KubeObject>,
  cluster: string,
  plane: Client,
  member: Client,
): Promise<string | undefined> {
  const of = (namespace === undefined
    ? ClusterResourceBinding
    : ResourceBinding) as unknown as ResourceKind<KubeObject>;
  const found = await plane.find(of, { namespace, name: bindingName(kindName, name) });
  if (found === undefined) return "no policy has claimed it yet";
  const { conditions = [] } =
    (found as { readonly status?: { readonly conditions?: readonly Condition[] } }).status ?? {};
  const applied = conditions.find(({ type }) => type === "FullyApplied");
  if (applied?.status !== "True") {
    const said = [applied, ...conditions].find((condition) => condition?.status === "False")?.message;
    return `its binding is not fully applied${said === undefined ? "" : `: ${said}`}`;
  }
  const copy = await member.find(kind, { namespace, name });
  return copy?.metadata.labels?.[MANAGED] === "true" ? undefined : `its copy in cluster(${cluster}) is not ours yet`;
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message?: string;
}

/** Works on all, a few at a time. */
export async function inParallel<T>(
  all: readonly T[],
  atATime: number,
  work: (one: T) => Promise<void>,
): Promise<void> {
  const rest = all[Symbol.iterator]();
  const worker = async () => {
    for (const one of { [Symbol.iterator]: () => rest }) await work(one);
  };
  await Promise.all(Array.from({ length: Math.min(atATime, all.length) }, worker));
}

/** 1 where something failed, 3 where nothing did but the plan has conflicts. */
export function codeOf(results: readonly Result[]): number {
  const failed = results.filter(({ outcome }) => outcome === "failed");
  if (failed.length === 0) return 0;
  return failed.every(({ item }) => item.action === "conflict") ? 3 : 1;
}

export function reportText(results: readonly Result[]): string {
  const count = (outcome: Outcome) => results.filter((result) => result.outcome === outcome).length;
  const rows = results
    .filter(({ outcome }) => outcome !== "done")
    .map(({ item, outcome, message = "" }) => [outcome, item.kind, item.namespace ?? "", item.name, message]);
  const table = rows.length === 0 ? "" : formatTable(["RESULT", "KIND", "NAMESPACE", "NAME", "NOTE"], rows);
  return `${table}${count("done")} done, ${count("failed")} failed, ${count("skipped")} skipped\n`;
}

export const reportOf = (cluster: string, results: readonly Result[]) => ({
  apiVersion: "cli.karmada.io/v1",
  kind: "PromoteReport",
  cluster,
  items: results.map(({ item, outcome, message }) => ({
    result: outcome,
    apiVersion: item.apiVersion,
    kind: item.kind,
    ...(item.namespace === undefined ? {} : { namespace: item.namespace }),
    name: item.name,
    ...(message === undefined ? {} : { message }),
  })),
});
