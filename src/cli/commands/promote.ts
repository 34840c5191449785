import { stringify } from "yaml";
import { Namespace } from "#apis/kubernetes";
import { Cluster, ResourceInterpreterCustomization } from "#apis/karmada";
import { type Client, createKindMapper, type DiscoveredResource } from "#client";
import { apiVersionOf, isAlreadyExists, isForbidden, type KubeObject, type ResourceKind } from "#machinery";
import { type Connection, kubeconfigFlags, openConnection } from "../connection.ts";
import { UsageError } from "../errors.ts";
import { type Parsed, parseArguments, withHelp } from "../flags.ts";
import { clientSideInterpreter } from "../interpreter.ts";
import { type MemberConnection, openMember } from "../members.ts";
import { systemClock } from "../process.ts";
import { followDependencies, type Needed } from "../promote/dependencies.ts";
import { batchFlags, isBatch, readChoices, runBatch } from "../promote/batch.ts";
import { policyKind } from "../promote/plan.ts";
import {
  asTemplate,
  keyText,
  policyExists,
  policyNameOf,
  policyOf,
  policyText,
  resourceText,
  selectorOf,
} from "../promote/template.ts";
import { resolveType } from "../resolve.ts";

const flags = [
  ...kubeconfigFlags,
  { name: "cluster", short: "C", meaning: "the member that has the object; required" },
  { name: "cluster-kubeconfig", meaning: "path of the member's kubeconfig; default is the control plane's proxy" },
  { name: "cluster-context", meaning: "context in it; default is the cluster's name" },
  { name: "namespace", short: "n", meaning: "namespaces of the objects; default is the context's" },
  {
    name: "auto-create-policy",
    isSwitch: true,
    default: "true",
    meaning: "make the policy that keeps it in the member",
  },
  { name: "policy-name", meaning: "name of that policy; default is made of the object's" },
  { name: "dependencies", short: "d", isSwitch: true, meaning: "also what it depends on, and what that depends on" },
  { name: "dry-run", isSwitch: true, meaning: "check everything but write nothing; of many objects, print the plan" },
  { name: "output", short: "o", meaning: "json or yaml: print what would be made, and make nothing" },
  ...batchFlags,
];

const warn = (text: string): void => void process.stderr.write(`warning: ${text}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

/**
 * `karmadactl promote TYPE NAME -C CLUSTER`: an object of a member becomes a template, and the member's own its first copy. With
 * several types, names or namespaces, or a flag of `batchFlags`, many are: by a plan that is shown first. That form ends with 0
 * when all is done, 1 when some failed, 2 for a command line that does not say enough and 3 for a plan with conflicts.
 */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(words, flags, `${program} promote (TYPE[,TYPE…] | all) [NAME…] -C CLUSTER`);
    const isMany = isBatch(parsed);
    try {
      return await (isMany ? promoteMany(parsed) : promoteOne(parsed));
    } catch (error) {
      if (!isMany || !(error instanceof UsageError)) throw error;
      process.stderr.write(`error: ${error.message}\n`);
      return 2;
    }
  });
}

async function promoteMany(parsed: Parsed): Promise<number> {
  const cluster = parsed.get("cluster");
  if (!cluster) throw new UsageError("the cluster cannot be empty");
  readChoices(parsed);
  const plane = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
  let member: MemberConnection | undefined;
  try {
    member = await memberOf(plane, await plane.client.get(Cluster, { name: cluster }), parsed);
    return await runBatch(parsed, cluster, plane, member);
  } finally {
    await member?.close();
    await plane.transport.close();
  }
}

async function promoteOne(parsed: Parsed): Promise<number> {
  const [type, name] = parsed.args;
  if (type === undefined || name === undefined)
    throw new Error("incorrect command format, please use correct command format");
  const clusterName = parsed.get("cluster");
  if (!clusterName) throw new Error("the cluster cannot be empty");
  const output = parsed.get("output");
  if (output !== undefined && output !== "json" && output !== "yaml")
    throw new Error("invalid output format: supported formats are json and yaml");
  const plane = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
  let member: MemberConnection | undefined;
  try {
    const cluster = await plane.client.get(Cluster, { name: clusterName });
    member = await memberOf(plane, cluster, parsed);
    const source = await resolveType(member.client.transport, type);
    const namespace = source.namespaced
      ? (parsed.get("namespace") ?? plane.endpoint.namespace ?? "default")
      : undefined;
    const found = await read(member.client, source, namespace, name, clusterName);
    const kind = await createKindMapper(plane.transport, systemClock).find(apiVersionOf(source), source.kind);
    if (kind === undefined)
      throw new Error(
        `no matches for kind ${JSON.stringify(source.kind)} in version ${JSON.stringify(apiVersionOf(source))}: the control plane must know the kind first`,
      );
    const template = asTemplate(found);
    const isFollowing = parsed.isOn("dependencies") && !parsed.isOn("dry-run");
    const needed = isFollowing ? await neededBy(plane, member.client, template, clusterName) : [];
    // The control plane sends along what the object needs itself; what that needs the policy has to name.
    const deeper = needed
      .filter(({ level, namespace: where }) => level > 1 && where === template.metadata.namespace)
      .map(({ object }) => object);
    const policy =
      parsed.get("auto-create-policy") === "false"
        ? undefined
        : policyOf(
            parsed.get("policy-name") ?? policyNameOf(template),
            template.metadata.namespace,
            [template, ...deeper].map(selectorOf),
            clusterName,
            parsed.isOn("dependencies"),
          );
    if (output !== undefined) {
      const shown = (object: KubeObject) =>
        output === "json" ? JSON.stringify(object, null, 4) : stringify(object).trimEnd();
      print([template, ...(policy === undefined ? [] : [policy])].map(shown).join("\n---\n"));
      return 0;
    }
    if (await isThere(plane.client, kind, template)) {
      warn(`resource ${resourceText(kind)}(${keyText(template)}) already exist in karmada control plane`);
      return 0;
    }
    await refuseLate(plane.client, [template, ...needed.map(({ object }) => object)], policy);
    if (parsed.isOn("dry-run")) return 0;
    await promoteDependencies(plane, needed);
    return await promote(plane.client, kind, template, policy);
  } finally {
    await member?.close();
    await plane.transport.close();
  }
}

async function memberOf(plane: Connection, cluster: Cluster, parsed: Parsed): Promise<MemberConnection> {
  const file = parsed.get("cluster-kubeconfig");
  if (file === undefined) return openMember(plane, cluster);
  const { client, transport } = openConnection(file, parsed.get("cluster-context") ?? cluster.metadata.name);
  return { client, close: () => transport.close() };
}

async function read(
  member: Client,
  kind: ResourceKind<KubeObject>,
  namespace: string | undefined,
  name: string,
  cluster: string,
): Promise<KubeObject> {
  try {
    // A server's answer for one object names its kind; a list's items may not.
    return await member.get(kind, { namespace, name });
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`failed to get resource in cluster(${cluster}). err: ${what}`, { cause: error });
  }
}

const isThere = async (client: Client, kind: DiscoveredResource, { metadata }: KubeObject): Promise<boolean> =>
  (await client.find(kind, { namespace: metadata.namespace, name: metadata.name ?? "" })) !== undefined;

/** Says before anything is made what would be said after half of it (D10). */
async function refuseLate(
  client: Client,
  templates: readonly KubeObject[],
  policy: KubeObject | undefined,
): Promise<void> {
  const knownSpace = async (name: string) =>
    client.find(Namespace, { name }).catch((error: unknown) => {
      if (isForbidden(error)) return "not shown";
      throw error;
    });
  for (const namespace of new Set(templates.map(({ metadata }) => metadata.namespace)))
    if (namespace !== undefined && (await knownSpace(namespace)) === undefined)
      throw new Error(`the control plane has no namespace ${namespace}: promote it first, or give --create-namespace`);
  if (policy === undefined) return;
  const at = { namespace: policy.metadata.namespace, name: policy.metadata.name ?? "" };
  if ((await client.find(policyKind(at.namespace), at)) !== undefined) throw new Error(policyExists(policy));
}

async function promote(
  client: Client,
  kind: DiscoveredResource,
  template: KubeObject,
  policy: KubeObject | undefined,
): Promise<number> {
  const created = await client.create(kind as ResourceKind<KubeObject>, template);
  print(`ResourceTemplate (${keyText(template)}) is created successfully`);
  if (policy !== undefined) {
    try {
      await client.create(policyKind(policy.metadata.namespace), policy);
    } catch (error) {
      const { namespace, name = "", uid = "" } = created.metadata;
      // Nothing has claimed it: without its policy it would stand there for nothing.
      await client.delete(kind, { namespace, name }, { propagationPolicy: "Background", preconditions: { uid } });
      warn(`ResourceTemplate (${keyText(template)}) is taken back`);
      throw isAlreadyExists(error) ? new Error(policyExists(policy), { cause: error }) : error;
    }
    print(`${policy.kind} ${policyText(policy)} is created successfully`);
  }
  print(`Resource ${resourceText(kind)}(${keyText(template)}) is promoted successfully`);
  return 0;
}

/** What an object depends on, to the end; nothing where nothing says so. */
async function neededBy(
  { client }: Connection,
  member: Client,
  template: KubeObject,
  cluster: string,
): Promise<readonly Needed[]> {
  const { items } = await client.list(ResourceInterpreterCustomization);
  const interpreter = clientSideInterpreter(items, systemClock.now());
  if (interpreter.dependencies(template) === undefined) warn(`nothing says what a ${template.kind} depends on`);
  return followDependencies([template], { interpreter, member, cluster, warn });
}

/** Makes templates of what an object depends on; one that is there already stays as it is (D11). */
async function promoteDependencies({ client, transport }: Connection, needed: readonly Needed[]): Promise<void> {
  const mapper = createKindMapper(transport, systemClock);
  for (const { object, ...found } of needed) {
    const template = asTemplate(object);
    const kind = await mapper.find(apiVersionOf(found.kind), found.kind.kind);
    if (kind === undefined) {
      warn(`dependency ${found.kind.kind} ${found.name} is left out: the control plane does not know the kind`);
      continue;
    }
    try {
      await client.create(kind, template);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      warn(`dependency resource ${resourceText(kind)}(${keyText(template)}) already exist in karmada control plane`);
      continue;
    }
    print(`Dependency resource ${resourceText(kind)}(${keyText(template)}) is promoted successfully`);
  }
}
