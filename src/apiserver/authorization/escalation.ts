import { deepEqual } from "#base";
import { forbidden, getPath, type KubeObject, notFound } from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { User } from "../definition.ts";
import type { Authorizer } from "./attributes.ts";
import { PRIVILEGED } from "./authorizers.ts";
import type { RbacAuthorizer, RoleRef } from "./rbac.ts";
import { missingRules, type Rule, ruleText } from "./rules.ts";

const GROUP = "rbac.authorization.k8s.io";
const EVERYTHING: readonly Rule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];

/**
 * Nobody gives away more than they hold: rules of a role must be the writer's own unless they may `escalate` it, and a
 * role is bound only by who holds its rules or may `bind` it.
 */
export function rbacEscalation(rbac: RbacAuthorizer, authorizer: Authorizer): AdmissionPlugin {
  return {
    name: "RBACEscalation",
    handles: ({ operation, definition, subresource, user, object, oldObject }) =>
      operation !== "DELETE" &&
      definition.kind.group === GROUP &&
      subresource === undefined &&
      !user.groups.includes(PRIVILEGED) &&
      (oldObject === undefined || object === undefined || !isForCollectorOnly(object, oldObject)),
    validate(request) {
      const { definition, object } = request;
      if (object === undefined) return;
      if (definition.kind.kind.endsWith("Binding")) checkBinding(rbac, authorizer, request, object);
      else checkRole(rbac, authorizer, request, object);
    },
  };
}

/** Owners and finalizers may change, so that the garbage collector can let go of an object. */
function isForCollectorOnly(object: KubeObject, old: KubeObject): boolean {
  const bare = ({ metadata, ...rest }: KubeObject) => {
    const { ownerReferences: _o, finalizers: _f, managedFields: _m, resourceVersion: _r, ...kept } = metadata;
    return { ...rest, metadata: kept };
  };
  return deepEqual(bare(object), bare(old));
}

function checkRole(rbac: RbacAuthorizer, authorizer: Authorizer, request: AdmissionRequest, role: KubeObject): void {
  const { definition, user, name, namespace = "" } = request;
  const { group, version, resource } = definition.kind;
  const wanted = { user, verb: "escalate", group, version, resource, subresource: "", namespace, name };
  if (authorizer.authorize(wanted).isAllowed) return;
  const held = [...rbac.rulesFor(user, namespace)];
  const refuse = (error: string) => forbidden(definition.kind, name, error);
  const selectors = getPath(role, "aggregationRule", "clusterRoleSelectors") as readonly unknown[] | undefined;
  if ((selectors ?? []).length > 0 && missingRules(held, EVERYTHING).length > 0)
    throw refuse("must have cluster-admin privileges to use the aggregationRule");
  const missing = missingRules(held, (getPath(role, "rules") as readonly Rule[] | null | undefined) ?? []);
  if (missing.length > 0) throw refuse(attempt(user, missing));
}

function checkBinding(
  rbac: RbacAuthorizer,
  authorizer: Authorizer,
  request: AdmissionRequest,
  binding: KubeObject,
): void {
  const { definition, user, name, namespace = "" } = request;
  const roleRef = (getPath(binding, "roleRef") ?? {}) as RoleRef;
  const resource = roleRef.kind === "ClusterRole" ? "clusterroles" : "roles";
  const wanted = {
    user,
    verb: "bind",
    group: GROUP,
    version: definition.kind.version,
    resource,
    subresource: "",
    namespace,
    name: roleRef.name ?? "",
  };
  if (authorizer.authorize(wanted).isAllowed) return;
  const rules = rbac.rulesOf(roleRef, namespace);
  if (rules === undefined) throw notFound({ group: GROUP, resource }, roleRef.name ?? "");
  const missing = missingRules([...rbac.rulesFor(user, namespace)], rules);
  if (missing.length > 0) throw forbidden(definition.kind, name, attempt(user, missing));
}

/** kube-apiserver's sentence (wire). */
const attempt = (user: User, missing: readonly Rule[]): string =>
  `user ${JSON.stringify(user.name)} (groups=[${user.groups.map((group) => JSON.stringify(group)).join(" ")}]) is attempting to grant RBAC permissions not currently held:\n${missing.map(ruleText).join("\n")}`;
