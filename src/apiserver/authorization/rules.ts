import type { Attributes } from "./attributes.ts";

/** One rule of a Role or ClusterRole. */
export interface Rule {
  readonly verbs?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

const has = (list: readonly string[] | undefined, value: string) =>
  list !== undefined && (list.includes(value) || list.includes("*"));

const hasPath = (urls: readonly string[] | undefined, path: string) =>
  (urls ?? []).some((url) => url === "*" || url === path || (url.endsWith("*") && path.startsWith(url.slice(0, -1))));

function hasResource(resources: readonly string[] | undefined, resource: string): boolean {
  if (has(resources, resource)) return true;
  const slash = resource.indexOf("/");
  return slash > 0 && (resources?.includes(`*${resource.slice(slash)}`) ?? false);
}

/** Whether a rule allows what is wanted. */
export function allows(rule: Rule, wanted: Attributes): boolean {
  if (!has(rule.verbs, wanted.verb)) return false;
  if (wanted.path !== undefined) return hasPath(rule.nonResourceURLs, wanted.path);
  if (!has(rule.apiGroups, wanted.group)) return false;
  const resource = wanted.subresource === "" ? wanted.resource : `${wanted.resource}/${wanted.subresource}`;
  if (!hasResource(rule.resources, resource)) return false;
  const names = rule.resourceNames ?? [];
  return names.length === 0 || names.includes(wanted.name);
}

/** A rule with one verb on one thing. */
interface Single {
  readonly verb: string;
  readonly group?: string;
  readonly resource?: string;
  readonly name?: string;
  readonly url?: string;
}

function* singlesOf(rule: Rule): Generator<Single> {
  for (const verb of rule.verbs ?? []) {
    for (const group of rule.apiGroups ?? [])
      for (const resource of rule.resources ?? []) {
        const names = rule.resourceNames ?? [];
        if (names.length === 0) yield { verb, group, resource };
        for (const name of names) yield { verb, group, resource, name };
      }
    for (const url of rule.nonResourceURLs ?? []) yield { verb, url };
  }
}

function covers(rule: Rule, single: Single): boolean {
  if (!has(rule.verbs, single.verb)) return false;
  if (single.url !== undefined) return hasPath(rule.nonResourceURLs, single.url);
  if (!has(rule.apiGroups, single.group as string) || !hasResource(rule.resources, single.resource as string))
    return false;
  const names = rule.resourceNames ?? [];
  return names.length === 0 || (single.name !== undefined && names.includes(single.name));
}

/** The rights in `wanted` that `held` does not give, as few rules as say it; sorted. */
export function missingRules(held: readonly Rule[], wanted: readonly Rule[]): readonly Rule[] {
  const missing = new Map<string, { readonly single: Single; readonly verbs: Set<string> }>();
  for (const rule of wanted)
    for (const single of singlesOf(rule)) {
      if (held.some((own) => covers(own, single))) continue;
      // Verbs on paths are told one by one.
      const own = single.url === undefined ? [] : [single.verb];
      const key = JSON.stringify([single.group, single.resource, single.name, single.url, ...own]);
      const found = missing.get(key);
      if (found === undefined) missing.set(key, { single, verbs: new Set([single.verb]) });
      else found.verbs.add(single.verb);
    }
  return [...missing.values()]
    .map(({ single, verbs }) => ({
      ...(single.group === undefined ? {} : { apiGroups: [single.group] }),
      ...(single.resource === undefined ? {} : { resources: [single.resource] }),
      ...(single.name === undefined ? {} : { resourceNames: [single.name] }),
      ...(single.url === undefined ? {} : { nonResourceURLs: [single.url] }),
      verbs: [...verbs].sort(),
    }))
    .sort((left, right) => (ruleText(left) < ruleText(right) ? -1 : 1));
}

/** A rule as kube-apiserver writes it in refusals (wire). */
export function ruleText(rule: Rule): string {
  const list = (name: string, values: readonly string[] | undefined) =>
    values === undefined || values.length === 0
      ? []
      : [`${name}:[${values.map((value) => JSON.stringify(value)).join(" ")}]`];
  return `{${[
    ...list("APIGroups", rule.apiGroups),
    ...list("Resources", rule.resources),
    ...list("ResourceNames", rule.resourceNames),
    ...list("NonResourceURLs", rule.nonResourceURLs),
    ...list("Verbs", rule.verbs),
  ].join(", ")}}`;
}
