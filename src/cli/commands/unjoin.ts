import { Namespace } from "#apis/kubernetes";
import {
  CASCADE,
  Cluster,
  CLUSTER_FINALIZER,
  CLUSTER_NAMESPACE,
  EXECUTION_FINALIZER,
  executionNamespace,
  Work,
} from "#apis/karmada";
import { type Client, createKindMapper } from "#client";
import { duration } from "#config";
import { parseKubeconfig } from "#certs";
import { isNotFound, keyOf, type KubeObject } from "#machinery";
import { IMPERSONATOR } from "#member";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { drainCluster } from "../drain/drain.ts";
import { type Parsed, parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { schedulerFlags, withScheduler } from "../what-if/scheduler-flags.ts";
import { cleanMember, withoutFinalizer } from "./unjoin-member.ts";

const LOOK_AGAIN_MS = 200;
const NAMED_MAX = 5;

/** `flotilla unjoin CLUSTER`: removes a push member; what runs there because of us goes first. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        { name: "cluster-kubeconfig", meaning: "path of the member's kubeconfig: what join made there is removed too" },
        {
          name: "cluster-context",
          meaning: "context in it; default is that of the cluster's name, or the current one",
        },
        {
          name: "cluster-namespace",
          meaning: `namespace of credentials in the member; default is the one the cluster names, or ${CLUSTER_NAMESPACE}`,
        },
        { name: "wait", default: "1m0s", meaning: "how long to wait until the cluster is gone" },
        { name: "force", isSwitch: true, meaning: "after the wait, give up on what cannot be removed" },
        {
          name: "drain",
          isSwitch: true,
          meaning: "first move its workloads elsewhere, as drain does, for as long as --wait",
        },
        {
          name: "cascade",
          default: "delete",
          meaning: "what becomes of what runs in the member because of us: delete or orphan",
        },
        { name: "dry-run", isSwitch: true, meaning: "check everything but write nothing" },
        ...schedulerFlags,
      ],
      `${program} unjoin CLUSTER`,
    );
    const [name, ...more] = parsed.args;
    if (name === undefined) throw new Error("cluster name is required");
    if (more.length > 0) throw new Error("only the cluster name is allowed as an argument");
    const waitMs = waitOf(parsed.get("wait") ?? "");
    const cascade = parsed.get("cascade");
    if (cascade !== "delete" && cascade !== "orphan")
      throw new Error(`--cascade: ${JSON.stringify(cascade)} must be one of delete, orphan`);
    if (cascade === "orphan" && parsed.isOn("drain"))
      throw new Error("--drain moves workloads away, --cascade=orphan leaves them: only one of them can be given");
    const { client, transport } = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    const memberFile = parsed.get("cluster-kubeconfig");
    const member =
      memberFile === undefined
        ? undefined
        : openConnection(memberFile, parsed.get("cluster-context") ?? contextOf(memberFile, name));
    try {
      const cluster = await client.find(Cluster, { name });
      if (cluster === undefined) throw new Error(`no cluster object ${name} found in karmada control Plane`);
      if (cluster.spec?.syncMode === "Pull")
        throw new Error(
          `cluster ${name} is a Pull mode member cluster, please use command `.concat(
            `"${program} unregister ${name}" to continue deleting the cluster`,
          ),
        );
      if (parsed.isOn("drain")) await drain(client, name, parsed, waitMs);
      if (parsed.isOn("dry-run")) {
        process.stdout.write(`cluster(${name}) is unjoined successfully (dry run)\n`);
        return 0;
      }
      await setCascade(client, name, cascade);
      let toStay: readonly KubeObject[] = [];
      if (cascade === "orphan") {
        await leaveStanding(client, name);
        if (member !== undefined)
          toStay = await standing(member.client, (await worksThatStay(client, name)).flatMap(manifestsOf));
      }
      await client.delete(Cluster, { name });
      if (!(await isGone(client, name, waitMs))) {
        if (!parsed.isOn("force")) throw new Error(await stillThere(client, name));
        await giveUp(client, name);
      }
      if (member !== undefined) {
        const left = new Set(await standing(member.client, toStay));
        const lost = toStay.filter((object) => !left.has(object)).map((object) => `${object.kind} ${keyOf(object)}`);
        const namespace = parsed.get("cluster-namespace") ?? cluster.spec?.secretRef?.namespace ?? CLUSTER_NAMESPACE;
        const kept = await cleanMember(member.client, name, namespace);
        if (kept !== undefined) process.stderr.write(`${kept}\n`);
        if (lost.length > 0)
          throw new Error(`cluster(${name}) is unjoined, but these were to stay in it and are gone: ${named(lost)}`);
      }
      process.stdout.write(`cluster(${name}) is unjoined successfully\n`);
      return 0;
    } finally {
      await transport.close();
      await member?.transport.close();
    }
  });
}

/** Moves the workloads away; throws, with the cluster cordoned, if some are left and nobody insists. */
async function drain(client: Client, name: string, parsed: Parsed, timeoutMs: number): Promise<void> {
  const isForced = parsed.isOn("force");
  const isDryRun = parsed.isOn("dry-run");
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const { left, pending } = await withScheduler(parsed, systemClock, (simulate) =>
    drainCluster(name, { client, clock: systemClock, simulate, isForced: false, isDryRun, timeoutMs, say }),
  );
  if (isForced || isDryRun) return;
  const here = [...left.map(({ workload }) => workload), ...pending];
  if (here.length > 0)
    throw new Error(
      `cluster(${name}) is cordoned but not unjoined: ${here.length} workloads are still there: ${here.slice(0, NAMED_MAX).join(", ")}${here.length > NAMED_MAX ? ", …" : ""}; --force unjoins it nevertheless`,
    );
}

/** Says on the Cluster what is to become of what runs in the member. */
async function setCascade(client: Client, name: string, cascade: "delete" | "orphan"): Promise<void> {
  const cluster = await client.find(Cluster, { name });
  if (cluster === undefined) return;
  const wanted = cascade === "orphan" ? cascade : null;
  if ((cluster.metadata.annotations?.[CASCADE] ?? null) !== wanted)
    await client.patch(Cluster, { name }, "application/merge-patch+json", {
      metadata: { annotations: { [CASCADE]: wanted } },
    });
}

const LEAVE_TRIES = 3;
/** A controller that puts something back has done so by then. */
const STAND_MS = 1_000;

const manifestsOf = ({ spec }: Work) => (spec?.workload?.manifests ?? []) as unknown as readonly KubeObject[];
/** Works whose objects are to stay: all but our own rights in the member. */
const worksThatStay = async (client: Client, name: string): Promise<readonly Work[]> =>
  (await client.list(Work, { namespace: executionNamespace(name) })).items.filter(
    (work) => manifestsOf(work)[0]?.metadata.name !== IMPERSONATOR,
  );

/**
 * Makes every Work leave its objects in the member, for controllers that do not know the annotation and go by this, and looks
 * whether that stands: a binding controller may put back what its binding says. Throws where it does not.
 */
async function leaveStanding(client: Client, name: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const open = (await worksThatStay(client, name)).filter(({ spec }) => spec?.preserveResourcesOnDeletion !== true);
    if (open.length === 0) return;
    if (tries >= LEAVE_TRIES)
      throw new Error(
        `cluster(${name}) is not unjoined: something sets spec.preserveResourcesOnDeletion of its works back, and their objects would be deleted: ${named(open.map(({ metadata }) => metadata.name ?? ""))}; set preserveResourcesOnDeletion in their policies`,
      );
    for (const { metadata } of open) {
      const at = { namespace: metadata.namespace, name: metadata.name ?? "" };
      try {
        await client.patch(Work, at, "application/merge-patch+json", { spec: { preserveResourcesOnDeletion: true } });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, STAND_MS));
  }
}

const named = (names: readonly string[]) =>
  `${names.slice(0, NAMED_MAX).join(", ")}${names.length > NAMED_MAX ? `, … (${names.length})` : ""}`;

/** Which of these objects stand in the member. */
async function standing(member: Client, objects: readonly KubeObject[]): Promise<readonly KubeObject[]> {
  const kinds = createKindMapper(member.transport, systemClock);
  const found: KubeObject[] = [];
  for (const object of objects) {
    const kind = await kinds.find(object.apiVersion, object.kind);
    const { namespace, name = "" } = object.metadata;
    const at = { ...(kind?.namespaced === true ? { namespace } : {}), name };
    const present = kind === undefined ? undefined : await member.find(kind, at);
    if (present !== undefined && present.metadata.deletionTimestamp === undefined) found.push(object);
  }
  return found;
}

/** The context of a kubeconfig that is called as the cluster is; none where it has none such. */
const contextOf = (file: string, name: string): string | undefined =>
  parseKubeconfig(file).contexts.find((context) => context.name === name)?.name;

function waitOf(text: string): number {
  // A number without a unit means seconds, as flotilla took it before it took durations.
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : duration.read(text, "--wait");
  if (ms <= 0) throw new Error(`--wait: ${JSON.stringify(text)} must be a positive duration, e.g. 1m0s`);
  return ms;
}

async function isGone(client: Client, name: string, waitMs: number): Promise<boolean> {
  const endMs = Date.now() + waitMs;
  for (;;) {
    try {
      await client.get(Cluster, { name });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return true;
    }
    if (Date.now() > endMs) return false;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

/** Says what the cluster waits for. */
async function stillThere(client: Client, name: string): Promise<string> {
  const { items } = await client.list(Work, { namespace: executionNamespace(name) });
  const works = items
    .slice(0, NAMED_MAX)
    .map((work) => {
      const applied = work.status?.conditions?.find(({ type }) => type === "Applied");
      return `${work.metadata.name}${applied?.status === "False" ? ` (${applied.message})` : ""}`;
    })
    .join(", ");
  const blocking =
    items.length === 0 ? "its works are gone, its execution space is not" : `${items.length} works block it: ${works}`;
  return `context deadline exceeded: the cluster ${name} is still being removed; ${blocking}; --force gives up on them`;
}

/** Takes the finalizers off the works and the cluster: what runs in the member stays there. */
async function giveUp(client: Client, name: string): Promise<void> {
  const { items } = await client.list(Work, { namespace: executionNamespace(name) });
  for (const work of items) await withoutFinalizer(client, Work, work, EXECUTION_FINALIZER);
  const space = await client.find(Namespace, { name: executionNamespace(name) });
  if (space !== undefined && space.metadata.deletionTimestamp === undefined)
    await client.delete(Namespace, { name: executionNamespace(name) });
  const cluster = await client.find(Cluster, { name });
  if (cluster !== undefined) await withoutFinalizer(client, Cluster, cluster, CLUSTER_FINALIZER);
  if (!(await isGone(client, name, 10_000)))
    throw new Error(`the cluster ${name} is still there: other finalizers than Karmada's hold it`);
}
