import { getPath, type KubeObject } from "#machinery";
import type { Attributes } from "../authorization/attributes.ts";

interface Subject {
  readonly kind: string;
  readonly user?: { readonly name: string };
  readonly group?: { readonly name: string };
  readonly serviceAccount?: { readonly namespace: string; readonly name: string };
}

interface PolicyRules {
  readonly subjects?: readonly Subject[];
  readonly resourceRules?: readonly {
    readonly verbs: readonly string[];
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly clusterScope?: boolean;
    readonly namespaces?: readonly string[];
  }[];
  readonly nonResourceRules?: readonly {
    readonly verbs: readonly string[];
    readonly nonResourceURLs: readonly string[];
  }[];
}

/** A FlowSchema, ready to be asked. */
export interface Schema {
  readonly name: string;
  readonly uid: string;
  readonly level: string;
  matches(request: Attributes): boolean;
  /** What tells the flows of a schema apart: a user, a namespace, or nothing. */
  distinguish(request: Attributes): string;
}

const has = (list: readonly string[] | undefined, value: string) =>
  list !== undefined && (list.includes("*") || list.includes(value));

const isSubject = (subject: Subject, { user }: Attributes): boolean => {
  if (subject.kind === "User") return subject.user?.name === "*" || subject.user?.name === user.name;
  if (subject.kind === "Group") return subject.group?.name === "*" || user.groups.includes(subject.group?.name ?? "");
  const { namespace = "", name = "" } = subject.serviceAccount ?? {};
  const prefix = `system:serviceaccount:${namespace}:`;
  return name === "*" ? user.name.startsWith(prefix) : user.name === prefix + name;
};

function matchesRules(rules: PolicyRules, request: Attributes): boolean {
  if (!(rules.subjects ?? []).some((subject) => isSubject(subject, request))) return false;
  if (request.path !== undefined) {
    const path = request.path;
    return (rules.nonResourceRules ?? []).some(
      ({ verbs, nonResourceURLs }) =>
        has(verbs, request.verb) &&
        nonResourceURLs.some(
          (url) => url === "*" || url === path || (url.endsWith("/*") && path.startsWith(url.slice(0, -1))),
        ),
    );
  }
  const resource = request.subresource === "" ? request.resource : `${request.resource}/${request.subresource}`;
  return (rules.resourceRules ?? []).some(
    (rule) =>
      has(rule.verbs, request.verb) &&
      has(rule.apiGroups, request.group) &&
      has(rule.resources, resource) &&
      (request.namespace === "" ? rule.clusterScope === true : has(rule.namespaces, request.namespace)),
  );
}

/** FlowSchemas in the order they are asked: by precedence, then by name. */
export function orderSchemas(objects: Iterable<KubeObject>): readonly Schema[] {
  return [...objects]
    .map((object) => ({
      precedence: Number(getPath(object, "spec", "matchingPrecedence") ?? 1_000),
      schema: schemaOf(object),
    }))
    .sort((left, right) => left.precedence - right.precedence || (left.schema.name < right.schema.name ? -1 : 1))
    .map(({ schema }) => schema);
}

function schemaOf(object: KubeObject): Schema {
  const rules = (getPath(object, "spec", "rules") ?? []) as readonly PolicyRules[];
  const method = getPath(object, "spec", "distinguisherMethod", "type");
  return {
    name: object.metadata.name ?? "",
    uid: object.metadata.uid ?? "",
    level: String(getPath(object, "spec", "priorityLevelConfiguration", "name") ?? ""),
    matches: (request) => rules.some((own) => matchesRules(own, request)),
    distinguish: ({ user, namespace }) => (method === "ByUser" ? user.name : method === "ByNamespace" ? namespace : ""),
  };
}
