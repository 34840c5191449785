import { compileLabelSelector, type KubeObject, type LabelSelector } from "#machinery";
import type { AdmissionRequest } from "../admission.ts";
import type { ResourceDefinition } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import { decodedAnew } from "../verbs/body.ts";
import type { Labels, MatchResources, Rule } from "./types.ts";

const GROUP = "admissionregistration.k8s.io";

/** Whoever watches over admission is watched over by nobody: else a bad configuration could never be removed. */
export const isExempt = ({ kind }: ResourceDefinition): boolean => kind.group === GROUP;

const has = (list: readonly string[] | undefined, value: string) =>
  list !== undefined && (list.includes("*") || list.includes(value));

function resourceMatches(resources: readonly string[] | undefined, resource: string, subresource: string): boolean {
  return (resources ?? []).some((pattern) => {
    const slash = pattern.indexOf("/");
    const main = slash < 0 ? pattern : pattern.slice(0, slash);
    const sub = slash < 0 ? "" : pattern.slice(slash + 1);
    return (main === "*" || main === resource) && (sub === "*" || sub === subresource);
  });
}

function ruleMatches(rule: Rule, request: AdmissionRequest, { kind }: ResourceDefinition): boolean {
  if (!has(rule.operations, request.operation)) return false;
  if (!has(rule.apiGroups, kind.group) || !has(rule.apiVersions, kind.version)) return false;
  if (!resourceMatches(rule.resources, kind.resource, request.subresource ?? "")) return false;
  if (rule.resourceNames !== undefined && rule.resourceNames.length > 0 && !rule.resourceNames.includes(request.name))
    return false;
  // A Namespace counts as cluster-scoped, although it has its own name as namespace in requests.
  if (rule.scope === "Namespaced") return kind.namespaced;
  return rule.scope !== "Cluster" || !kind.namespaced;
}

/** Other versions of the same objects, the asked one first. */
function* versionsOf(server: ApiServer, definition: ResourceDefinition): Generator<ResourceDefinition> {
  yield definition;
  for (const other of server.registry.all)
    if (other !== definition && other.storage.prefix === definition.storage.prefix && other.virtual === undefined)
      yield other;
}

/** The version of the resource rules speak of, or undefined when no rule matches. */
export function matchRules(
  server: ApiServer,
  rules: readonly Rule[] | undefined,
  matchPolicy: string | undefined,
  request: AdmissionRequest,
): ResourceDefinition | undefined {
  if (rules === undefined || rules.length === 0) return undefined;
  if (rules.some((rule) => ruleMatches(rule, request, request.definition))) return request.definition;
  if (matchPolicy === "Exact") return undefined;
  for (const definition of versionsOf(server, request.definition))
    if (rules.some((rule) => ruleMatches(rule, request, definition))) return definition;
  return undefined;
}

const isEmpty = (selector: LabelSelector | undefined) =>
  selector === undefined || (!selector.matchLabels && (selector.matchExpressions ?? []).length === 0);

const selectors = new WeakMap<LabelSelector, (labels: Labels) => boolean>();
function selects(selector: LabelSelector, labels: Labels): boolean {
  let match = selectors.get(selector);
  if (match === undefined) {
    match = compileLabelSelector(selector) ?? (() => false);
    selectors.set(selector, match);
  }
  return match(labels);
}

/** The Namespace object of a namespaced request, where there is one. */
export function namespaceOf(server: ApiServer, request: AdmissionRequest): KubeObject | undefined {
  const definition = server.registry.find("", "v1", "namespaces");
  if (definition === undefined || request.namespace === undefined) return undefined;
  return server.store(definition).get(request.namespace)?.object;
}

/** Labels the namespace selector looks at; undefined means that it does not apply. */
function namespaceLabels(server: ApiServer, request: AdmissionRequest): { readonly labels: Labels } | undefined {
  const { kind } = request.definition;
  if (kind.group === "" && kind.resource === "namespaces")
    return { labels: (request.object ?? request.oldObject)?.metadata.labels };
  if (!kind.namespaced) return undefined;
  return { labels: namespaceOf(server, request)?.metadata.labels };
}

export interface Selectors {
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
}

export function selectorsMatch(server: ApiServer, selectors: Selectors, request: AdmissionRequest): boolean {
  const { namespaceSelector, objectSelector } = selectors;
  if (namespaceSelector !== undefined && !isEmpty(namespaceSelector)) {
    const found = namespaceLabels(server, request);
    if (found !== undefined && !selects(namespaceSelector, found.labels)) return false;
  }
  if (objectSelector === undefined || isEmpty(objectSelector)) return true;
  return [request.object, request.oldObject].some(
    (object) => object !== undefined && selects(objectSelector, object.metadata.labels),
  );
}

/** The version of the request a policy's constraints match, or undefined. */
export function matchResources(
  server: ApiServer,
  match: MatchResources | undefined,
  request: AdmissionRequest,
): ResourceDefinition | undefined {
  if (match === undefined) return request.definition;
  if (!selectorsMatch(server, match, request)) return undefined;
  if (matchRules(server, match.excludeResourceRules, match.matchPolicy, request) !== undefined) return undefined;
  // A binding without rules takes what its policy takes.
  if ((match.resourceRules ?? []).length === 0) return request.definition;
  return matchRules(server, match.resourceRules, match.matchPolicy, request);
}

interface Seen {
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
}

/** The objects of a request as who looks at it in the version that was matched sees them. */
export function seenObjects(server: ApiServer, request: AdmissionRequest, matched: ResourceDefinition): Seen {
  const { view, definition } = request;
  const seen = (one: KubeObject | undefined) =>
    one === undefined || view === undefined ? inVersion(server, one, definition, matched) : view.show(one);
  return { object: seen(request.object), oldObject: seen(request.oldObject) };
}

/** The object of a request after what was seen of it was changed. */
export function takenObject(
  server: ApiServer,
  { view, definition, object }: AdmissionRequest & { readonly object: KubeObject },
  matched: ResourceDefinition,
  seen: KubeObject,
  changed: KubeObject,
): KubeObject {
  if (view !== undefined) return view.take(changed, object);
  const settled = changed === seen ? changed : decodedAnew(matched, changed);
  return inVersion(server, settled, matched, definition) as KubeObject;
}

/** An object in another version of its resource. */
function inVersion(
  server: ApiServer,
  object: KubeObject | undefined,
  from: ResourceDefinition,
  to: ResourceDefinition,
): KubeObject | undefined {
  if (object === undefined || from === to) return object;
  return server.convert(server.forStore(from, object), to);
}
