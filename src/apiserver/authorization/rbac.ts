import { getPath, type KubeObject } from "#machinery";
import type { User } from "../definition.ts";
import type { ApiServer } from "../server.ts";

/** What somebody wants to do. */
export interface Attributes {
  readonly user: User;
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** Set for requests that are about no resource. */
  readonly path?: string;
}

export interface Decision {
  readonly isAllowed: boolean;
  readonly reason: string;
}

interface Rule {
  readonly verbs?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

const has = (list: readonly string[] | undefined, value: string) =>
  list !== undefined && (list.includes(value) || list.includes("*"));

function allows(rule: Rule, wanted: Attributes): boolean {
  if (!has(rule.verbs, wanted.verb)) return false;
  if (wanted.path !== undefined)
    return (rule.nonResourceURLs ?? []).some(
      (url) => url === "*" || url === wanted.path || (url.endsWith("*") && wanted.path?.startsWith(url.slice(0, -1))),
    );
  if (!has(rule.apiGroups, wanted.group)) return false;
  const resource = wanted.subresource === "" ? wanted.resource : `${wanted.resource}/${wanted.subresource}`;
  if (
    !has(rule.resources, resource) &&
    !(wanted.subresource !== "" && rule.resources?.includes(`*/${wanted.subresource}`))
  )
    return false;
  return (
    rule.resourceNames === undefined || rule.resourceNames.length === 0 || rule.resourceNames.includes(wanted.name)
  );
}

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

function isMeant(subjects: readonly Subject[] | undefined, user: User, namespace: string): boolean {
  return (subjects ?? []).some(({ kind, name, namespace: own }) => {
    if (kind === "User") return name === user.name || name === "*";
    if (kind === "Group") return user.groups.includes(name);
    return kind === "ServiceAccount" && user.name === `system:serviceaccount:${own ?? namespace}:${name}`;
  });
}

const GROUP = "rbac.authorization.k8s.io";

/** Kubernetes' role-based access control over the roles and bindings the server stores. */
export class RbacAuthorizer {
  readonly #server: ApiServer;
  constructor(server: ApiServer) {
    this.#server = server;
  }

  #objects(resource: string, namespace?: string): readonly KubeObject[] {
    const definition = this.#server.registry.find(GROUP, "v1", resource);
    if (definition === undefined) return [];
    return [...this.#server.store(definition).range(namespace)].map(([, { object }]) => object);
  }

  #rulesOf(roleRef: { readonly kind?: string; readonly name?: string }, namespace: string): readonly Rule[] {
    const isCluster = roleRef.kind === "ClusterRole";
    const definition = this.#server.registry.find(GROUP, "v1", isCluster ? "clusterroles" : "roles");
    if (definition === undefined) return [];
    const found = this.#server.store(definition).get(isCluster ? (roleRef.name ?? "") : `${namespace}/${roleRef.name}`);
    return (getPath(found?.object, "rules") as readonly Rule[] | undefined) ?? [];
  }

  /** Every rule that applies to a user in a namespace, cluster-wide ones first. */
  *rulesFor(user: User, namespace: string): Generator<Rule> {
    for (const binding of this.#objects("clusterrolebindings")) {
      const { subjects, roleRef } = binding as unknown as {
        subjects?: Subject[];
        roleRef: { kind?: string; name?: string };
      };
      if (isMeant(subjects, user, "")) yield* this.#rulesOf(roleRef, "");
    }
    if (namespace === "") return;
    for (const binding of this.#objects("rolebindings", namespace)) {
      const { subjects, roleRef } = binding as unknown as {
        subjects?: Subject[];
        roleRef: { kind?: string; name?: string };
      };
      if (isMeant(subjects, user, namespace)) yield* this.#rulesOf(roleRef, namespace);
    }
  }

  authorize(wanted: Attributes): Decision {
    if (wanted.user.groups.includes("system:masters")) return { isAllowed: true, reason: "" };
    for (const rule of this.rulesFor(wanted.user, wanted.namespace))
      if (allows(rule, wanted)) return { isAllowed: true, reason: "" };
    return { isAllowed: false, reason: "" };
  }

  /** Loads what decisions are made from; done once before the server listens. */
  async load(): Promise<void> {
    for (const resource of ["clusterroles", "clusterrolebindings", "roles", "rolebindings"]) {
      const definition = this.#server.registry.find(GROUP, "v1", resource);
      if (definition !== undefined) await this.#server.store(definition).load();
    }
  }
}

/** kube-apiserver's sentence about what was refused (wire). */
export function refusal(wanted: Attributes): string {
  const who = `User ${JSON.stringify(wanted.user.name)} cannot`;
  if (wanted.path !== undefined) return `${who} ${wanted.verb} path ${JSON.stringify(wanted.path)}`;
  const resource = wanted.subresource === "" ? wanted.resource : `${wanted.resource}/${wanted.subresource}`;
  const where =
    wanted.namespace === "" ? " at the cluster scope" : ` in the namespace ${JSON.stringify(wanted.namespace)}`;
  return `${who} ${wanted.verb} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(wanted.group)}${where}`;
}
