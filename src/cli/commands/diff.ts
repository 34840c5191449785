import { type AnyBinding, executionNamespace, Work } from "#apis/karmada";
import { deepEqual } from "#base";
import { type JsonPatchOperation, type KubeObject, getPath } from "#machinery";
import { type Connection, kubeconfigFlags, openConnection } from "../connection.ts";
import { compareAcross, lookAcross } from "../diff/across.ts";
import { applied } from "../diff/apply.ts";
import { concernedBy, differences, renderTemplate, writtenOver } from "../diff/plan.ts";
import { type DiffWorld, kindOf, loadDiffWorld, readObjects } from "../diff/world.ts";
import { type Parsed, parseArguments, withHelp } from "../flags.ts";
import { type MemberConnection, openMember } from "../members.ts";
import { systemClock } from "../process.ts";
import { resolveType, typeAndName } from "../resolve.ts";

/** A template as it is, or as it would be once a user has changed it. */
interface Subject {
  readonly template: KubeObject;
  readonly isChanged: boolean;
}

interface Difference {
  readonly cluster: string;
  readonly object: string;
  readonly change: "create" | "update" | "delete" | "unknown";
  readonly patch?: readonly JsonPatchOperation[];
  readonly live?: KubeObject;
  readonly message?: string;
}

/**
 * `flotilla diff --across TYPE NAME`: how the live objects of a name differ between members.
 *
 * `flotilla diff (TYPE NAME | -f FILE)`: what stands in members against what would stand there, were the given templates,
 * policies and overrides applied. Exit codes as kubectl diff: 0 equal, 1 different, 2 an error.
 */
export async function run(words: readonly string[], program: string): Promise<number> {
  try {
    return await withHelp(() => diff(words, program));
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
}

async function diff(words: readonly string[], program: string): Promise<number> {
  const parsed = parseArguments(
    words,
    [
      ...kubeconfigFlags,
      { name: "namespace", short: "n", meaning: "namespace of the object; default is the context's" },
      {
        name: "filename",
        short: "f",
        meaning: "file of changed templates, policies or overrides; may stand several times",
      },
      { name: "cluster", short: "C", meaning: "this member only; with --across the one to compare with" },
      { name: "across", isSwitch: true, meaning: "compare live objects between members" },
      { name: "output", short: "o", default: "text", meaning: "text or json" },
    ],
    `${program} diff ([--across] TYPE NAME | -f FILE) [-C CLUSTER]`,
  );
  const format = parsed.get("output") ?? "text";
  if (format !== "text" && format !== "json")
    throw new Error(`--output: ${JSON.stringify(format)} must be text or json`);
  const connection = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
  const members = new Map<string, Promise<MemberConnection>>();
  try {
    const namespace = parsed.get("namespace") ?? connection.endpoint.namespace ?? "default";
    if (parsed.isOn("across")) {
      if (parsed.all("filename").length > 0)
        throw new Error("--across compares what is live; -f cannot stand beside it");
      return await diffAcross(parsed, namespace, connection);
    }
    const nowMs = systemClock.now();
    const world = await loadDiffWorld(connection, readObjects(parsed.all("filename"), namespace), nowMs);
    const templates: Subject[] = [];
    for (const given of world.templates) {
      const live = await connection.client.find(kindOf(world, given), {
        namespace: given.metadata.namespace,
        name: given.metadata.name ?? "",
      });
      const template = live === undefined ? given : applied(live, given);
      templates.push({ template, isChanged: live === undefined || !deepEqual(live, template) });
    }
    if (parsed.args.length > 0) {
      const [type, name] = typeAndName(parsed.args);
      const kind = await resolveType(connection.transport, type);
      const at = { namespace: kind.namespaced ? namespace : undefined, name };
      templates.push({ template: await connection.client.get(kind, at), isChanged: false });
    }
    for (const resource of concernedBy(world)) {
      const isGiven = templates.some(
        ({ template: { kind, metadata } }) =>
          kind === resource.kind &&
          metadata.name === resource.name &&
          (metadata.namespace ?? "") === (resource.namespace ?? ""),
      );
      const found = isGiven ? undefined : await connection.client.find(kindOf(world, resource), resource);
      if (found !== undefined) templates.push({ template: found, isChanged: false });
    }
    if (templates.length === 0 && parsed.all("filename").length === 0)
      throw new Error("one object such as deployment/nginx, or -f FILE, is required");
    const found: Difference[] = [];
    const only = parsed.get("cluster");
    for (const subject of templates)
      found.push(...(await diffTemplate(subject, world, connection, members, only, nowMs)));
    process.stdout.write(
      format === "json"
        ? `${JSON.stringify(
            found.map(({ live: _live, ...rest }) => rest),
            null,
            2,
          )}\n`
        : textOf(found),
    );
    if (found.some(({ change }) => change === "unknown")) return 2;
    return found.length > 0 ? 1 : 0;
  } finally {
    await Promise.all(
      [...members.values()].map((opening) =>
        opening.then(
          (member) => member.close(),
          () => undefined,
        ),
      ),
    );
    await connection.transport.close();
  }
}

async function diffAcross(parsed: Parsed, namespace: string, connection: Connection): Promise<number> {
  const [type, name] = typeAndName(parsed.args);
  const kind = await resolveType(connection.transport, type);
  const at = { namespace: kind.namespaced ? namespace : undefined, name };
  const { reference, others } = compareAcross(await lookAcross(connection, kind, at), parsed.get("cluster"));
  if (parsed.get("output") === "json")
    process.stdout.write(
      `${JSON.stringify({ reference, members: others.map(({ live: _live, ...rest }) => rest) }, null, 2)}\n`,
    );
  else
    for (const { cluster, state, patch = [], live, message } of others) {
      const said = {
        equal: `is as in ${reference}`,
        different: `differs from ${reference}`,
        absent: "does not have it",
        unknown: `cannot be looked at: ${message ?? ""}`,
      }[state];
      const rows = patch.map(({ op, path, value }) => {
        const own = live === undefined ? undefined : getPath(live, ...keysOf(path));
        const [here, there] = [own, op === "remove" ? undefined : value].map((each) =>
          each === undefined ? "absent" : JSON.stringify(each),
        );
        return `  ${path}: ${here} (${reference}: ${there})`;
      });
      process.stdout.write(`${[`${cluster} ${said}`, ...rows].join("\n")}\n`);
    }
  if (others.some(({ state }) => state === "unknown")) return 2;
  return others.some(({ state }) => state === "different") ? 1 : 0;
}

const keysOf = (pointer: string): readonly string[] =>
  pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));

async function diffTemplate(
  { template, isChanged }: Subject,
  world: DiffWorld,
  connection: Connection,
  members: Map<string, Promise<MemberConnection>>,
  only: string | undefined,
  nowMs: number,
): Promise<readonly Difference[]> {
  const object = `${template.kind} ${template.metadata.namespace === undefined ? "" : `${template.metadata.namespace}/`}${template.metadata.name}`;
  const rendering = renderTemplate(template, world.after, world, nowMs, isChanged);
  const binding = world.bindings.find(
    ({ spec: { resource } }) =>
      resource.kind === template.kind &&
      resource.apiVersion === template.apiVersion &&
      resource.name === template.metadata.name &&
      (resource.namespace ?? "") === (template.metadata.namespace ?? ""),
  );
  const standing = rendering.policy === undefined ? [] : (binding?.spec.clusters ?? []).map(({ name }) => name);
  const clusters = [...new Set([...standing, ...rendering.manifests.keys()])]
    .filter((name) => only === undefined || name === only)
    .sort();
  const found = await Promise.all(
    clusters.map(async (cluster): Promise<readonly Difference[]> => {
      const manifest = rendering.manifests.get(cluster);
      const problem = rendering.problems.join(", ");
      if (manifest === undefined && problem !== "") return [{ cluster, object, change: "unknown", message: problem }];
      if (manifest === undefined) return [{ cluster, object, change: "delete" }];
      let live: KubeObject | undefined;
      try {
        live = await liveObject(manifest, cluster, world, connection, members);
      } catch (error) {
        return [
          { cluster, object, change: "unknown", message: error instanceof Error ? error.message : String(error) },
        ];
      }
      if (live === undefined) return [{ cluster, object, change: "create" }];
      const last = await lastManifest(cluster, binding, connection);
      const patch = differences(live, writtenOver(manifest, live, world), last);
      return patch.length === 0 ? [] : [{ cluster, object, change: "update", patch, live }];
    }),
  );
  return found.flat();
}

async function liveObject(
  manifest: KubeObject,
  cluster: string,
  world: DiffWorld,
  connection: Connection,
  members: Map<string, Promise<MemberConnection>>,
): Promise<KubeObject | undefined> {
  const target = world.clusters.find(({ metadata }) => metadata.name === cluster);
  if (target === undefined) throw new Error(`clusters.cluster.karmada.io ${JSON.stringify(cluster)} not found`);
  let opening = members.get(cluster);
  if (opening === undefined) {
    opening = openMember(connection, target);
    members.set(cluster, opening);
  }
  const { client } = await opening;
  const { namespace, name = "" } = manifest.metadata;
  return client.find(kindOf(world, manifest), { namespace, name });
}

/** What was sent to a member last. */
async function lastManifest(
  cluster: string,
  binding: AnyBinding | undefined,
  { client }: Connection,
): Promise<KubeObject | undefined> {
  const key = binding?.kind === "ClusterResourceBinding" ? "clusterresourcebinding" : "resourcebinding";
  const id = binding?.metadata.labels?.[`${key}.karmada.io/permanent-id`];
  if (id === undefined) return undefined;
  const { items } = await client.list(Work, {
    namespace: executionNamespace(cluster),
    labelSelector: `${key}.karmada.io/permanent-id=${id}`,
  });
  return items[0]?.spec?.workload?.manifests?.[0] as unknown as KubeObject | undefined;
}

const CHANGES: Readonly<Record<Difference["change"], string>> = {
  create: "would be created",
  update: "would be changed",
  delete: "would be deleted",
  unknown: "cannot be told",
};

function textOf(found: readonly Difference[]): string {
  const shown = (value: unknown) => JSON.stringify(value);
  return found
    .map(({ cluster, object, change, patch = [], live, message }) => {
      const lines = [`${cluster}: ${object} ${CHANGES[change]}${message === undefined ? "" : `: ${message}`}`];
      for (const operation of patch) {
        const before = getPath(live, ...keysOf(operation.path));
        if (before !== undefined) lines.push(`- ${operation.path}: ${shown(before)}`);
        if (operation.op !== "remove") lines.push(`+ ${operation.path}: ${shown(operation.value)}`);
      }
      return `${lines.join("\n")}\n`;
    })
    .join("");
}
