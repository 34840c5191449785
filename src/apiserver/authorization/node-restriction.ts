import { deepEqual } from "#base";
import { apiError, forbidden, getPath, type KubeObject } from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { RequestContext } from "../definition.ts";
import type { ConnectHandler } from "../verbs/host.ts";
import { MIRROR, nodeOf, type NodePods } from "./node-references.ts";

/** Labels of Kubernetes that a kubelet may set on its own Node (documented with the plugin). */
const KUBELET_LABELS = new Set([
  "kubernetes.io/hostname",
  "kubernetes.io/arch",
  "kubernetes.io/os",
  "beta.kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/instance-type",
  "node.kubernetes.io/instance-type",
  "failure-domain.beta.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "topology.kubernetes.io/zone",
]);
const KUBELET_DOMAINS = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const RESTRICTED = "node-restriction.kubernetes.io";

const within = (domain: string, parent: string) => domain === parent || domain.endsWith(`.${parent}`);

function isForbiddenLabel(label: string): boolean {
  const slash = label.indexOf("/");
  const domain = slash < 0 ? "" : label.slice(0, slash);
  if (within(domain, RESTRICTED)) return true;
  if (!within(domain, "kubernetes.io") && !within(domain, "k8s.io")) return false;
  return !KUBELET_LABELS.has(label) && !KUBELET_DOMAINS.some((allowed) => within(domain, allowed));
}

const nodeNameOf = (pod: KubeObject | undefined) => String(getPath(pod, "spec", "nodeName") ?? "");

/** What of Pods, Nodes, Leases and CSINodes a kubelet may write (kube-apiserver's plugin of the same name; wire texts). */
export function nodeRestriction(): AdmissionPlugin {
  return {
    name: "NodeRestriction",
    handles: ({ user, definition: { kind } }) =>
      nodeOf(user) !== undefined && Object.hasOwn(CHECKS, `${kind.group}/${kind.resource}`),
    // Before the object is validated, as the first of its refusals.
    mutate(request) {
      refuseForeign(request);
      return request.object;
    },
    validate(request) {
      if (request.operation === "DELETE") refuseForeign(request);
    },
  };
}

function refuseForeign(request: AdmissionRequest): void {
  const { kind } = request.definition;
  const why = CHECKS[`${kind.group}/${kind.resource}`]?.(request, nodeOf(request.user) as string);
  if (why !== undefined) throw forbidden(kind, request.name, why);
}

type Check = (request: AdmissionRequest, node: string) => string | undefined;

const CHECKS: Readonly<Record<string, Check>> = {
  "/pods": checkPod,
  "/nodes": checkNode,
  "coordination.k8s.io/leases": (request, node) =>
    request.operation === "CREATE" && request.name !== node
      ? "can only access node lease with the same name as the requesting node"
      : undefined,
  "storage.k8s.io/csinodes": (request, node) =>
    request.operation === "CREATE" && request.name !== node
      ? "can only access CSINode with the same name as the requesting node"
      : undefined,
};

function checkPod({ operation, subresource, object, oldObject }: AdmissionRequest, node: string): string | undefined {
  if (operation === "CREATE") return checkMirrorPod(object as KubeObject, node);
  if (operation === "DELETE")
    return nodeNameOf(oldObject) === node
      ? undefined
      : `node "${node}" can only delete pods with spec.nodeName set to itself`;
  if (subresource !== "status") return `unexpected operation "${operation}", node "${node}" can only update pod status`;
  if (nodeNameOf(oldObject) !== node)
    return `node "${node}" can only update pod status for pods with spec.nodeName set to itself`;
  return deepEqual(object?.metadata.labels ?? {}, oldObject?.metadata.labels ?? {})
    ? undefined
    : `node "${node}" cannot update labels through pod status`;
}

function checkMirrorPod(pod: KubeObject, node: string): string | undefined {
  if (pod.metadata.annotations?.[MIRROR] === undefined)
    return `pod does not have "${MIRROR}" annotation, node "${node}" can only create mirror pods`;
  if (nodeNameOf(pod) !== node) return `node "${node}" can only create pods with spec.nodeName set to itself`;
  if (getPath(pod, "spec", "serviceAccountName")) return "a mirror pod may not reference service accounts";
  const owners = pod.metadata.ownerReferences ?? [];
  const isOwn =
    owners.length === 1 && owners[0]?.kind === "Node" && owners[0].apiVersion === "v1" && owners[0].name === node;
  if (!isOwn) return `node "${node}" can only create pods with an owner reference set to itself`;
  const text = JSON.stringify(getPath(pod, "spec"));
  for (const [member, what] of [
    ["secretRef", "secrets"],
    ["secretKeyRef", "secrets"],
    ["secretName", "secrets"],
    ["configMapRef", "configmaps"],
    ["configMapKeyRef", "configmaps"],
    ["configMap", "configmaps"],
    ["persistentVolumeClaim", "persistentvolumeclaims"],
  ] as const)
    if (text.includes(`"${member}":`)) return `a mirror pod may not reference ${what}`;
  return undefined;
}

function checkNode({ operation, name, object, oldObject }: AdmissionRequest, node: string): string | undefined {
  if (name !== node) return `node "${node}" is not allowed to modify node "${name}"`;
  if (operation === "DELETE") return undefined;
  const labels = object?.metadata.labels ?? {};
  if (operation === "CREATE") {
    const set = Object.keys(labels).filter(isForbiddenLabel).sort();
    return set.length === 0
      ? undefined
      : `node "${node}" is not allowed to set the following labels: ${set.join(", ")}`;
  }
  if (!deepEqual(object?.metadata.ownerReferences, oldObject?.metadata.ownerReferences))
    return `node "${node}" is not allowed to modify ownerReferences`;
  if (!deepEqual(getPath(object, "spec", "taints"), getPath(oldObject, "spec", "taints")))
    return `node "${node}" is not allowed to modify taints`;
  const before = oldObject?.metadata.labels ?? {};
  const changed = [...new Set([...Object.keys(labels), ...Object.keys(before)])]
    .filter((label) => labels[label] !== before[label] && isForbiddenLabel(label))
    .sort();
  return changed.length === 0 ? undefined : `is not allowed to modify labels: ${changed.join(", ")}`;
}

/** Lets nodes ask for tokens only that are bound to a pod of theirs. */
export function restrictNodeTokens(pods: NodePods, handler: ConnectHandler): ConnectHandler {
  return (account, body, context) => {
    const why = whyNoToken(pods, account, body, context);
    if (why !== undefined)
      throw apiError(403, "Forbidden", `serviceaccounts "${account.metadata.name}" is forbidden: ${why}`, {
        name: account.metadata.name ?? "",
        kind: "serviceaccounts",
      });
    return handler(account, body, context);
  };
}

function whyNoToken(
  pods: NodePods,
  account: KubeObject,
  body: KubeObject,
  { user }: RequestContext,
): string | undefined {
  const node = nodeOf(user);
  if (node === undefined) return undefined;
  const bound = getPath(body, "spec", "boundObjectRef") as
    | { readonly kind?: string; readonly name?: string; readonly uid?: string }
    | undefined;
  if (bound?.kind !== "Pod" || !bound.name) return "node requested token not bound to a pod";
  if (!bound.uid) return "node requested token with a pod binding without a uid";
  const pod = pods.find(account.metadata.namespace ?? "", bound.name);
  if (pod === undefined) return `pod "${bound.name}" not found`;
  if (pod.metadata.uid !== bound.uid)
    return `the UID in the bound object reference (${bound.uid}) does not match the UID in record. The object might have been deleted and then recreated`;
  return nodeNameOf(pod) === node ? undefined : "node requested token bound to a pod scheduled on a different node";
}
