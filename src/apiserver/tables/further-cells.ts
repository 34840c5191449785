/** Cells of networking, storage, access and admission kinds, as kube-apiserver writes them. */
import { formatLabelSelector, getPath, type KubeObject, type LabelSelector } from "#machinery";
import { ageOf } from "./ages.ts";

type Cells = (object: KubeObject, nowMs: number) => readonly unknown[];
type Item = Readonly<Record<string, unknown>>;

const SHOWN_MAX = 3;
const at = (object: unknown, path: string) => getPath(object, ...path.split("."));
const list = (object: unknown, path: string) => (at(object, path) as readonly Item[] | undefined) ?? [];
const texts = (object: unknown, path: string) => (at(object, path) as readonly string[] | undefined) ?? [];
const name = (object: KubeObject) => object.metadata.name ?? "";
const age = (object: KubeObject, nowMs: number) => ageOf(object.metadata.creationTimestamp, nowMs);
const names = (items: readonly Item[]) => items.map((item) => item["name"]).join(",");
const images = (items: readonly Item[]) => items.map((item) => item["image"]).join(",");
const pairs = (labels: unknown) => formatLabelSelector({ matchLabels: (labels ?? {}) as Record<string, string> });

/** The first few, and how many more there are. */
function some(all: readonly string[], max = SHOWN_MAX, joint = ","): string {
  if (all.length === 0) return "<none>";
  const shown = all.slice(0, max).join(joint);
  return all.length > max ? `${shown} + ${all.length - max} more...` : shown;
}

const ACCESS_MODES = [
  ["ReadWriteOnce", "RWO"],
  ["ReadOnlyMany", "ROX"],
  ["ReadWriteMany", "RWX"],
  ["ReadWriteOncePod", "RWOP"],
] as const;

/** Access modes, each once, by their short names. */
export const shownModes = (modes: unknown): string =>
  ACCESS_MODES.flatMap(([mode, short]) => (((modes ?? []) as readonly unknown[]).includes(mode) ? [short] : [])).join(
    ",",
  );

/** Where load balancers are reached, each once. */
export const balancersOf = (object: KubeObject): readonly string[] =>
  [...new Set(list(object, "status.loadBalancer.ingress").map(({ ip, hostname }) => String(ip || hostname || "")))]
    .filter((address) => address !== "")
    .sort();

export function endpointsOf(object: KubeObject): string {
  const all = list(object, "subsets").flatMap((subset) => {
    const ports = list(subset, "ports");
    const addresses = list(subset, "addresses").map((address) => String(address["ip"]));
    return ports.length === 0
      ? addresses
      : ports.flatMap((port) => addresses.map((address) => `${address}:${String(port["port"])}`));
  });
  return all.length === 0 && list(object, "subsets").length > 0 ? "" : some(all);
}

const subjects = (object: KubeObject, kind: string) =>
  list(object, "subjects")
    .filter((subject) => subject["kind"] === kind)
    .map((subject) =>
      kind === "ServiceAccount" ? `${String(subject["namespace"] ?? "")}/${String(subject["name"])}` : subject["name"],
    )
    .join(", ");

const binding: Cells = (object, now) => [
  name(object),
  `${String(at(object, "roleRef.kind"))}/${String(at(object, "roleRef.name"))}`,
  age(object, now),
  subjects(object, "User"),
  subjects(object, "Group"),
  subjects(object, "ServiceAccount"),
];

const webhooks: Cells = (object, now) => [name(object), list(object, "webhooks").length, age(object, now)];
const paramKind = (object: KubeObject) => {
  const kind = at(object, "spec.paramKind") as { apiVersion?: string; kind?: string } | undefined;
  return kind === undefined ? "<unset>" : `${kind.apiVersion ?? ""}/${kind.kind ?? ""}`;
};
interface ParamRef {
  readonly namespace?: string;
  readonly name?: string;
  readonly selector?: LabelSelector;
}

function paramsOf({ namespace, name: named, selector }: ParamRef): string {
  if (selector !== undefined) return goSelector(selector);
  return `${namespace ?? "*"}/${named ?? "*"}`;
}

/** A selector as Go prints the struct. */
function goSelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const labels = Object.entries(matchLabels).sort(([one], [other]) => (one < other ? -1 : 1));
  const expressions = matchExpressions.map(
    ({ key, operator, values = [] }) =>
      `LabelSelectorRequirement{Key:${key},Operator:${operator},Values:[${values.join(" ")}],}`,
  );
  return `&LabelSelector{MatchLabels:map[string]string{${labels.map(([key, value]) => `${key}: ${value},`).join("")}},MatchExpressions:[]LabelSelectorRequirement{${expressions.map((text) => `${text},`).join("")}},}`;
}

const policyBinding: Cells = (object, now) => {
  const ref = at(object, "spec.paramRef") as ParamRef | undefined;
  return [
    name(object),
    at(object, "spec.policyName") ?? "",
    ref === undefined ? "<unset>" : paramsOf(ref),
    age(object, now),
  ];
};

/** What a claim of devices came to. */
function claimState(claim: KubeObject): string {
  const isAllocated = at(claim, "status.allocation") !== undefined;
  const states = [
    ...(claim.metadata.deletionTimestamp === undefined ? [] : ["deleted"]),
    ...(isAllocated ? ["allocated"] : claim.metadata.deletionTimestamp === undefined ? ["pending"] : []),
    ...(list(claim, "status.reservedFor").length > 0 ? ["reserved"] : []),
  ];
  return states.join(",");
}

export const furtherCells: Readonly<Record<string, Cells>> = {
  "apiregistration.k8s.io/APIService": (object, now) => {
    const service = at(object, "spec.service") as { namespace?: string; name?: string } | undefined;
    const condition = list(object, "status.conditions").find(({ type }) => type === "Available");
    const available = condition === undefined ? "Unknown" : String(condition["status"]);
    return [
      name(object),
      service === undefined ? "Local" : `${service.namespace ?? ""}/${service.name ?? ""}`,
      condition === undefined || available === "True" ? available : `${available} (${String(condition["reason"])})`,
      age(object, now),
    ];
  },
  "resource.k8s.io/ResourceClaim": (object, now) => [name(object), claimState(object), age(object, now)],
  "resource.k8s.io/ResourceSlice": (object, now) => [
    name(object),
    at(object, "spec.nodeName") ?? "",
    at(object, "spec.driver") ?? "",
    at(object, "spec.pool.name") ?? "",
    age(object, now),
  ],
  "networking.k8s.io/IPAddress": (object, now) => {
    const parent = (at(object, "spec.parentRef") ?? {}) as Readonly<Record<string, string | undefined>>;
    const kind = parent["group"] ? `${parent["resource"]}.${parent["group"]}` : parent["resource"];
    const path = [kind, parent["namespace"], parent["name"]].filter((part) => part !== undefined && part !== "");
    return [name(object), path.join("/"), age(object, now)];
  },
  "/Endpoints": (object, now) => [name(object), endpointsOf(object), age(object, now)],
  "/ServiceAccount": (object, now) => [name(object), age(object, now)],
  "/PersistentVolume": (object, now) => {
    const claim = at(object, "spec.claimRef") as { namespace?: string; name?: string } | undefined;
    return [
      name(object),
      at(object, "spec.capacity.storage") ?? "",
      shownModes(at(object, "spec.accessModes")),
      at(object, "spec.persistentVolumeReclaimPolicy") ?? "",
      object.metadata.deletionTimestamp === undefined ? (at(object, "status.phase") ?? "") : "Terminating",
      claim === undefined ? "" : `${claim.namespace ?? ""}/${claim.name ?? ""}`,
      at(object, "spec.storageClassName") ?? "",
      at(object, "spec.volumeAttributesClassName") ?? "<unset>",
      at(object, "status.reason") ?? "",
      age(object, now),
      at(object, "spec.volumeMode") ?? "<unset>",
    ];
  },
  "/PodTemplate": (object) => {
    const pods = list(object, "template.spec.containers");
    return [name(object), names(pods), images(pods), pairs(at(object, "template.metadata.labels")) || "<none>"];
  },
  "/ReplicationController": (object, now) => {
    const pods = list(object, "spec.template.spec.containers");
    return [
      name(object),
      at(object, "spec.replicas") ?? 1,
      at(object, "status.replicas") ?? 0,
      at(object, "status.readyReplicas") ?? 0,
      age(object, now),
      names(pods),
      images(pods),
      pairs(at(object, "spec.selector")) || "<none>",
    ];
  },
  "apps/ControllerRevision": (object, now) => {
    const owner = object.metadata.ownerReferences?.find(({ controller }) => controller === true);
    return [
      name(object),
      owner === undefined ? "<none>" : `${owner.kind.toLowerCase()}.${owner.apiVersion.split("/")[0]}/${owner.name}`,
      at(object, "revision") ?? 0,
      age(object, now),
    ];
  },
  "networking.k8s.io/Ingress": (object, now) => {
    const hosts = list(object, "spec.rules")
      .map((rule) => String(rule["host"] ?? ""))
      .filter(Boolean);
    const address = balancersOf(object).join(",");
    return [
      name(object),
      at(object, "spec.ingressClassName") ?? "<none>",
      hosts.length === 0 ? "*" : some(hosts),
      address,
      list(object, "spec.tls").length > 0 ? "80, 443" : "80",
      age(object, now),
    ];
  },
  "networking.k8s.io/IngressClass": (object, now) => {
    const parameters = at(object, "spec.parameters") as { apiGroup?: string; kind?: string; name?: string } | undefined;
    const group = parameters?.apiGroup === undefined ? "" : `.${parameters.apiGroup}`;
    return [
      name(object),
      at(object, "spec.controller") ?? "",
      parameters === undefined ? "<none>" : `${parameters.kind ?? ""}${group}/${parameters.name ?? ""}`,
      age(object, now),
    ];
  },
  "networking.k8s.io/NetworkPolicy": (object, now) => [
    name(object),
    formatLabelSelector((at(object, "spec.podSelector") ?? {}) as LabelSelector) || "<none>",
    age(object, now),
  ],
  "networking.k8s.io/ServiceCIDR": (object, now) => [
    name(object),
    texts(object, "spec.cidrs").join(","),
    age(object, now),
  ],
  "discovery.k8s.io/EndpointSlice": (object, now) => {
    const ports = list(object, "ports").map((port) => String(port["port"] ?? port["name"] ?? ""));
    const addresses = list(object, "endpoints").flatMap((endpoint) => texts(endpoint, "addresses"));
    return [
      name(object),
      at(object, "addressType") ?? "",
      ports.length === 0 ? "<unset>" : some(ports) || "<unset>",
      addresses.length === 0 ? "<unset>" : some(addresses),
      age(object, now),
    ];
  },
  "policy/PodDisruptionBudget": (object, now) => [
    name(object),
    String(at(object, "spec.minAvailable") ?? "N/A"),
    String(at(object, "spec.maxUnavailable") ?? "N/A"),
    at(object, "status.disruptionsAllowed") ?? 0,
    age(object, now),
  ],
  "rbac.authorization.k8s.io/RoleBinding": binding,
  "rbac.authorization.k8s.io/ClusterRoleBinding": binding,
  "storage.k8s.io/CSIDriver": (object, now) => {
    const requests = list(object, "spec.tokenRequests").map((request) => String(request["audience"] ?? ""));
    return [
      name(object),
      at(object, "spec.attachRequired") ?? true,
      at(object, "spec.podInfoOnMount") ?? false,
      at(object, "spec.storageCapacity") ?? false,
      requests.length === 0 ? "<unset>" : requests.join(","),
      at(object, "spec.requiresRepublish") ?? false,
      texts(object, "spec.volumeLifecycleModes").join(",") || "<none>",
      age(object, now),
    ];
  },
  "storage.k8s.io/CSINode": (object, now) => [name(object), list(object, "spec.drivers").length, age(object, now)],
  "storage.k8s.io/VolumeAttachment": (object, now) => [
    name(object),
    at(object, "spec.attacher") ?? "",
    at(object, "spec.source.persistentVolumeName") ?? "",
    at(object, "spec.nodeName") ?? "",
    at(object, "status.attached") ?? false,
    age(object, now),
  ],
  "storage.k8s.io/VolumeAttributesClass": (object, now) => [
    name(object),
    at(object, "driverName") ?? "",
    age(object, now),
  ],
  "scheduling.k8s.io/PriorityClass": (object, now) => [
    name(object),
    at(object, "value") ?? 0,
    at(object, "globalDefault") ?? false,
    age(object, now),
    at(object, "preemptionPolicy") ?? "",
  ],
  "node.k8s.io/RuntimeClass": (object, now) => [name(object), at(object, "handler") ?? "", age(object, now)],
  "admissionregistration.k8s.io/ValidatingWebhookConfiguration": webhooks,
  "admissionregistration.k8s.io/MutatingWebhookConfiguration": webhooks,
  "admissionregistration.k8s.io/ValidatingAdmissionPolicy": (object, now) => [
    name(object),
    list(object, "spec.validations").length,
    paramKind(object),
    age(object, now),
  ],
  "admissionregistration.k8s.io/MutatingAdmissionPolicy": (object, now) => [
    name(object),
    list(object, "spec.mutations").length,
    paramKind(object),
    age(object, now),
  ],
  "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": policyBinding,
  "admissionregistration.k8s.io/MutatingAdmissionPolicyBinding": policyBinding,
};
