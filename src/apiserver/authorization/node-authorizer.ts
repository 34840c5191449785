import { type Attributes, type Authorizer, type Decision, noOpinion } from "./attributes.ts";
import { nodeRules } from "./bootstrap-rbac.ts";
import { nodeOf, type NodePods, type OnNode, type Referenced } from "./node-references.ts";
import { allows, type Rule } from "./rules.ts";

const ALLOWED: Decision = { isAllowed: true, reason: "" };
const refused = (reason: string): Decision => ({ isAllowed: false, reason });
const isReading = (verb: string) => verb === "get" || verb === "list" || verb === "watch";
const unrelated = (node: string) => `no relationship found between node '${node}' and this object`;
const LEASES = "kube-node-lease";

/**
 * What kubelets may do (`--authorization-mode=Node`): what the role `system:node` says, but of Nodes, Leases and CSINodes
 * their own only, and of Pods and what Pods need only those on their node. Sentences are kube-apiserver's (wire).
 */
export class NodeAuthorizer implements Authorizer {
  readonly #pods: NodePods;
  readonly #rules: readonly Rule[] = nodeRules();

  constructor(pods: NodePods) {
    this.#pods = pods;
  }

  authorize(wanted: Attributes): Decision {
    const node = nodeOf(wanted.user);
    if (node === undefined) return noOpinion;
    if (node === "") return refused(`unknown node for user ${JSON.stringify(wanted.user.name)}`);
    if (wanted.path !== undefined) return this.#byRole(wanted);
    const { group, resource, subresource, verb } = wanted;
    switch (`${group}/${resource}`) {
      case "/secrets":
      case "/configmaps":
        return this.#readRelated(wanted, node, resource as Referenced);
      case "/persistentvolumes":
        return this.#getRelated(wanted, node, "persistentvolumes");
      case "/persistentvolumeclaims":
        return subresource === "status"
          ? this.#related(wanted, node, "persistentvolumeclaims")
          : this.#getRelated(wanted, node, "persistentvolumeclaims");
      case "resource.k8s.io/resourceclaims":
        return this.#getRelated(wanted, node, "resourceclaims");
      case "/serviceaccounts":
        return (verb === "create" && subresource === "token") || (verb === "get" && subresource === "")
          ? this.#related(wanted, node, "serviceaccounts")
          : refused("can only create tokens for individual service accounts");
      case "storage.k8s.io/volumeattachments":
        return this.#getOwn(wanted, node, "volumeattachments");
      case "resource.k8s.io/resourceslices":
        return this.#onSlices(wanted, node);
      case "/nodes":
        return this.#onNodes(wanted, node);
      case "/pods":
        return this.#onPods(wanted, node);
      case "coordination.k8s.io/leases":
        return this.#onLeases(wanted, node);
      case "storage.k8s.io/csinodes":
        return this.#onCsiNodes(wanted, node);
      default:
        return this.#byRole(wanted);
    }
  }

  #byRole(wanted: Attributes): Decision {
    return this.#rules.some((rule) => allows(rule, wanted)) ? ALLOWED : noOpinion;
  }

  #readRelated(wanted: Attributes, node: string, resource: Referenced): Decision {
    if (!isReading(wanted.verb)) return refused("can only read resources of this type");
    return this.#related(wanted, node, resource);
  }

  #getRelated(wanted: Attributes, node: string, resource: Referenced): Decision {
    if (wanted.verb !== "get") return refused("can only get individual resources of this type");
    if (wanted.subresource !== "") return refused("cannot get subresource");
    return this.#related(wanted, node, resource);
  }

  #getOwn(wanted: Attributes, node: string, resource: OnNode): Decision {
    if (wanted.verb !== "get") return refused("can only get individual resources of this type");
    if (wanted.subresource !== "") return refused("cannot get subresource");
    return this.#own(wanted, node, resource);
  }

  #own({ name }: Attributes, node: string, resource: OnNode): Decision {
    if (name === "") return refused("No Object name found");
    return this.#pods.isFor(node, resource, name) ? ALLOWED : refused(unrelated(node));
  }

  #onSlices(wanted: Attributes, node: string): Decision {
    if (wanted.subresource !== "") return refused("cannot authorize ResourceSlice subresources");
    switch (wanted.verb) {
      case "create":
        // Admission looks at the node of a new one.
        return ALLOWED;
      case "get":
      case "update":
      case "patch":
      case "delete":
        return this.#own(wanted, node, "resourceslices");
      case "list":
      case "watch":
      case "deletecollection":
        return wanted.selects?.["spec.nodeName"] === node
          ? ALLOWED
          : refused("can only list/watch/deletecollection resourceslices with nodeName field selector");
      default:
        return refused(
          "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        );
    }
  }

  #related({ namespace, name }: Attributes, node: string, resource: Referenced): Decision {
    if (name === "") return refused("No Object name found");
    return this.#pods.needs(node, resource, namespace, name) ? ALLOWED : refused(unrelated(node));
  }

  #onNodes(wanted: Attributes, node: string): Decision {
    const { verb, name } = wanted;
    if (isReading(verb) && name !== node)
      return refused(
        name === ""
          ? `node '${node}' cannot read all nodes, only its own Node object`
          : `node '${node}' cannot read '${name}', only its own Node object`,
      );
    // Admission looks at whose Node is written.
    return this.#byRole(wanted);
  }

  #onPods(wanted: Attributes, node: string): Decision {
    const { verb, name, namespace, selects, subresource } = wanted;
    if (verb === "get" && name !== "" && subresource === "") {
      const pod = this.#pods.find(namespace, name);
      const isOwn =
        pod !== undefined && [...this.#pods.on(node)].some(({ metadata }) => metadata.uid === pod.metadata.uid);
      return isOwn ? ALLOWED : refused(unrelated(node));
    }
    if ((verb === "list" || verb === "watch") && selects?.["spec.nodeName"] !== node)
      return refused("can only list/watch pods with spec.nodeName field selector");
    return this.#byRole(wanted);
  }

  #onLeases({ verb, namespace, name, subresource }: Attributes, node: string): Decision {
    const isAllowedVerb = ["get", "create", "update", "patch", "delete"].includes(verb) && subresource === "";
    if (!isAllowedVerb) return refused("can only get, create, update, patch, or delete a node lease");
    if (namespace !== LEASES) return refused(`can only access leases in the "${LEASES}" system namespace`);
    // Admission looks at the name of a new one.
    if (verb !== "create" && name !== node)
      return refused("can only access node lease with the same name as the requesting node");
    return ALLOWED;
  }

  #onCsiNodes({ verb, name, subresource }: Attributes, node: string): Decision {
    const isAllowedVerb = ["get", "create", "update", "patch", "delete"].includes(verb) && subresource === "";
    if (!isAllowedVerb) return refused("can only get, create, update, patch, or delete a CSINode");
    if (verb !== "create" && name !== node)
      return refused("can only access CSINode with the same name as the requesting node");
    return ALLOWED;
  }
}
