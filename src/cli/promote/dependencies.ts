import { type Client, createKindMapper, type DiscoveredResource } from "#client";
import type { Dependency, Interpreter } from "#interpreter";
import { apiVersionOf, formatLabelSelector, type KubeObject, type LabelSelector, parseApiVersion } from "#machinery";
import { systemClock } from "../process.ts";
import { asTemplate, resourceText } from "./template.ts";

/** Objects that are followed at most; what needs more is promoted in parts. */
const FOLLOWED_MAX = 2_000;

/** An object of the member that something wanted needs. */
export interface Needed {
  readonly kind: DiscoveredResource;
  readonly namespace: string | undefined;
  readonly name: string;
  /** As the member has it. */
  readonly object: KubeObject;
  /** 1 for what a wanted object needs itself: the policy of that takes it along. */
  readonly level: number;
}

interface FollowOptions {
  readonly interpreter: Pick<Interpreter, "dependencies">;
  readonly member: Client;
  readonly cluster: string;
  /** Told what cannot be followed, and why. */
  readonly warn: (text: string) => void;
  readonly limit?: number;
}

/**
 * What templates need, and what that needs, to the end: each object once, however many need it and whether they need each
 * other. Throws before anything is made when there are more than the limit.
 */
export async function followDependencies(
  templates: readonly KubeObject[],
  options: FollowOptions,
): Promise<readonly Needed[]> {
  const { interpreter, member, warn, limit = FOLLOWED_MAX } = options;
  const kinds = createKindMapper(member.transport, systemClock);
  const seen = new Set<string>();
  const keyOf = (kind: string, namespace: string | undefined, name: string) => `${kind} ${namespace ?? ""}/${name}`;
  for (const { apiVersion, kind, metadata } of templates)
    seen.add(keyOf(`${parseApiVersion(apiVersion).group}/${kind}`, metadata.namespace, metadata.name ?? ""));
  const found: Needed[] = [];
  let layer = templates;
  for (let level = 1; layer.length > 0; level++) {
    const next: KubeObject[] = [];
    for (const template of layer)
      for (const dependency of interpreter.dependencies(template) ?? []) {
        const kind = await kinds.find(dependency.apiVersion, dependency.kind);
        if (kind === undefined) {
          const { name = "by labels", kind: kindName } = dependency;
          warn(`dependency ${kindName} ${name} is left out: cluster(${options.cluster}) has no such kind`);
          continue;
        }
        for (const object of await objectsOf(dependency, kind, options)) {
          const { namespace, name = "" } = object.metadata;
          const key = keyOf(`${kind.group}/${kind.kind}`, namespace, name);
          if (seen.has(key)) continue;
          seen.add(key);
          if (found.length >= limit)
            throw new Error(`more than ${limit} objects are needed, by one another: promote them in parts`);
          found.push({ kind, namespace, name, object, level });
          next.push(asTemplate(object));
        }
      }
    layer = next;
  }
  return found;
}

/** The objects a reference names, or those its labels select. */
async function objectsOf(
  { namespace, name, labelSelector }: Dependency,
  kind: DiscoveredResource,
  { member, cluster, warn }: FollowOptions,
): Promise<readonly KubeObject[]> {
  const at = kind.namespaced ? namespace : undefined;
  const head = { apiVersion: apiVersionOf(kind), kind: kind.kind };
  if (name) {
    const object = await member.find(kind, { namespace: at, name });
    if (object === undefined)
      warn(`dependency ${resourceText(kind)}(${at ?? ""}/${name}) is not in cluster(${cluster})`);
    return object === undefined ? [] : [{ ...head, ...object }];
  }
  if (labelSelector === undefined) return [];
  const { items } = await member.list(kind, {
    ...(at === undefined ? {} : { namespace: at }),
    labelSelector: formatLabelSelector(labelSelector as LabelSelector),
  });
  return items.map((object) => ({ ...head, ...object }));
}
