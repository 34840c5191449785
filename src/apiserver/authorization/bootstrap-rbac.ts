import { deepEqual } from "#base";
import { isNotFound, type KubeObject, type ResourceKind } from "#machinery";
import { rbacJson } from "../data/generated-rbac.ts";
import { asApiServer } from "../bootstrap-writes.ts";
import type { ApiServer } from "../server.ts";
import type { RoleRef } from "./rbac.ts";
import { missingRules, type Rule } from "./rules.ts";

/** A role or binding that must be there when the server runs, without its head. */
export interface BootstrapRole {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly rules?: readonly Rule[];
  readonly aggregationRule?: unknown;
  readonly roleRef?: RoleRef;
  readonly subjects?: readonly unknown[];
}

/** Roles and bindings by resource. */
export type BootstrapRoles = Readonly<
  Partial<Record<"clusterroles" | "roles" | "clusterrolebindings" | "rolebindings", readonly BootstrapRole[]>>
>;

const GROUP = "rbac.authorization.k8s.io";
const AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate";
const KINDS = {
  clusterroles: "ClusterRole",
  roles: "Role",
  clusterrolebindings: "ClusterRoleBinding",
  rolebindings: "RoleBinding",
} as const;

const DEFAULTS = { "kubernetes.io/bootstrapping": "rbac-defaults" };

/** What nodes may do beyond what the node authorizer decides itself: the rules of `system:node`. */
export function nodeRules(): readonly Rule[] {
  const { clusterroles = [] } = JSON.parse(rbacJson) as BootstrapRoles;
  return clusterroles.find(({ name }) => name === "system:node")?.rules ?? [];
}

/** Kubernetes' own. Roles that gather others are made without rules, which the aggregation controller fills in. */
function kubernetesRoles(): BootstrapRoles {
  const published = JSON.parse(rbacJson) as BootstrapRoles;
  return Object.fromEntries(
    Object.entries(published).map(([resource, roles]) => [
      resource,
      roles.map(({ rules, ...role }) => ({
        ...role,
        ...(rules === undefined || role.aggregationRule !== undefined ? {} : { rules }),
        labels: { ...DEFAULTS, ...role.labels },
      })),
    ]),
  );
}

/**
 * Brings default roles and bindings up to date: what is absent is created; where the annotation `autoupdate` is not
 * `false`, rules, subjects, labels and annotations that are missing are added, and a binding to another role is made anew.
 * What somebody added stays.
 */
export async function reconcileBootstrapRoles(server: ApiServer, further: BootstrapRoles = {}): Promise<void> {
  const own = kubernetesRoles();
  for (const resource of ["clusterroles", "roles", "clusterrolebindings", "rolebindings"] as const)
    await Promise.all(
      [...(own[resource] ?? []), ...(further[resource] ?? [])].map((role) => reconcileOne(server, resource, role)),
    );
}

async function reconcileOne(server: ApiServer, resource: keyof typeof KINDS, wanted: BootstrapRole): Promise<void> {
  const kind: ResourceKind | undefined = server.registry.find(GROUP, "v1", resource)?.kind;
  if (kind === undefined) return;
  const { name, namespace, labels, annotations, ...rest } = wanted;
  const address = { group: GROUP, version: "v1", resource, ...(namespace === undefined ? {} : { namespace }) };
  const send = asApiServer(server);
  const body = {
    apiVersion: `${GROUP}/v1`,
    kind: KINDS[resource],
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      annotations: { [AUTOUPDATE]: "true", ...annotations },
    },
    ...rest,
  } as unknown as KubeObject;
  let present: KubeObject;
  try {
    present = await send({ verb: "get", ...address, name });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await send({ verb: "create", ...address, body });
    return;
  }
  if (present.metadata.annotations?.[AUTOUPDATE] === "false") return;
  if (wanted.roleRef !== undefined && !deepEqual((present as unknown as BootstrapRole).roleRef, wanted.roleRef)) {
    await send({ verb: "delete", ...address, name });
    await send({ verb: "create", ...address, body });
    return;
  }
  const merged = merge(present, body, wanted);
  if (!deepEqual(merged, present)) await send({ verb: "update", ...address, name, body: merged });
}

function merge(present: KubeObject, body: KubeObject, wanted: BootstrapRole): KubeObject {
  const held = present as unknown as BootstrapRole;
  const isSubject = (left: unknown) => (right: unknown) =>
    ["kind", "name", "namespace"].every(
      (field) => (left as Record<string, unknown>)[field] === (right as Record<string, unknown>)[field],
    );
  const subjects = (wanted.subjects ?? []).filter((subject) => !(held.subjects ?? []).some(isSubject(subject)));
  // Roles that gather others get their rules from the aggregation controller.
  const rules = wanted.aggregationRule === undefined ? missingRules(held.rules ?? [], wanted.rules ?? []) : [];
  return {
    ...present,
    metadata: {
      ...present.metadata,
      ...(body.metadata.labels === undefined
        ? {}
        : { labels: { ...present.metadata.labels, ...body.metadata.labels } }),
      annotations: { ...present.metadata.annotations, ...body.metadata.annotations },
    },
    ...(rules.length === 0 ? {} : { rules: [...(held.rules ?? []), ...rules] }),
    ...(subjects.length === 0 ? {} : { subjects: [...(held.subjects ?? []), ...subjects] }),
    ...(wanted.aggregationRule === undefined
      ? {}
      : { aggregationRule: held.aggregationRule ?? wanted.aggregationRule }),
  } as KubeObject;
}
