/** Nodes, budgets, priorities, leases, certificate requests, flows and other bookkeeping of a cluster. */
import { requestMistake } from "./certificate-requests.ts";
import {
  DNS_LABEL,
  DNS_LABEL_TEXT,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  LABEL_VALUE,
  LABEL_VALUE_TEXT,
  labelKeyErrors,
  setPath,
} from "#machinery";
import { isIP } from "node:net";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import {
  amountErrors,
  cidrErrors,
  filled,
  labelSelectorErrors,
  listAt,
  NOT_NEGATIVE,
  notNegativeAt,
  valueAt,
} from "./checks.ts";
import { goValue } from "./go-values.ts";
import { containerAmountErrors } from "./pod-containers.ts";
import type { Json } from "./pod-defaults.ts";
import { taintEffectErrors } from "./pod-scheduling.ts";
import { immutableAt } from "./workload-rules.ts";

const specOf = (object: KubeObject): Json => (valueAt(object, "spec") ?? {}) as Json;

const HIGHEST_USER_PRIORITY = 1_000_000_000;
const SYSTEM_CLASSES: Readonly<Record<string, number>> = {
  "system-node-critical": 2_000_001_000,
  "system-cluster-critical": 2_000_000_000,
};
const RESERVED = "priority class names with 'system-' prefix are reserved for system use only. error: ";

function priorityErrors(object: KubeObject): FieldError[] {
  const name = object.metadata.name ?? "";
  const value = Number(valueAt(object, "value") ?? 0);
  const errors: FieldError[] = [];
  if (name.startsWith("system-")) {
    const wanted = SYSTEM_CLASSES[name];
    const why =
      wanted === undefined
        ? `${name} is not a known system priority class`
        : wanted === value
          ? ""
          : `value of ${name} PriorityClass must be ${wanted}`;
    if (why !== "") errors.push(fieldForbidden("metadata.name", RESERVED + why));
  } else if (value > HIGHEST_USER_PRIORITY)
    errors.push(
      fieldForbidden("value", `maximum allowed value of a user defined priority is ${HIGHEST_USER_PRIORITY}`),
    );
  const policy = valueAt(object, "preemptionPolicy");
  if (policy !== undefined && policy !== "PreemptLowerPriority" && policy !== "Never")
    errors.push(fieldNotSupported("preemptionPolicy", policy, ["PreemptLowerPriority", "Never"]));
  return errors;
}

function budgetErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const errors: FieldError[] = [];
  if (spec["minAvailable"] !== undefined && spec["maxUnavailable"] !== undefined)
    errors.push(
      fieldInvalid(
        "spec",
        goValue("io.k8s.api.policy.v1.PodDisruptionBudgetSpec", spec),
        "minAvailable and maxUnavailable cannot be both set",
      ),
    );
  for (const part of ["minAvailable", "maxUnavailable"]) errors.push(...amountErrors(spec[part], `spec.${part}`));
  if (spec["selector"] !== undefined) errors.push(...labelSelectorErrors(spec["selector"], "spec.selector"));
  const policy = spec["unhealthyPodEvictionPolicy"];
  if (policy !== undefined && policy !== "AlwaysAllow" && policy !== "IfHealthyBudget")
    errors.push(fieldNotSupported("spec.unhealthyPodEvictionPolicy", policy, ["AlwaysAllow", "IfHealthyBudget"]));
  return errors;
}

/** Conditions of the shape that all newer kinds share. */
const conditionErrors = (object: KubeObject): FieldError[] =>
  listAt(object, "status.conditions").flatMap((condition, at) => {
    const path = `status.conditions[${at}]`;
    return [
      ...(condition["type"] ? [] : [fieldRequired(`${path}.type`)]),
      ...(["False", "True", "Unknown"].includes(String(condition["status"]))
        ? []
        : [fieldNotSupported(`${path}.status`, condition["status"] ?? "", ["False", "True", "Unknown"])]),
      ...(condition["lastTransitionTime"] ? [] : [fieldRequired(`${path}.lastTransitionTime`)]),
      ...(condition["reason"] ? [] : [fieldRequired(`${path}.reason`)]),
    ];
  });

function taintErrors(object: KubeObject): FieldError[] {
  const seen = new Set<string>();
  return listAt(object, "spec.taints").flatMap(({ key = "", value = "", effect = "" }, at) => {
    const path = `metadata.taints[${at}]`;
    const errors: FieldError[] = [
      ...labelKeyErrors(String(key)).map((text) => fieldInvalid(`${path}.key`, key, text)),
      ...(LABEL_VALUE.test(String(value)) ? [] : [fieldInvalid(`${path}.value`, value, LABEL_VALUE_TEXT)]),
      ...taintEffectErrors(effect, `${path}.effect`, false),
    ];
    const pair = `${String(key)}/${String(effect)}`;
    const shown = JSON.stringify({ Key: key, Value: value, Effect: effect, TimeAdded: null });
    if (seen.has(pair))
      errors.push({
        type: "FieldValueDuplicate",
        field: path,
        message: `Duplicate value: ${shown}: taints must be unique by key and effect pair`,
      });
    seen.add(pair);
    return errors;
  });
}

function rangeErrors(object: KubeObject): FieldError[] {
  const ranges = listAt(object, "spec.podCIDRs") as unknown as readonly string[];
  const errors = ranges.flatMap((range, at) => cidrErrors(range, `spec.podCIDRs[${at}]`));
  const families = ranges.map((range) => isIP(String(range).split("/")[0] ?? ""));
  if (errors.length === 0 && new Set(families).size < families.length)
    errors.push(fieldInvalid("spec.podCIDRs", ranges, "may specify no more than one CIDR for each IP family"));
  return errors;
}

const nodeAmountErrors = (object: KubeObject): FieldError[] =>
  ["capacity", "allocatable"].flatMap((part) =>
    Object.entries((valueAt(object, `status.${part}`) ?? {}) as Readonly<Record<string, string>>).flatMap(
      ([name, amount]) => containerAmountErrors(name, amount, `status.${part}.${name}`),
    ),
  );

function nodeUpdateErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const [spec, before] = [specOf(object), specOf(old)];
  const errors: FieldError[] = [];
  if (listAt(before, "podCIDRs").length > 0 && !deepEqual(spec["podCIDRs"], before["podCIDRs"]))
    errors.push(fieldForbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'));
  if (before["providerID"] && spec["providerID"] !== before["providerID"])
    errors.push(fieldForbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'));
  return errors;
}

function requestErrors(object: KubeObject): FieldError[] {
  const request = valueAt(object, "spec.request");
  const signer = String(valueAt(object, "spec.signerName") ?? "");
  const pem = Buffer.from(String(request ?? ""), "base64").toString("latin1");
  const errors: FieldError[] = [];
  if (!pem.includes("-----BEGIN CERTIFICATE REQUEST-----"))
    errors.push(fieldInvalid("spec.request", request || null, "PEM block type must be CERTIFICATE REQUEST"));
  else {
    const mistake = requestMistake(pem);
    if (mistake !== undefined) errors.push(fieldInvalid("spec.request", request, mistake));
  }
  if (listAt(object, "spec.usages").length === 0) errors.push(fieldRequired("spec.usages"));
  if (signer === "") errors.push(fieldRequired("spec.signerName"));
  else if (!/^[^/]+\.[^/]+\/[^/].*$/.test(signer))
    errors.push(
      fieldInvalid(
        "spec.signerName",
        signer,
        "must be a fully qualified domain and path of the form 'example.com/signer-name'",
      ),
    );
  return errors;
}

function levelErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const { type } = spec;
  if (type !== "Limited" && type !== "Exempt")
    return [fieldNotSupported("spec.type", type ?? "", ["Exempt", "Limited"])];
  const response = valueAt(spec, "limited.limitResponse.type");
  return type === "Limited" && response !== "Queue" && response !== "Reject"
    ? [fieldNotSupported("spec.limited.limitResponse.type", response ?? "", ["Queue", "Reject"])]
    : [];
}

function apiServiceErrors(object: KubeObject): FieldError[] {
  const { group = "", version = "", groupPriorityMinimum, versionPriority, service } = specOf(object);
  const name = `${String(version)}.${String(group)}`;
  const isBetween = (value: unknown, most: number) => typeof value === "number" && value > 0 && value <= most;
  const errors: FieldError[] = [];
  if (object.metadata.name !== name && group !== "")
    errors.push(
      fieldInvalid(
        "metadata.name",
        object.metadata.name,
        `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(name)}`,
      ),
    );
  if (!isBetween(groupPriorityMinimum, 20_000))
    errors.push(
      fieldInvalid("spec.groupPriorityMinimum", groupPriorityMinimum ?? 0, "must be positive and less than 20000"),
    );
  if (!isBetween(versionPriority, 1000))
    errors.push(fieldInvalid("spec.versionPriority", versionPriority ?? 0, "must be positive and less than 1000"));
  if (service !== undefined)
    for (const part of ["namespace", "name"])
      if (!valueAt(service, part)) errors.push(fieldRequired(`spec.service.${part}`));
  if (valueAt(object, "spec.insecureSkipTLSVerify") === true && valueAt(object, "spec.caBundle"))
    errors.push(fieldInvalid("spec.insecureSkipTLSVerify", true, "may not be true if caBundle is present"));
  return errors;
}

export const bookkeepingRules: Readonly<Record<string, Strategy>> = {
  "scheduling.k8s.io/PriorityClass": {
    rulesAreWhole: true,
    keepsGeneration: true,
    applyDefaults: (object) =>
      filled(object as unknown as Json, { preemptionPolicy: "PreemptLowerPriority" }) as unknown as KubeObject,
    validateCreate: priorityErrors,
    validateUpdate: (object, old) => [
      ...(valueAt(object, "value") === valueAt(old, "value")
        ? []
        : [fieldForbidden("value", "may not be changed in an update.")]),
      ...immutableAt(object, old, "preemptionPolicy"),
    ],
  },
  "policy/PodDisruptionBudget": {
    rulesAreWhole: true,
    validate: budgetErrors,
    validateStatus: (object) => [
      ...conditionErrors(object),
      ...notNegativeAt(
        object,
        "status.disruptionsAllowed",
        "status.currentHealthy",
        "status.desiredHealthy",
        "status.expectedPods",
      ),
    ],
  },
  "coordination.k8s.io/Lease": {
    rulesAreWhole: true,
    createsOnUpdate: true,
    validate: (object) => {
      const seconds = valueAt(object, "spec.leaseDurationSeconds");
      const transitions = valueAt(object, "spec.leaseTransitions");
      return [
        ...(typeof seconds === "number" && seconds <= 0
          ? [fieldInvalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
          : []),
        ...(typeof transitions === "number" && transitions < 0
          ? [fieldInvalid("spec.leaseTransitions", transitions, NOT_NEGATIVE)]
          : []),
      ];
    },
  },
  "node.k8s.io/RuntimeClass": {
    rulesAreWhole: true,
    validate: (object) => {
      const handler = valueAt(object, "handler");
      if (!handler) return [fieldRequired("handler")];
      return DNS_LABEL.test(String(handler)) ? [] : [fieldInvalid("handler", handler, DNS_LABEL_TEXT)];
    },
    validateUpdate: (object, old) => immutableAt(object, old, "handler"),
  },
  Node: {
    rulesAreWhole: true,
    keepsStatusOnCreate: true,
    // The older of two fields follows the newer one, and the other way round; all of a node is for pods by default.
    applyDefaults: (object) => {
      const spec = specOf(object);
      const ranges = listAt(spec, "podCIDRs");
      const capacity = valueAt(object, "status.capacity");
      let next = object;
      if (spec["podCIDR"] && ranges.length === 0) next = setPath(next, ["spec", "podCIDRs"], [spec["podCIDR"]]);
      if (ranges.length > 0 && !spec["podCIDR"]) next = setPath(next, ["spec", "podCIDR"], ranges[0]);
      return capacity !== undefined && valueAt(object, "status.allocatable") === undefined
        ? setPath(next, ["status", "allocatable"], capacity)
        : next;
    },
    validate: (object) => [...taintErrors(object), ...nodeAmountErrors(object), ...rangeErrors(object)],
    validateUpdate: nodeUpdateErrors,
    warnings: (object, old) =>
      valueAt(object, "spec.externalID") && !valueAt(old, "spec.externalID")
        ? ["spec.externalID: this field is deprecated, and is unused by Kubernetes"]
        : [],
    fields: (object) => ({ "spec.unschedulable": String(valueAt(object, "spec.unschedulable") ?? false) }),
  },
  "certificates.k8s.io/CertificateSigningRequest": {
    rulesAreWhole: true,
    // Who asks is what the server knows, never what the client says.
    prepareForCreate: (object, { user }) => {
      const { uid: _uid, extra: _extra, ...spec } = specOf(object) as Record<string, unknown>;
      return {
        ...object,
        spec: {
          ...spec,
          username: user.name,
          groups: user.groups,
          ...(user.uid === undefined ? {} : { uid: user.uid }),
          ...(user.extra === undefined ? {} : { extra: user.extra }),
        },
      } as KubeObject;
    },
    // What was asked for never changes; only approval and status do.
    prepareForUpdate: (object, old) =>
      deepEqual(specOf(object), specOf(old)) ? object : ({ ...object, spec: specOf(old) } as KubeObject),
    validate: requestErrors,
    fields: (object) => ({ "spec.signerName": String(valueAt(object, "spec.signerName") ?? "") }),
  },
  "flowcontrol.apiserver.k8s.io/FlowSchema": {
    applyDefaults: (object) =>
      specOf(object)["matchingPrecedence"] ? object : setPath(object, ["spec", "matchingPrecedence"], 1000),
    validate: (object) =>
      valueAt(object, "spec.priorityLevelConfiguration.name")
        ? []
        : [fieldRequired("spec.priorityLevelConfiguration.name", "must reference a priority level")],
  },
  "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": { validate: levelErrors },
  "apiregistration.k8s.io/APIService": {
    applyDefaults: (object) => {
      const service = valueAt(object, "spec.service") as Json | undefined;
      return service === undefined || service["port"] !== undefined
        ? object
        : setPath(object, ["spec", "service"], { ...service, port: 443 });
    },
    validate: apiServiceErrors,
  },
};
