import { existsSync, readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { Namespace } from "#apis/kubernetes";
import { ResourceInterpreterCustomization } from "#apis/karmada";
import { createKindMapper, discover } from "#client";
import { apiVersionOf, type KubeObject, type ResourceKind } from "#machinery";
import type { Connection } from "../connection.ts";
import { UsageError } from "../errors.ts";
import type { Parsed } from "../flags.ts";
import { clientSideInterpreter } from "../interpreter.ts";
import type { MemberConnection } from "../members.ts";
import { systemClock } from "../process.ts";
import { followDependencies } from "./dependencies.ts";
import {
  type Candidate,
  parsePlan,
  type Plan,
  type PlanOptions,
  planPromotion,
  policyFor,
  policyKey,
  policyKind,
} from "./plan.ts";
import { select, type Selected } from "./selection.ts";
import { asTemplate, isCopy } from "./template.ts";

/** Whether objects are named, by types or by manifests. */
export const hasSelection = (parsed: Parsed) => parsed.args.length > 0 || parsed.all("filename").length > 0;

/** The plan of a selection, or a saved one compared anew with what the control plane has by now. */
export async function planOf(
  parsed: Parsed,
  cluster: string,
  plane: Connection,
  member: MemberConnection,
  mode: PlanOptions["policyMode"] | undefined,
): Promise<Plan> {
  const saved = savedPlan(parsed, cluster);
  if (saved !== undefined && parsed.isOn("undo")) return saved;
  const selected = saved === undefined ? await selectedIn(parsed, plane, member) : [];
  const policyMode = saved?.policyMode ?? mode ?? (selected.length > 1 ? "per-namespace" : "per-resource");
  const withDependencies = saved?.withDependencies ?? parsed.isOn("dependencies");
  const templates =
    saved === undefined
      ? await templatesOf(selected, withDependencies, parsed, cluster, plane, member)
      : saved.items.map(({ template, ...item }) => ({
          template: template as KubeObject,
          isDependency: item.policy === undefined,
        }));
  const candidates = await compared(templates, plane, cluster, parsed.isOn("undo"));
  const policies = new Map<string, KubeObject>();
  for (const { template } of candidates) {
    const own = policyFor(template, { cluster, policyMode });
    if (own === undefined || policies.has(policyKey(own))) continue;
    const found = await plane.client.find(policyKind(own.namespace), own);
    if (found !== undefined) policies.set(policyKey(own), found);
  }
  return planPromotion(candidates, { cluster, policyMode, withDependencies, policies });
}

/** The plan in `--plan-file` or, to undo it, in `-f`. */
export function savedPlan(parsed: Parsed, cluster: string): Plan | undefined {
  const planFile = parsed.get("plan-file");
  const [file] = parsed.all("filename");
  if (planFile !== undefined && !hasSelection(parsed) && !existsSync(planFile))
    throw new Error(`--plan-file: stat ${planFile}: no such file or directory`);
  const path =
    planFile !== undefined && !hasSelection(parsed)
      ? planFile
      : parsed.isOn("undo") && file !== undefined && isPlanFile(file)
        ? file
        : undefined;
  if (path === undefined) {
    if (!hasSelection(parsed)) throw new UsageError("incorrect command format, please use correct command format");
    return undefined;
  }
  const plan = parsePlan(readFileSync(path, "utf8"), path);
  if (plan.cluster !== cluster)
    throw new Error(`${path} is a plan for cluster(${plan.cluster}), not for cluster(${cluster})`);
  return plan;
}

const isPlanFile = (file: string) => existsSync(file) && /"kind":\s*"PromotePlan"/.test(readFileSync(file, "utf8"));

async function selectedIn(parsed: Parsed, plane: Connection, member: MemberConnection): Promise<readonly Selected[]> {
  const [types = "", ...names] = parsed.args;
  if (names.length > 0 && (types === "all" || types.includes(",")))
    throw new UsageError("names need one type: several types are selected by -l, -n or all of them");
  const { resources } = await discover(member.client.transport);
  const given = parsed.list("namespace");
  const found = await select(member.client, resources, {
    types: types.split(",").filter((type) => type !== ""),
    names,
    namespaces: parsed.isOn("all-namespaces")
      ? undefined
      : given.length > 0
        ? given
        : [plane.endpoint.namespace ?? "default"],
    labelSelector: parsed.get("selector"),
    fieldSelector: parsed.get("field-selector"),
    manifests: parsed.all("filename").flatMap(manifestsIn),
    excludedKinds: parsed.list("exclude-kinds"),
    excludedNamespaces: parsed.get("exclude-namespaces") === undefined ? undefined : parsed.list("exclude-namespaces"),
  });
  return found;
}

/** The objects a file names: documents of YAML or JSON, lists among them. */
function manifestsIn(path: string): readonly KubeObject[] {
  if (!existsSync(path)) throw new Error(`stat ${path}: no such file or directory`);
  return parseAllDocuments(readFileSync(path, "utf8")).flatMap((document) => {
    if (document.errors.length > 0) throw new Error(`${path}: ${document.errors[0]?.message}`);
    const value = document.toJS() as (KubeObject & { readonly items?: readonly KubeObject[] }) | null;
    if (value === null) return [];
    const objects = value.kind?.endsWith("List") && Array.isArray(value.items) ? value.items : [value];
    for (const object of objects)
      if (!object.apiVersion || !object.kind || !object.metadata?.name)
        throw new Error(`${path}: each object needs apiVersion, kind and metadata.name`);
    return objects;
  });
}

type Wanted = Pick<Candidate, "template" | "obstacle" | "isCopy" | "isDependency">;

/** Templates of what was selected, with its namespaces and what it depends on where that is asked for. */
async function templatesOf(
  selected: readonly Selected[],
  withDependencies: boolean,
  parsed: Parsed,
  cluster: string,
  plane: Connection,
  member: MemberConnection,
): Promise<readonly Wanted[]> {
  const wanted = new Map<string, Wanted>();
  const add = (kind: ResourceKind<KubeObject>, found: Selected, isDependency = false) => {
    const { namespace, name, object } = found;
    const key = `${kind.group}/${kind.kind} ${namespace ?? ""}/${name}`;
    if (wanted.has(key)) return;
    const head = { apiVersion: apiVersionOf(kind), kind: kind.kind };
    const template =
      object === undefined
        ? { ...head, metadata: { ...(namespace === undefined ? {} : { namespace }), name } }
        : asTemplate({ ...head, ...object });
    wanted.set(key, {
      template,
      ...(object === undefined ? { obstacle: "it is not in the member" } : { isCopy: isCopy(object) }),
      ...(isDependency ? { isDependency } : {}),
    });
  };
  for (const one of selected) add(one.kind, one);
  if (withDependencies) {
    const { items } = await plane.client.list(ResourceInterpreterCustomization);
    const interpreter = clientSideInterpreter(items, systemClock.now());
    const needed = await followDependencies(
      [...wanted.values()].map(({ template }) => template),
      {
        interpreter,
        member: member.client,
        cluster,
        warn: (text) => void process.stderr.write(`warning: ${text}\n`),
      },
    );
    // What is needed by what is needed is no policy's but its own.
    for (const one of needed) add(one.kind, one, one.level === 1);
  }
  if (parsed.isOn("create-namespace"))
    for (const namespace of new Set([...wanted.values()].map(({ template }) => template.metadata.namespace))) {
      if (namespace === undefined || (await plane.client.find(Namespace, { name: namespace })) !== undefined) continue;
      const object = await member.client.find(Namespace, { name: namespace });
      const kind = Namespace as unknown as ResourceKind<KubeObject>;
      add(kind, { kind, name: namespace, object: object as KubeObject | undefined });
    }
  return [...wanted.values()];
}

/** Each template with what the control plane has of it, and what is in its way there. */
async function compared(
  wanted: readonly Wanted[],
  plane: Connection,
  cluster: string,
  isLeaving: boolean,
): Promise<readonly Candidate[]> {
  const mapper = createKindMapper(plane.transport, systemClock);
  const madeNamespaces = new Set<string>();
  const madeKinds = new Set<string>();
  for (const { template } of wanted) {
    if (template.kind === "Namespace") madeNamespaces.add(template.metadata.name ?? "");
    const { group, names } = (template as { readonly spec?: { group?: string; names?: { kind?: string } } }).spec ?? {};
    if (template.kind === "CustomResourceDefinition") madeKinds.add(`${group}/${names?.kind}`);
  }
  const presentNamespaces = new Map<string, boolean>();
  const candidates: Candidate[] = [];
  for (const one of wanted) {
    const { template } = one;
    const { namespace, name = "" } = template.metadata;
    const served = await mapper.find(template.apiVersion, template.kind);
    const [group = ""] = template.apiVersion.includes("/") ? template.apiVersion.split("/") : [""];
    const kind = served ?? guessedKind(template);
    if (served === undefined || one.obstacle !== undefined) {
      const isComing = madeKinds.has(`${group}/${template.kind}`);
      const obstacle =
        one.obstacle ?? (isComing ? undefined : "the control plane does not know the kind: promote its CRD, too");
      candidates.push({ ...one, kind, ...(obstacle === undefined ? {} : { obstacle }) });
      continue;
    }
    if (namespace !== undefined && !presentNamespaces.has(namespace))
      presentNamespaces.set(namespace, (await plane.client.find(Namespace, { name: namespace })) !== undefined);
    const isHomeless =
      namespace !== undefined && presentNamespaces.get(namespace) === false && !madeNamespaces.has(namespace);
    const present = isHomeless ? undefined : await plane.client.find(kind, { namespace, name });
    const obstacle =
      isHomeless && !isLeaving
        ? `the control plane has no namespace ${namespace}: promote it, or give --create-namespace`
        : undefined;
    candidates.push({
      ...one,
      kind,
      ...(present === undefined ? {} : { present }),
      ...(obstacle === undefined ? {} : { obstacle }),
    });
  }
  return candidates;
}

/** A kind that nothing serves yet, as far as texts need it. */
function guessedKind({ apiVersion, kind, metadata }: KubeObject): ResourceKind<KubeObject> {
  const [version = "", group = ""] = apiVersion.split("/").reverse();
  return { group, version, kind, resource: `${kind.toLowerCase()}s`, namespaced: metadata.namespace !== undefined };
}
