/** Nodes, budgets, priorities, leases, certificate requests, flows and other bookkeeping of a cluster. */
import { requestMistake } from "./certificate-requests.ts";
import {
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type KubeObject,
  labelKeyErrors,
  labelMapErrors,
  labelValueErrors,
  setPath,
} from "#machinery";
import { isIP } from "node:net";
import { deepEqual } from "#base";
import { apiServiceRules } from "../aggregation/api-service.ts";
import type { Strategy } from "../definition.ts";
import {
  amountErrors,
  cidrErrors,
  filled,
  labelSelectorErrors,
  listAt,
  NOT_NEGATIVE,
  notNegativeAt,
  repetitions,
  specOf,
  valueAt,
} from "./checks.ts";
import { conditionStatusErrors } from "./condition-checks.ts";
import { goValue } from "./go-values.ts";
import { dnsLabelErrors, subdomainErrorsAt } from "./name-checks.ts";
import { containerAmountErrors, resourceErrors } from "./pod-containers.ts";
import type { Json } from "./pod-defaults.ts";
import { taintEffectErrors, tolerationErrors } from "./pod-scheduling.ts";
import { immutableAt } from "./workload-rules.ts";

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
  if (policy === "") errors.push(fieldRequired("preemptionPolicy"));
  else if (policy !== undefined && policy !== "PreemptLowerPriority" && policy !== "Never")
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

function taintErrors(object: KubeObject): FieldError[] {
  const wasThere = repetitions();
  return listAt(object, "spec.taints").flatMap(({ key = "", value = "", effect = "" }, at) => {
    const path = `metadata.taints[${at}]`;
    const errors: FieldError[] = [
      ...labelKeyErrors(String(key)).map((text) => fieldInvalid(`${path}.key`, key, text)),
      ...labelValueErrors(String(value), `${path}.value`),
      ...taintEffectErrors(effect, `${path}.effect`, false),
    ];
    const pair = `${String(key)}/${String(effect)}`;
    const shown = JSON.stringify({ Key: key, Value: value, Effect: effect, TimeAdded: null });
    if (wasThere(pair))
      errors.push({
        type: "FieldValueDuplicate",
        field: path,
        message: `Duplicate value: ${shown}: taints must be unique by key and effect pair`,
      });
    return errors;
  });
}

function rangeErrors(object: KubeObject): FieldError[] {
  const path = "spec.podCIDRs";
  const ranges = listAt(object, path) as unknown as readonly string[];
  const mistakes = ranges.map((range, at) => cidrErrors(range, `${path}[${at}]`));
  const errors = mistakes.flat();
  const families = ranges.map((range) => isIP(String(range).split("/")[0] ?? ""));
  const wrong = mistakes.findIndex((found) => found.length > 0);
  if (ranges.length > 1 && wrong >= 0) {
    const text = `invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[${wrong}]: <nil> (invalid CIDR address: ${ranges[wrong]})`;
    errors.push({ type: "InternalError", field: path, message: `Internal error: ${text}` });
  }
  if (ranges.length > 1 && (wrong >= 0 || new Set(families).size < families.length))
    errors.push(fieldInvalid(path, ranges, "may specify no more than one CIDR for each IP family"));
  return errors;
}

const nodeAmountErrors = (object: KubeObject): FieldError[] =>
  ["capacity", "allocatable"].flatMap((part) =>
    Object.entries((valueAt(object, `status.${part}`) ?? {}) as Readonly<Record<string, string>>).flatMap(
      ([name, amount]) => containerAmountErrors(name, amount, `status.${part}.${name}`),
    ),
  );

/** Each address of a node is told once. */
function addressErrors(node: KubeObject): FieldError[] {
  const wasThere = repetitions();
  return listAt(node, "status.addresses").flatMap(({ type = "", address = "" }, at) => {
    const key = JSON.stringify([type, address]);
    const isRepeated = wasThere(key);
    return isRepeated ? [fieldDuplicate(`status.addresses[${at}]`, { Type: type, Address: address })] : [];
  });
}

function nodeUpdateErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const [spec, before] = [specOf(object), specOf(old)];
  // Kubernetes looks at the taints of a changed node twice.
  const errors = [...addressErrors(object), ...taintErrors(object)];
  if (listAt(before, "podCIDRs").length > 0 && !deepEqual(spec["podCIDRs"], before["podCIDRs"]))
    errors.push(fieldForbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'));
  if (before["providerID"] && spec["providerID"] !== before["providerID"])
    errors.push(fieldForbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'));
  return errors;
}

/** What certificates are for, in the order of their names. */
const USAGES = [
  "any",
  "cert sign",
  "client auth",
  "code signing",
  "content commitment",
  "crl sign",
  "data encipherment",
  "decipher only",
  "digital signature",
  "email protection",
  "encipher only",
  "ipsec end system",
  "ipsec tunnel",
  "ipsec user",
  "key agreement",
  "key encipherment",
  "microsoft sgc",
  "netscape sgc",
  "ocsp signing",
  "s/mime",
  "server auth",
  "signing",
  "timestamping",
];

/** What was decided of a request is not taken back. */
const DECISIONS = ["Approved", "Denied", "Failed"];
/** Decided by `/approval` alone. */
const APPROVALS = ["Approved", "Denied"];

/** What a signer gives is certificates, and stays. */
function issuedErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const certificateOf = (one: KubeObject) => String(valueAt(one, "status.certificate") ?? "");
  const [now, before] = [certificateOf(object), certificateOf(old)];
  if (now === before) return [];
  const path = "status.certificate";
  const refuse = (why: string) => [fieldInvalid(path, "<certificate data>", why)];
  if (before) return [fieldForbidden(path, "updates may not modify existing certificate content")];
  const types = [
    ...Buffer.from(now, "base64")
      .toString("latin1")
      .matchAll(/-----BEGIN ([^-]+)-----/g),
  ];
  const other = types.find(([, type]) => type !== "CERTIFICATE");
  if (other !== undefined) return refuse(`only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(other[1])}`);
  return types.length === 0 ? refuse("must contain at least one CERTIFICATE PEM block") : [];
}

/** A status may say that it failed; who decided, decided by an approval. */
function signedErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const has = (one: KubeObject, type: string) => listAt(one, "status.conditions").some((each) => each["type"] === type);
  return [
    ...decisionErrors(object, old),
    ...APPROVALS.filter((type) => has(object, type) && !has(old, type)).map((type) =>
      fieldForbidden("status.conditions", `updates may not add a condition of type ${JSON.stringify(type)}`),
    ),
    ...issuedErrors(object, old),
  ];
}

function decisionErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const path = "status.conditions";
  const typesOf = (one: KubeObject) => new Set(listAt(one, path).map(({ type }) => String(type ?? "")));
  const types = typesOf(object);
  const isRepeated = repetitions();
  const lastApproval = listAt(object, path).findLastIndex(({ type }) => APPROVALS.includes(String(type)));
  return [
    ...listAt(object, path).flatMap(({ type, status }, at) => {
      const allowed = DECISIONS.includes(String(type)) ? ["True"] : ["False", "True", "Unknown"];
      const where = `${path}[${at}]`;
      return [
        ...(type ? [] : [fieldRequired(`${where}.type`)]),
        ...(status
          ? allowed.includes(String(status))
            ? []
            : [fieldNotSupported(`${where}.status`, status, allowed)]
          : [fieldRequired(`${where}.status`)]),
        ...(isRepeated(type) ? [fieldDuplicate(`${where}.type`, type)] : []),
        ...(APPROVALS.includes(String(type)) && APPROVALS.every((one) => types.has(one)) && at === lastApproval
          ? [fieldInvalid(path, type, "Approved and Denied conditions are mutually exclusive")]
          : []),
      ];
    }),
    ...DECISIONS.filter((type) => typesOf(old).has(type) && !types.has(type)).map((type) =>
      fieldForbidden(path, `updates may not remove a condition of type ${JSON.stringify(type)}`),
    ),
  ];
}

const LEGACY_SIGNER = "kubernetes.io/legacy-unknown";

function requestErrors(object: KubeObject): FieldError[] {
  const request = valueAt(object, "spec.request");
  const signer = String(valueAt(object, "spec.signerName") ?? "");
  const pem = Buffer.from(String(request ?? ""), "base64").toString("latin1");
  const errors: FieldError[] = [];
  if (!pem.includes("-----BEGIN CERTIFICATE REQUEST-----"))
    errors.push(fieldInvalid("spec.request", request ?? null, "PEM block type must be CERTIFICATE REQUEST"));
  else {
    const mistake = requestMistake(pem);
    if (mistake !== undefined) errors.push(fieldInvalid("spec.request", request, mistake));
  }
  const usages = listAt(object, "spec.usages") as unknown as readonly string[];
  if (usages.length === 0) errors.push(fieldRequired("spec.usages"));
  for (const [at, usage] of usages.entries())
    if (usages.indexOf(usage) < at) errors.push(fieldDuplicate(`spec.usages[${at}]`, usage));
    else if (!USAGES.includes(usage)) errors.push(fieldNotSupported(`spec.usages[${at}]`, usage, USAGES));
  if (signer === "") errors.push(fieldRequired("spec.signerName"));
  else if (signer.split("/").length !== 2)
    errors.push(
      fieldInvalid(
        "spec.signerName",
        signer,
        "must be a fully qualified domain and path of the form 'example.com/signer-name'",
      ),
    );
  else if (!signer.slice(0, signer.indexOf("/")).includes("."))
    errors.push(
      fieldInvalid(
        "spec.signerName",
        signer.slice(0, signer.indexOf("/")),
        "should be a domain with at least two segments separated by dots",
      ),
    );
  else if (signer === LEGACY_SIGNER)
    errors.push(fieldInvalid("spec.signerName", signer, "the legacy signerName is not allowed via this API version"));
  else {
    const path = signer.slice(signer.indexOf("/") + 1);
    errors.push(
      ...path
        .split(".")
        .flatMap((label) => subdomainErrorsAt(label, "spec.signerName"))
        .map((error) => ({
          ...error,
          message: error.message.replace(/^(Invalid value: ("[^"]*")): /, "$1: validating label $2: "),
        })),
    );
  }
  const seconds = valueAt(object, "spec.expirationSeconds");
  if (typeof seconds === "number" && seconds < 600)
    errors.push(
      fieldInvalid("spec.expirationSeconds", seconds, "may not specify a duration less than 600 seconds (10 minutes)"),
    );
  return errors;
}

/** What pods of a runtime cost more, and where they run. */
function runtimeErrors(object: KubeObject): FieldError[] {
  const handler = valueAt(object, "handler");
  const scheduling = (valueAt(object, "scheduling") ?? {}) as Json;
  const fixed = (valueAt(object, "overhead.podFixed") ?? {}) as Readonly<Record<string, string>>;
  const errors = handler ? dnsLabelErrors(handler, "handler") : [fieldRequired("handler")];
  errors.push(...resourceErrors({ limits: fixed }, "overhead", new Set()));
  const labels = (scheduling["nodeSelector"] ?? {}) as Readonly<Record<string, string>>;
  errors.push(...labelMapErrors(labels, "scheduling.nodeSelector"));
  errors.push(...tolerationErrors(scheduling, "scheduling"));
  const wasThere = repetitions();
  for (const [at, toleration] of listAt(scheduling, "tolerations").entries()) {
    const shown = goValue("Toleration", toleration);
    if (wasThere(JSON.stringify(shown))) errors.push(fieldDuplicate(`scheduling.tolerations[${at}]`, shown));
  }
  return errors;
}

/** A request whose conditions tell since when they are so: where nothing is said, since the write that changed them. */
function timed(object: KubeObject, old: KubeObject, time: string | undefined): KubeObject {
  const conditions = listAt(object, "status.conditions");
  const before = new Map(listAt(old, "status.conditions").map((condition) => [condition["type"], condition]));
  if (time === undefined || conditions.every((one) => one["lastUpdateTime"] && one["lastTransitionTime"]))
    return object;
  return setPath(
    object,
    ["status", "conditions"],
    conditions.map((condition) => {
      const known = before.get(condition["type"]);
      const since = known?.["status"] === condition["status"] ? (known?.["lastTransitionTime"] ?? time) : time;
      return {
        ...condition,
        lastUpdateTime: condition["lastUpdateTime"] ?? time,
        lastTransitionTime: condition["lastTransitionTime"] ?? since,
      };
    }),
  );
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
      ...conditionStatusErrors(listAt(object, "status.conditions"), "status.conditions"),
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
    validate: runtimeErrors,
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
      if (spec["podCIDR"] && spec["podCIDR"] !== (ranges[0] as unknown))
        next = setPath(next, ["spec", "podCIDRs"], [spec["podCIDR"]]);
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
    prepareForUpdate: (object, old, _context, time) =>
      timed(
        deepEqual(specOf(object), specOf(old)) ? object : ({ ...object, spec: specOf(old) } as KubeObject),
        old,
        time,
      ),
    validate: requestErrors,
    validateStatus: signedErrors,
    validateApproval: decisionErrors,
    fields: (object) => ({ "spec.signerName": String(valueAt(object, "spec.signerName") ?? "") }),
  },
  "apiregistration.k8s.io/APIService": apiServiceRules,
};
