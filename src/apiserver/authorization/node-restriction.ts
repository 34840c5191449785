import { deepEqual } from "#base";
import { parseCertificateRequest } from "#certs";
import { type ApiError, getPath, type KubeObject, notFound } from "#machinery";
import { type AdmissionPlugin, type AdmissionRequest, refusalOf } from "../admission.ts";
import { requestMistake } from "../builtin/certificate-requests.ts";
import type { Authorizer } from "./attributes.ts";
import { apiReferenceOf, audiencesOf, MIRROR, NODE_USER, nodeOf, type NodePods } from "./node-references.ts";

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
const KUBELET_SIGNERS: readonly unknown[] = [
  "kubernetes.io/kubelet-serving",
  "kubernetes.io/kube-apiserver-client-kubelet",
];

const within = (domain: string, parent: string) => domain === parent || domain.endsWith(`.${parent}`);

function isForbiddenLabel(label: string): boolean {
  const slash = label.indexOf("/");
  const domain = slash < 0 ? "" : label.slice(0, slash);
  if (within(domain, RESTRICTED)) return true;
  if (!within(domain, "kubernetes.io") && !within(domain, "k8s.io")) return false;
  return !KUBELET_LABELS.has(label) && !KUBELET_DOMAINS.some((allowed) => within(domain, allowed));
}

const nodeNameOf = (pod: KubeObject | undefined) => String(getPath(pod, "spec", "nodeName") ?? "");

/** Why a request is refused: a sentence, or another error than a refusal. */
type Why = string | ApiError | undefined;

interface Parts {
  readonly pods: NodePods;
  readonly authorizer: Authorizer;
}

type Check = (request: AdmissionRequest, node: string, parts: Parts) => Why;

/** What of the objects kubelets need a kubelet may write (kube-apiserver's plugin of the same name; wire texts). */
export function nodeRestriction(parts: Parts): AdmissionPlugin {
  const refuseForeign = (request: AdmissionRequest): void => {
    const { kind } = request.definition;
    const node = nodeOf(request.user) as string;
    const why =
      node === ""
        ? `could not determine node from user ${JSON.stringify(request.user.name)}`
        : CHECKS[`${kind.group}/${kind.resource}`]?.(request, node, parts);
    if (why !== undefined) throw typeof why === "string" ? refusalOf(request, why, true) : why;
  };
  return {
    name: "NodeRestriction",
    handles: ({ user, definition: { kind } }) => {
      const node = nodeOf(user);
      return node !== undefined && (node === "" || Object.hasOwn(CHECKS, `${kind.group}/${kind.resource}`));
    },
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

/** New objects of a kind must be named as their node is. */
const isNamedAsNode =
  (what: string): Check =>
  ({ operation, name }, node) =>
    operation === "CREATE" && name !== node
      ? `can only access ${what} with the same name as the requesting node`
      : undefined;

const CHECKS: Readonly<Record<string, Check>> = {
  "/pods": checkPod,
  "/nodes": checkNode,
  "/serviceaccounts": (request, node, parts) =>
    request.operation === "CREATE" && request.subresource === "token" ? whyNoToken(request, node, parts) : undefined,
  "certificates.k8s.io/certificatesigningrequests": checkCertificateRequest,
  "coordination.k8s.io/leases": isNamedAsNode("node lease"),
  "storage.k8s.io/csinodes": isNamedAsNode("CSINode"),
  "resource.k8s.io/resourceslices": ({ operation, object }, node) =>
    operation === "CREATE" && nodeNameOf(object) !== node
      ? "can only create ResourceSlice with the same NodeName as the requesting node"
      : undefined,
};

function checkPod(request: AdmissionRequest, node: string, parts: Parts): Why {
  const { operation, subresource, object, oldObject } = request;
  if (operation === "CREATE" && subresource === "eviction") return checkEviction(request, node, parts);
  if (operation === "CREATE") return checkMirrorPod(object as KubeObject, node, parts);
  if (operation === "DELETE")
    return nodeNameOf(oldObject) === node
      ? undefined
      : `node "${node}" can only delete pods with spec.nodeName set to itself`;
  if (subresource !== "status") return `unexpected operation "${operation}", node "${node}" can only update pod status`;
  if (nodeNameOf(oldObject) !== node)
    return `node "${node}" can only update pod status for pods with spec.nodeName set to itself`;
  if (!deepEqual(object?.metadata.labels ?? {}, oldObject?.metadata.labels ?? {}))
    return `node "${node}" cannot update labels through pod status`;
  const isChanged = (field: string) =>
    !deepEqual(getPath(object, "status", field) ?? null, getPath(oldObject, "status", field) ?? null);
  if (isChanged("resourceClaimStatuses")) return `node "${node}" cannot update resource claim statues`;
  return isChanged("extendedResourceClaimStatus")
    ? `node "${node}" cannot update extended resource claim status`
    : undefined;
}

function checkEviction({ namespace = "", name }: AdmissionRequest, node: string, { pods }: Parts): Why {
  const pod = pods.find(namespace, name);
  if (pod === undefined) return notFound({ group: "", resource: "pod" }, name);
  return nodeNameOf(pod) === node ? undefined : `node ${node} can only evict pods with spec.nodeName set to itself`;
}

function checkMirrorPod(pod: KubeObject, node: string, { pods }: Parts): Why {
  if (pod.metadata.annotations?.[MIRROR] === undefined)
    return `pod does not have "${MIRROR}" annotation, node "${node}" can only create mirror pods`;
  if (nodeNameOf(pod) !== node) return `node "${node}" can only create pods with spec.nodeName set to itself`;
  const owners = pod.metadata.ownerReferences ?? [];
  if (owners.length > 1) return `node "${node}" can only create pods with a single owner reference set to itself`;
  const [owner] = owners;
  if (owner?.kind !== "Node" || owner.apiVersion !== "v1" || owner.name !== node)
    return `node "${node}" can only create pods with an owner reference set to itself`;
  if (owner.controller !== true)
    return `node "${node}" can only create pods with a controller owner reference set to itself`;
  if (owner.blockOwnerDeletion === true) return `node "${node}" must not set blockOwnerDeletion on an owner reference`;
  const uid = pods.stored("nodes", node)?.metadata.uid;
  if (uid === undefined) return notFound({ group: "", resource: "node" }, node);
  if (owner.uid !== uid) return `node ${node} UID mismatch: expected ${owner.uid} got ${uid}`;
  const reference = apiReferenceOf(pod);
  return reference === undefined ? undefined : `node "${node}" can not create pods that reference ${reference}`;
}

function checkNode({ operation, name, object, oldObject }: AdmissionRequest, node: string): Why {
  if (name !== node) return `node "${node}" is not allowed to modify node "${name}"`;
  if (operation === "DELETE") return undefined;
  const labels = object?.metadata.labels ?? {};
  const source = getPath(object, "spec", "configSource") ?? undefined;
  if (operation === "CREATE") {
    if (source !== undefined) return `node "${node}" is not allowed to create pods with a non-nil configSource`;
    const set = Object.keys(labels).filter(isForbiddenLabel).sort();
    return set.length === 0
      ? undefined
      : `node "${node}" is not allowed to set the following labels: ${set.join(", ")}`;
  }
  if (source !== undefined && !deepEqual(source, getPath(oldObject, "spec", "configSource")))
    return `node "${node}" is not allowed to update configSource to a new non-nil configSource`;
  if (!deepEqual(getPath(object, "spec", "taints"), getPath(oldObject, "spec", "taints")))
    return `node "${node}" is not allowed to modify taints`;
  if (!deepEqual(object?.metadata.ownerReferences, oldObject?.metadata.ownerReferences))
    return `node "${node}" is not allowed to modify ownerReferences`;
  const before = oldObject?.metadata.labels ?? {};
  const changed = [...new Set([...Object.keys(labels), ...Object.keys(before)])]
    .filter((label) => labels[label] !== before[label] && isForbiddenLabel(label))
    .sort();
  return changed.length === 0 ? undefined : `is not allowed to modify labels: ${changed.join(", ")}`;
}

/** Certificates of kubelets are in the name of the node that asks. */
function checkCertificateRequest({ operation, subresource, object }: AdmissionRequest, node: string): Why {
  if (operation !== "CREATE" || subresource !== undefined) return undefined;
  if (!KUBELET_SIGNERS.includes(getPath(object, "spec", "signerName"))) return undefined;
  const pem = Buffer.from(String(getPath(object, "spec", "request") ?? ""), "base64").toString("utf8");
  const mistake = requestMistake(pem);
  if (mistake !== undefined) return `unable to parse csr: ${mistake}`;
  const { commonName } = parseCertificateRequest(pem);
  return commonName === `${NODE_USER}${node}` ? undefined : `can only create a node CSR with CN=${NODE_USER}${node}`;
}

/** Nodes ask for tokens only that are bound to a pod of theirs, for an audience the pod has a use for. */
function whyNoToken({ object, namespace = "", name, user }: AdmissionRequest, node: string, parts: Parts): Why {
  const bound = getPath(object, "spec", "boundObjectRef") as
    | { readonly kind?: string; readonly apiVersion?: string; readonly name?: string; readonly uid?: string }
    | undefined;
  if (bound?.kind !== "Pod" || bound.apiVersion !== "v1" || !bound.name)
    return "node requested token not bound to a pod";
  if (!bound.uid) return "node requested token with a pod binding without a uid";
  const pod = parts.pods.find(namespace, bound.name);
  if (pod === undefined) return notFound({ group: "", resource: "pod" }, bound.name);
  if (pod.metadata.uid !== bound.uid)
    return `the UID in the bound object reference (${bound.uid}) does not match the UID in record. The object might have been deleted and then recreated`;
  if (nodeNameOf(pod) !== node) return "node requested token bound to a pod scheduled on a different node";
  const audiences = (getPath(object, "spec", "audiences") ?? []) as readonly string[];
  if (audiences.length > 1) return "node may only request 0 or 1 audiences";
  const [audience = ""] = audiences;
  const isKnown =
    audiencesOf(pod, parts.pods).has(audience) ||
    parts.authorizer.authorize({
      user,
      verb: "request-serviceaccounts-token-audience",
      group: "",
      version: "v1",
      resource: audience,
      subresource: "",
      namespace,
      name,
    }).isAllowed;
  return isKnown
    ? undefined
    : `audience ${JSON.stringify(audience)} not found in pod spec volume, ${user.name} is not authorized to request tokens for this audience`;
}
