import { getPath, type KubeObject } from "#machinery";
import type { User } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import { type Attributes, type Authorizer, type Decision, noOpinion } from "./attributes.ts";
import { allows, type Rule } from "./rules.ts";

export interface RoleRef {
  readonly apiGroup?: string;
  readonly kind?: string;
  readonly name?: string;
}

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

/** One subject of one binding: what a request of that subject is looked up by. */
interface Grant {
  readonly binding: KubeObject;
  readonly subject: Subject;
  readonly roleRef: RoleRef;
}

const GROUP = "rbac.authorization.k8s.io";
const SERVICE_ACCOUNT = "system:serviceaccount:";

/** Where a subject of a binding is found: scope, kind and name. */
function subjectKey(namespace: string, { kind, name, namespace: own }: Subject): string {
  if (kind === "ServiceAccount") return `${namespace}|User|${SERVICE_ACCOUNT}${own ?? namespace}:${name}`;
  return `${namespace}|${kind}|${name}`;
}

/** Kubernetes' role-based access control over the roles and bindings the server stores. */
export class RbacAuthorizer implements Authorizer {
  readonly #server: ApiServer;
  /** Grants by scope and subject, so that a request looks at its own bindings only. */
  readonly #grants = new Map<string, Map<string, Grant>>();

  constructor(server: ApiServer) {
    this.#server = server;
  }

  #put(binding: KubeObject): void {
    const { subjects, roleRef } = binding as unknown as { subjects?: readonly Subject[]; roleRef: RoleRef };
    const { namespace = "", name = "" } = binding.metadata;
    for (const subject of subjects ?? []) {
      const key = subjectKey(namespace, subject);
      let own = this.#grants.get(key);
      if (own === undefined) this.#grants.set(key, (own = new Map()));
      own.set(name, { binding, subject, roleRef });
    }
  }

  #remove(binding: KubeObject): void {
    const { namespace = "", name = "" } = binding.metadata;
    for (const subject of (binding as unknown as { subjects?: readonly Subject[] }).subjects ?? []) {
      const key = subjectKey(namespace, subject);
      const own = this.#grants.get(key);
      own?.delete(name);
      if (own?.size === 0) this.#grants.delete(key);
    }
  }

  /** The rules a reference names; `undefined` when there is no such role. */
  rulesOf(roleRef: RoleRef, namespace: string): readonly Rule[] | undefined {
    const isCluster = roleRef.kind === "ClusterRole";
    const definition = this.#server.registry.find(GROUP, "v1", isCluster ? "clusterroles" : "roles");
    if (definition === undefined) return undefined;
    const found = this.#server.store(definition).get(isCluster ? (roleRef.name ?? "") : `${namespace}/${roleRef.name}`);
    return found === undefined
      ? undefined
      : ((getPath(found.object, "rules") as readonly Rule[] | null | undefined) ?? []);
  }

  *#grantsOf(user: User, namespace: string): Generator<Grant> {
    const keys = [`User|${user.name}`, ...user.groups.map((group) => `Group|${group}`)];
    for (const scope of namespace === "" ? [""] : ["", namespace])
      for (const key of keys) {
        const own = this.#grants.get(`${scope}|${key}`);
        if (own !== undefined) yield* own.values();
      }
  }

  /** Every rule that applies to a user in a namespace, cluster-wide ones first. */
  *rulesFor(user: User, namespace: string): Generator<Rule> {
    for (const { binding, roleRef } of this.#grantsOf(user, namespace))
      yield* this.rulesOf(roleRef, binding.metadata.namespace ?? "") ?? [];
  }

  authorize(wanted: Attributes): Decision {
    for (const grant of this.#grantsOf(wanted.user, wanted.namespace))
      for (const rule of this.rulesOf(grant.roleRef, grant.binding.metadata.namespace ?? "") ?? [])
        if (allows(rule, wanted)) return { isAllowed: true, reason: reasonOf(grant) };
    return noOpinion;
  }

  /** Loads what decisions are made from and follows its changes; done once before the server listens. */
  async load(): Promise<void> {
    for (const resource of ["clusterroles", "roles", "clusterrolebindings", "rolebindings"]) {
      const definition = this.#server.registry.find(GROUP, "v1", resource);
      if (definition === undefined) continue;
      const store = this.#server.store(definition);
      await store.load();
      if (!resource.endsWith("bindings")) continue;
      for (const [, { object }] of store.range(undefined)) this.#put(object);
      store.watch({
        event: ({ type, object, previous }) => {
          if (previous !== undefined) this.#remove(previous);
          if (type !== "DELETED") this.#put(object);
        },
        closed: () => {},
      });
    }
  }
}

/** kube-apiserver's sentence about what allowed a request (wire). */
function reasonOf({ binding, subject, roleRef }: Grant): string {
  const { namespace, name } = binding.metadata;
  const what = namespace === undefined ? `ClusterRoleBinding "${name}"` : `RoleBinding "${name}/${namespace}"`;
  const who =
    subject.kind === "ServiceAccount"
      ? `ServiceAccount "${subject.name}/${subject.namespace ?? namespace ?? ""}"`
      : `${subject.kind} "${subject.name}"`;
  return `RBAC: allowed by ${what} of ${roleRef.kind} "${roleRef.name}" to ${who}`;
}
