import { stringify } from "yaml";
import {
  Cluster,
  ClusterPropagationPolicy,
  CONFLICT_RESOLUTION,
  PropagationPolicy,
  ResourceInterpreterCustomization,
  safeHash,
} from "#apis/karmada";
import { type Client, createKindMapper, type DiscoveredResource } from "#client";
import { pruneManifest } from "#interpreter";
import {
  apiVersionOf,
  getPath,
  isAlreadyExists,
  isNotFound,
  type KubeObject,
  type ResourceKind,
  setPath,
  withAnnotations,
} from "#machinery";
import { type Connection, kubeconfigFlags, openConnection } from "../connection.ts";
import { type Parsed, parseArguments, withHelp } from "../flags.ts";
import { clientSideInterpreter } from "../interpreter.ts";
import { type MemberConnection, openMember } from "../members.ts";
import { systemClock } from "../process.ts";
import { resolveType } from "../resolve.ts";

const flags = [
  ...kubeconfigFlags,
  { name: "cluster", short: "C", meaning: "the member that has the object; required" },
  { name: "cluster-kubeconfig", meaning: "path of the member's kubeconfig; default is the control plane's proxy" },
  { name: "cluster-context", meaning: "context in it; default is the cluster's name" },
  { name: "namespace", short: "n", meaning: "namespace of the object; default is the context's" },
  {
    name: "auto-create-policy",
    isSwitch: true,
    default: "true",
    meaning: "make the policy that keeps it in the member",
  },
  { name: "policy-name", meaning: "name of that policy; default is made of the object's" },
  { name: "dependencies", short: "d", isSwitch: true, meaning: "also what it depends on" },
  { name: "dry-run", isSwitch: true, meaning: "check everything but write nothing" },
  { name: "output", short: "o", meaning: "json or yaml: print what would be made, and make nothing" },
] as const;

const warn = (text: string): void => void process.stderr.write(`warning: ${text}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** `karmadactl promote TYPE NAME -C CLUSTER`: an object of a member becomes a template, and the member's own its first copy. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(words, flags, `${program} promote TYPE NAME -C CLUSTER`);
    const [type, name, ...more] = parsed.args;
    if (type === undefined || name === undefined || more.length > 0)
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
      const policy =
        parsed.get("auto-create-policy") === "false"
          ? undefined
          : policyFor(template, kind, clusterName, {
              name: parsed.get("policy-name"),
              withDependencies: parsed.isOn("dependencies"),
            });
      if (output !== undefined) {
        const shown = (object: KubeObject) =>
          output === "json" ? JSON.stringify(object, null, 4) : stringify(object).trimEnd();
        print([template, ...(policy === undefined ? [] : [policy])].map(shown).join("\n---\n"));
        return 0;
      }
      if (parsed.isOn("dry-run")) return 0;
      if (parsed.isOn("dependencies")) await promoteDependencies(plane, member.client, template, clusterName);
      return await promote(plane.client, kind, template, policy);
    } finally {
      await member?.close();
      await plane.transport.close();
    }
  });
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

/** What the control plane is given of a member's object: without what servers and controllers set, taking it over as it is. */
function asTemplate(object: KubeObject): KubeObject {
  const pruned = pruneManifest(object);
  const lifetime = getPath(object, "spec", "ttlSecondsAfterFinished");
  const whole = lifetime === undefined ? pruned : setPath(pruned, ["spec", "ttlSecondsAfterFinished"], lifetime);
  return whole.metadata.annotations?.[CONFLICT_RESOLUTION] === undefined
    ? withAnnotations(whole, { [CONFLICT_RESOLUTION]: "overwrite" })
    : whole;
}

/** The policy that keeps an object in the member it came from (wire: clients make the same name to find it). */
function policyFor(
  { apiVersion, kind, metadata }: KubeObject,
  { group, version }: DiscoveredResource,
  cluster: string,
  { name, withDependencies }: { readonly name: string | undefined; readonly withDependencies: boolean },
): KubeObject {
  const { namespace } = metadata;
  const suffix = safeHash(`${namespace ?? ""}${group}/${version}, Kind=${kind}`);
  return {
    apiVersion: "policy.karmada.io/v1alpha1",
    kind: namespace === undefined ? "ClusterPropagationPolicy" : "PropagationPolicy",
    metadata: {
      ...(namespace === undefined ? {} : { namespace }),
      name: name ?? `${metadata.name?.replaceAll(":", ".")}-${suffix}`.toLowerCase(),
    },
    spec: {
      resourceSelectors: [{ apiVersion, kind, name: metadata.name }],
      placement: { clusterAffinity: { clusterNames: [cluster] } },
      propagateDeps: withDependencies,
      conflictResolution: "Overwrite",
      preserveResourcesOnDeletion: true,
    },
  } as KubeObject;
}

const resourceText = ({ group, version, resource }: DiscoveredResource) =>
  `"${group}/${version}, Resource=${resource}"`;
const keyText = ({ metadata }: KubeObject) => `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;

async function promote(
  client: Client,
  kind: DiscoveredResource,
  template: KubeObject,
  policy: KubeObject | undefined,
): Promise<number> {
  try {
    await client.create(kind, template);
    print(`ResourceTemplate (${keyText(template)}) is created successfully`);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    warn(`resource ${resourceText(kind)}(${keyText(template)}) already exist in karmada control plane`);
    return 0;
  }
  if (policy !== undefined) {
    const of = policy.kind === "PropagationPolicy" ? PropagationPolicy : ClusterPropagationPolicy;
    const shown = policy.metadata.namespace === undefined ? policy.metadata.name : `(${keyText(policy)})`;
    try {
      await client.create(of as ResourceKind<KubeObject>, policy);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      throw new Error(
        `the ${policy.kind}(${policy.metadata.namespace === undefined ? policy.metadata.name : keyText(policy)}) already exist, please edit it to propagate resource`,
        { cause: error },
      );
    }
    print(`${policy.kind} ${shown} is created successfully`);
  }
  print(`Resource ${resourceText(kind)}(${keyText(template)}) is promoted successfully`);
  return 0;
}

/** Makes templates of what an object depends on. One that is there already ends it, and takes back those made before. */
async function promoteDependencies(
  { client, transport }: Connection,
  member: Client,
  template: KubeObject,
  cluster: string,
): Promise<void> {
  const { items } = await client.list(ResourceInterpreterCustomization);
  const dependencies = clientSideInterpreter(items, systemClock.now()).dependencies(template);
  if (dependencies === undefined) {
    warn(`nothing says what a ${template.kind} depends on`);
    return;
  }
  const mapper = createKindMapper(transport, systemClock);
  const made: { readonly kind: DiscoveredResource; readonly object: KubeObject }[] = [];
  for (const { apiVersion, kind: kindName, namespace, name } of dependencies) {
    const kind = await mapper.find(apiVersion, kindName);
    if (kind === undefined || !name) {
      warn(`dependency ${kindName} ${name ?? "by labels"} is left out`);
      continue;
    }
    let object: KubeObject;
    try {
      object = asTemplate(await member.get(kind, { namespace, name }));
    } catch (error) {
      if (!isNotFound(error)) throw error;
      warn(`dependency ${resourceText(kind)}(${namespace ?? ""}/${name}) is not in cluster(${cluster})`);
      continue;
    }
    try {
      await client.create(kind, object);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      warn(
        `dependency resource ${resourceText(kind)}(${keyText(object)}) already exist in karmada control plane; the dependencies made before it are taken back, the others left out`,
      );
      for (const before of made.reverse())
        await client.delete(before.kind, {
          namespace: before.object.metadata.namespace,
          name: before.object.metadata.name ?? "",
        });
      return;
    }
    made.push({ kind, object });
    print(`Dependency resource ${resourceText(kind)}(${keyText(object)}) is promoted successfully`);
  }
}
