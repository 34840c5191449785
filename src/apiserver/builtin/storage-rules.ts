/** What storage, quotas and bookkeeping kinds must keep to, and their further defaults. */
import { coreEventRules, newEventRules } from "./event-rules.ts";
import {
  compareQuantities,
  DNS_LABEL,
  DNS_LABEL_TEXT,
  DNS_SUBDOMAIN,
  DNS_SUBDOMAIN_TEXT,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  type KubeObject,
  parseQuantity,
  setPath,
} from "#machinery";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import { amountErrors, cidrErrors, filled, ipErrors, listAt, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";

type Amounts = Readonly<Record<string, string>>;

const specOf = (object: KubeObject): Json => (valueAt(object, "spec") ?? {}) as Json;
const withSpec = (object: KubeObject, spec: Json): KubeObject =>
  spec === (object as { spec?: Json }).spec ? object : ({ ...object, spec } as KubeObject);
const fixed = (...paths: readonly string[]) => ({
  validateUpdate: (object: KubeObject, old: KubeObject): FieldError[] =>
    paths.flatMap((path) =>
      deepEqual(valueAt(object, path), valueAt(old, path))
        ? []
        : [fieldInvalid(path, valueAt(object, path), "field is immutable")],
    ),
});
const subdomain = (value: unknown, path: string): FieldError[] =>
  DNS_SUBDOMAIN.test(String(value ?? "")) ? [] : [fieldInvalid(path, value ?? "", DNS_SUBDOMAIN_TEXT)];

/** Resources that quotas count in whole numbers. */
const COUNTED = new Set([
  "pods",
  "services",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
]);
const QUOTA_RESOURCES = new Set([
  ...COUNTED,
  "cpu",
  "memory",
  "ephemeral-storage",
  "storage",
  ...["cpu", "memory", "ephemeral-storage", "storage"].flatMap((name) => [`requests.${name}`, `limits.${name}`]),
]);
const BEST_EFFORT_RESOURCES = new Set(["pods", "count/pods"]);

function quotaErrors(object: KubeObject): FieldError[] {
  const hard = (valueAt(object, "spec.hard") ?? {}) as Amounts;
  const scopes = listAt(object, "spec.scopes") as unknown as readonly string[];
  const errors = Object.entries(hard).flatMap(([name, amount]) => {
    const path = `spec.hard[${name}]`;
    const isKnown = name.includes("/") || QUOTA_RESOURCES.has(name) || /^(requests\.|limits\.)?hugepages-/.test(name);
    const quantity = parseQuantity(amount);
    return [
      ...(isKnown
        ? []
        : [
            fieldInvalid(path, name, "must be a standard resource type or fully qualified"),
            fieldInvalid(path, name, "must be a standard resource for quota"),
          ]),
      ...(quantity !== undefined && COUNTED.has(name) && quantity.nano % 1_000_000_000n !== 0n
        ? [fieldInvalid(path, amount, "must be an integer")]
        : []),
    ];
  });
  if (scopes.includes("BestEffort") && scopes.includes("NotBestEffort"))
    errors.push(fieldInvalid("spec.scopes", scopes, "conflicting scopes"));
  else if (scopes.includes("BestEffort") && Object.keys(hard).some((name) => !BEST_EFFORT_RESOURCES.has(name)))
    errors.push(fieldInvalid("spec.scopes", scopes, "unsupported scope applied to resource"));
  return errors;
}

const LIMIT_TYPES = new Set(["Pod", "Container", "PersistentVolumeClaim"]);

/** What a container is given when it says nothing follows from what it may have at most. */
function limitDefaults(item: Json): Json {
  if (item["type"] !== "Container") return item;
  const max = (item["max"] ?? {}) as Amounts;
  const limits: Amounts = { ...max, ...(item["default"] as Amounts | undefined) };
  const requests: Amounts = {
    ...(item["min"] as Amounts | undefined),
    ...limits,
    ...(item["defaultRequest"] as Amounts | undefined),
  };
  const keep = (name: string, value: Amounts) => (Object.keys(value).length === 0 ? {} : { [name]: value });
  const next = { ...item, ...keep("default", limits), ...keep("defaultRequest", requests) };
  return deepEqual(next, item) ? item : next;
}

const isMore = (left: string | undefined, right: string | undefined): boolean => {
  const [a, b] = [parseQuantity(left ?? ""), parseQuantity(right ?? "")];
  return a !== undefined && b !== undefined && compareQuantities(a, b) > 0;
};

function limitErrors(object: KubeObject): FieldError[] {
  const seen = new Set<unknown>();
  return listAt(object, "spec.limits").flatMap((item, at) => {
    const path = `spec.limits[${at}]`;
    const type = String(item["type"] ?? "");
    const errors: FieldError[] = [];
    if (!LIMIT_TYPES.has(type) && !type.includes("/"))
      errors.push(fieldInvalid(`${path}.type`, type, "must be a standard limit type or fully qualified"));
    if (seen.has(type)) errors.push(fieldDuplicate(`${path}.type`, type));
    seen.add(type);
    if (type === "Pod")
      for (const part of ["default", "defaultRequest"])
        if (item[part] !== undefined)
          errors.push(fieldForbidden(`${path}.${part}`, "may not be specified when `type` is 'Pod'"));
    const part = (name: string) => (item[name] ?? {}) as Amounts;
    const [min, max, request, limit] = [part("min"), part("max"), part("defaultRequest"), part("default")];
    const names = new Set([min, max, request, limit].flatMap((amounts) => Object.keys(amounts)));
    for (const name of type === "Pod" ? [] : [...names].sort()) {
      const [least, most, asked, given] = [min[name], max[name], request[name], limit[name]];
      const wrong = (field: string, value: string | undefined, text: string) =>
        errors.push(fieldInvalid(`${path}.${field}[${name}]`, value, text));
      if (isMore(least, most)) wrong("min", least, `min value ${least} is greater than max value ${most}`);
      if (isMore(least, asked))
        wrong("defaultRequest", asked, `min value ${least} is greater than default request value ${asked}`);
      if (isMore(asked, most))
        wrong("defaultRequest", asked, `default request value ${asked} is greater than max value ${most}`);
      if (isMore(asked, given))
        wrong("defaultRequest", asked, `default request value ${asked} is greater than default limit value ${given}`);
      if (isMore(least, given)) wrong("default", least, `min value ${least} is greater than default value ${given}`);
      if (isMore(given, most)) wrong("default", most, `default value ${given} is greater than max value ${most}`);
    }
    return errors;
  });
}

/** Members of a volume's spec that are no source of it. */
const VOLUME_FACTS = new Set([
  "capacity",
  "accessModes",
  "claimRef",
  "persistentVolumeReclaimPolicy",
  "storageClassName",
  "mountOptions",
  "volumeMode",
  "nodeAffinity",
  "volumeAttributesClassName",
]);

function volumeErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  return [
    ...(listAt(spec, "accessModes").length === 0 ? [fieldRequired("spec.accessModes")] : []),
    ...(Object.keys((spec["capacity"] ?? {}) as object).length === 0
      ? [
          fieldRequired("spec.capacity"),
          {
            type: "FieldValueNotSupported" as const,
            field: "spec.capacity",
            message: 'Unsupported value: null: supported values: "storage"',
          },
        ]
      : []),
    ...(Object.keys(spec).every((name) => VOLUME_FACTS.has(name))
      ? [fieldRequired("spec", "must specify a volume type")]
      : []),
  ];
}

function taintErrors(object: KubeObject): FieldError[] {
  const seen = new Set<string>();
  return listAt(object, "spec.taints").flatMap(({ key, value, effect }, at) => {
    const pair = `${String(key)}/${String(effect)}`;
    const isTwice = seen.has(pair);
    seen.add(pair);
    const shown = JSON.stringify({ Key: key ?? "", Value: value ?? "", Effect: effect ?? "", TimeAdded: null });
    return isTwice
      ? [
          {
            type: "FieldValueDuplicate" as const,
            field: `metadata.taints[${at}]`,
            message: `Duplicate value: ${shown}: taints must be unique by key and effect pair`,
          },
        ]
      : [];
  });
}

export const storageRules: Readonly<Record<string, Strategy>> = {
  ConfigMap: {
    validate: (object) => {
      const data = (valueAt(object, "data") ?? {}) as object;
      const binary = (valueAt(object, "binaryData") ?? {}) as object;
      return [
        ...[data, binary].flatMap((part, at) =>
          Object.keys(part)
            .filter((key) => /^\.\.?$/.test(key) || key.startsWith(".."))
            .map((key) =>
              fieldInvalid(
                `${at === 0 ? "data" : "binaryData"}[${key}]`,
                key,
                key === "." || key === ".." ? `must not be '${key}'` : "must not start with '..'",
              ),
            ),
        ),
        ...Object.keys(data)
          .filter((key) => Object.hasOwn(binary, key))
          .map((key) => fieldInvalid(`data[${key}]`, key, "duplicate of key present in binaryData")),
      ];
    },
  },
  ResourceQuota: { validate: quotaErrors },
  LimitRange: {
    applyDefaults: (object) => {
      const limits = listAt(object, "spec.limits");
      const next = limits.map(limitDefaults);
      return next.every((item, at) => item === limits[at]) ? object : setPath(object, ["spec", "limits"], next);
    },
    validate: limitErrors,
  },
  PersistentVolume: {
    applyDefaults: (object) => {
      const host = valueAt(object, "spec.hostPath") as Json | undefined;
      return host === undefined || host["type"] !== undefined
        ? object
        : setPath(object, ["spec", "hostPath"], { ...host, type: "" });
    },
    validate: volumeErrors,
  },
  PersistentVolumeClaim: {
    applyDefaults: (object) => {
      const spec = specOf(object);
      const source = spec["dataSource"] as Json | undefined;
      if (source === undefined || spec["dataSourceRef"] !== undefined) return object;
      return withSpec(object, { ...spec, dataSourceRef: source });
    },
    validate: (object) => {
      const storage = valueAt(object, "spec.resources.requests.storage") as string | undefined;
      const quantity = parseQuantity(storage ?? "");
      const name = valueAt(object, "spec.storageClassName");
      return [
        ...(quantity !== undefined && quantity.nano <= 0n
          ? [fieldInvalid("spec.resources[storage]", storage, "must be greater than zero")]
          : []),
        ...(name ? subdomain(name, "spec.storageClassName") : []),
      ];
    },
  },
  "storage.k8s.io/StorageClass": {
    ...fixed("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    validate: (object) => [
      ...(Object.hasOwn((valueAt(object, "parameters") ?? {}) as object, "")
        ? [fieldInvalid("parameters", "", "field can not be empty.")]
        : []),
      ...listAt(object, "allowedTopologies").flatMap((term, at) =>
        listAt(term, "matchLabelExpressions").flatMap((expression, number) =>
          listAt(expression, "values").length === 0
            ? [fieldRequired(`allowedTopologies[${at}].matchLabelExpressions[${number}].values`)]
            : [],
        ),
      ),
    ],
  },
  "storage.k8s.io/CSIDriver": {
    applyDefaults: (object) =>
      withSpec(
        object,
        filled(specOf(object), {
          attachRequired: true,
          podInfoOnMount: false,
          volumeLifecycleModes: ["Persistent"],
          storageCapacity: false,
          fsGroupPolicy: "ReadWriteOnceWithFSType",
          requiresRepublish: false,
          seLinuxMount: false,
        }),
      ),
  },
  "storage.k8s.io/CSINode": {
    validate: (object) =>
      listAt(object, "spec.drivers").flatMap((driver, at) =>
        driver["nodeID"] ? [] : [fieldRequired(`spec.drivers[${at}].nodeID`)],
      ),
  },
  "storage.k8s.io/VolumeAttachment": {
    emptyStatus: { attached: false },
    validate: (object) => {
      const source = (valueAt(object, "spec.source") ?? {}) as Json;
      return [
        ...(valueAt(object, "spec.attacher") ? [] : [fieldRequired("spec.attacher")]),
        ...(Object.keys(source).length === 1
          ? []
          : [fieldRequired("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")]),
        ...subdomain(valueAt(object, "spec.nodeName"), "spec.nodeName"),
      ];
    },
  },
  "storage.k8s.io/CSIStorageCapacity": {
    validate: (object) => subdomain(valueAt(object, "storageClassName"), "storageClassName"),
  },
  "node.k8s.io/RuntimeClass": {
    ...fixed("handler"),
    validate: (object) => {
      const handler = valueAt(object, "handler");
      if (!handler) return [fieldRequired("handler")];
      return DNS_LABEL.test(String(handler ?? "")) ? [] : [fieldInvalid("handler", handler ?? "", DNS_LABEL_TEXT)];
    },
  },
  Node: {
    prepareForCreate: (object) => {
      const capacity = valueAt(object, "status.capacity");
      const range = valueAt(object, "spec.podCIDR");
      let next = object;
      if (capacity !== undefined && valueAt(object, "status.allocatable") === undefined)
        next = setPath(next, ["status", "allocatable"], capacity);
      if (range && valueAt(object, "spec.podCIDRs") === undefined) next = setPath(next, ["spec", "podCIDRs"], [range]);
      return next;
    },
    validate: (object) => [
      ...taintErrors(object),
      ...listAt(object, "spec.podCIDRs").flatMap((range, at) => cidrErrors(range, `spec.podCIDRs[${at}]`)),
    ],
  },
  Event: coreEventRules,
  "events.k8s.io/Event": newEventRules,
  "policy/PodDisruptionBudget": {
    validate: (object) =>
      ["minAvailable", "maxUnavailable"].flatMap((part) =>
        amountErrors(valueAt(object, `spec.${part}`), `spec.${part}`),
      ),
  },
  "flowcontrol.apiserver.k8s.io/FlowSchema": {
    applyDefaults: (object) =>
      specOf(object)["matchingPrecedence"] ? object : setPath(object, ["spec", "matchingPrecedence"], 1000),
  },
  "apiregistration.k8s.io/APIService": {
    applyDefaults: (object) => {
      const service = valueAt(object, "spec.service") as Json | undefined;
      return service === undefined || service["port"] !== undefined
        ? object
        : setPath(object, ["spec", "service"], { ...service, port: 443 });
    },
    validate: apiServiceErrors,
  },
  "networking.k8s.io/ServiceCIDR": {
    validate: (object) => {
      const ranges = listAt(object, "spec.cidrs");
      return ranges.length === 0
        ? [fieldRequired("spec.cidrs", "at least one CIDR required")]
        : ranges.flatMap((range, at) => cidrErrors(range, `spec.cidrs[${at}]`));
    },
  },
  "networking.k8s.io/IPAddress": { validate: (object) => ipErrors(object.metadata.name, "metadata.name") },
};

function apiServiceErrors(object: KubeObject): FieldError[] {
  const { group = "", version = "", groupPriorityMinimum, versionPriority, service } = specOf(object);
  const name = `${String(version)}.${String(group)}`;
  const isBetween = (value: unknown, most: number) => typeof value === "number" && value > 0 && value <= most;
  const isLocal = service === undefined;
  return [
    ...(object.metadata.name === name || group === ""
      ? []
      : [
          fieldInvalid(
            "metadata.name",
            object.metadata.name,
            `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(name)}`,
          ),
        ]),
    ...(isBetween(groupPriorityMinimum, 20_000)
      ? []
      : [fieldInvalid("spec.groupPriorityMinimum", groupPriorityMinimum ?? 0, "must be positive and less than 20000")]),
    ...(isBetween(versionPriority, 1000)
      ? []
      : [fieldInvalid("spec.versionPriority", versionPriority ?? 0, "must be positive and less than 1000")]),
    ...(isLocal
      ? []
      : ["namespace", "name"].flatMap((part) =>
          valueAt(service, part) ? [] : [fieldRequired(`spec.service.${part}`)],
        )),
    ...(valueAt(object, "spec.insecureSkipTLSVerify") === true && valueAt(object, "spec.caBundle")
      ? [fieldInvalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present")]
      : []),
  ];
}
