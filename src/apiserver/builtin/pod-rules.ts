/** What parts of a pod's spec must keep to: probes, environments, tolerations, affinities, spreading, security. */
import {
  DNS_LABEL,
  DNS_LABEL_TEXT,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  labelKeyErrors,
  parseQuantity,
} from "#machinery";
import { isPort, type List, listAt, notNegativeAt, PORT_TEXT, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";

const ID_MAX = 2_147_483_647;
const HANDLERS = ["exec", "httpGet", "tcpSocket", "grpc"];
const SOURCES = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
const FIELD_PATHS = new Set([
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
]);
const STANDARD_RESOURCES = new Set(["cpu", "memory", "ephemeral-storage"]);

const prefixed = (errors: readonly FieldError[], path: string): FieldError[] =>
  errors.map((error) => ({ ...error, field: `${path}.${error.field}` }));

/** Mistakes of a pod as a whole; containers are looked at one by one. */
export function podRules(spec: Json, path: string): FieldError[] {
  return [
    ...listAt(spec, "tolerations").flatMap((toleration, at) =>
      tolerationErrors(toleration, `${path}.tolerations[${at}]`),
    ),
    ...affinityErrors((spec["affinity"] ?? {}) as Json, `${path}.affinity`),
    ...spreadErrors(listAt(spec, "topologySpreadConstraints"), `${path}.topologySpreadConstraints`),
    ...idErrors((spec["securityContext"] ?? {}) as Json, `${path}.securityContext`),
    ...(spec["dnsPolicy"] === "None" && spec["dnsConfig"] === undefined
      ? [fieldRequired(`${path}.dnsConfig`, "must provide `dnsConfig` when `dnsPolicy` is None")]
      : []),
    ...["hostname", "subdomain"].flatMap((name) => {
      const value = spec[name];
      return value && !DNS_LABEL.test(String(value)) ? [fieldInvalid(`${path}.${name}`, value, DNS_LABEL_TEXT)] : [];
    }),
    ...listAt(spec, "volumes").flatMap((volume, at) =>
      listAt(volume, "projected.sources").flatMap((source, number) =>
        source["serviceAccountToken"] !== undefined && !spec["serviceAccountName"]
          ? [
              fieldForbidden(
                `${path}.volumes[${at}].projected.sources[${number}].serviceAccountToken`,
                "must not be specified when serviceAccountName is not set",
              ),
            ]
          : [],
      ),
    ),
  ];
}

/** Mistakes of one container beyond its names and mounts. */
export function containerRules(
  container: Json,
  path: string,
  facts: { isInit: boolean; onHost: boolean },
): FieldError[] {
  const isSidecar = facts.isInit && container["restartPolicy"] === "Always";
  const probes = ["livenessProbe", "readinessProbe", "startupProbe"] as const;
  return [
    ...environmentErrors(listAt(container, "env"), `${path}.env`),
    ...listAt(container, "ports").flatMap((port, at) =>
      facts.onHost && port["hostPort"] && port["hostPort"] !== port["containerPort"]
        ? [
            fieldInvalid(
              `${path}.ports[${at}].hostPort`,
              port["hostPort"],
              "must match `containerPort` when `hostNetwork` is true",
            ),
          ]
        : [],
    ),
    ...(facts.isInit && container["restartPolicy"] !== undefined
      ? restartPolicyErrors(container["restartPolicy"], `${path}.restartPolicy`)
      : []),
    ...probes.flatMap((name) => {
      const probe = container[name] as Json | undefined;
      if (probe === undefined) return [];
      if (facts.isInit && !isSidecar)
        return [fieldForbidden(`${path}.${name}`, "may not be set for init containers without restartPolicy=Always")];
      return probeErrors(probe, `${path}.${name}`, name !== "readinessProbe");
    }),
    ...listAt(container, "volumeMounts").flatMap((mount) =>
      String(mount["subPath"] ?? "")
        .split("/")
        .includes("..")
        ? [fieldInvalid(`${path}.volumeMounts.subPath`, mount["subPath"], "must not contain '..'")]
        : [],
    ),
    ...resourceNameErrors((container["resources"] ?? {}) as Json, `${path}.resources`),
    ...idErrors((container["securityContext"] ?? {}) as Json, `${path}.securityContext`),
    ...escalationErrors(container["securityContext"] as Json | undefined, `${path}.securityContext`),
  ];
}

const restartPolicyErrors = (value: unknown, path: string): FieldError[] =>
  ["Always", "Never", "OnFailure"].includes(String(value))
    ? []
    : [fieldNotSupported(path, value, ["Always", "Never", "OnFailure"])];

function escalationErrors(context: Json | undefined, path: string): FieldError[] {
  if (context?.["allowPrivilegeEscalation"] !== false) return [];
  if (context["privileged"] === true)
    return [fieldInvalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")];
  return [];
}

function probeErrors(probe: Json, path: string, onceIsEnough: boolean): FieldError[] {
  const given = HANDLERS.filter((name) => probe[name] !== undefined);
  const port = valueAt(probe, "httpGet.port") ?? valueAt(probe, "tcpSocket.port");
  const where = probe["httpGet"] === undefined ? "tcpSocket" : "httpGet";
  return [
    ...(given.length === 0 ? [fieldRequired(path, "must specify a handler type")] : []),
    ...given.slice(1).map((name) => fieldForbidden(`${path}.${name}`, "may not specify more than 1 handler type")),
    ...(typeof port === "number" && !isPort(port) ? [fieldInvalid(`${path}.${where}.port`, port, PORT_TEXT)] : []),
    ...prefixed(
      notNegativeAt(
        probe,
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
      ),
      path,
    ),
    ...(onceIsEnough && Number(probe["successThreshold"] ?? 1) > 1
      ? [fieldInvalid(`${path}.successThreshold`, probe["successThreshold"], "must be 1")]
      : []),
  ];
}

function environmentErrors(variables: List, path: string): FieldError[] {
  return variables.flatMap((variable, at) => {
    const where = `${path}[${at}]`;
    const name = String(variable["name"] ?? "");
    const from = variable["valueFrom"] as Json | undefined;
    const field = valueAt(from, "fieldRef.fieldPath");
    return [
      ...(name !== "" && !/^[ -<>-~]+$/.test(name)
        ? [
            fieldInvalid(
              `${where}.name`,
              name,
              "a valid environment variable name must consist only of printable ASCII characters other than '='",
            ),
          ]
        : []),
      ...(from !== undefined && SOURCES.every((source) => from[source] === undefined)
        ? [
            fieldInvalid(
              `${where}.valueFrom`,
              "",
              "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            ),
          ]
        : []),
      ...(typeof field === "string" && !isFieldPath(field)
        ? [
            fieldInvalid(
              `${where}.valueFrom.fieldRef.fieldPath`,
              field,
              `error converting fieldPath: field label not supported: ${field}`,
            ),
          ]
        : []),
    ];
  });
}

const isFieldPath = (path: string) => FIELD_PATHS.has(path) || /^metadata\.(labels|annotations)\['.*'\]$/.test(path);

function resourceNameErrors(resources: Json, path: string): FieldError[] {
  const amounts = (part: string) => Object.entries((resources[part] ?? {}) as Readonly<Record<string, string>>);
  const isExtended = (name: string) => name.includes("/") && !name.startsWith("kubernetes.io/");
  const errors: FieldError[] = [];
  for (const part of ["limits", "requests"])
    for (const [name, amount] of amounts(part)) {
      const where = `${path}.${part}[${name}]`;
      if (!name.includes("/") && !STANDARD_RESOURCES.has(name) && !name.startsWith("hugepages-"))
        errors.push(
          fieldInvalid(where, name, "must be a standard resource type or fully qualified"),
          fieldInvalid(where, name, "must be a standard resource for containers"),
        );
      const quantity = parseQuantity(amount);
      if (isExtended(name) && quantity !== undefined && quantity.nano % 1_000_000_000n !== 0n)
        errors.push(fieldInvalid(where, amount, "must be an integer"));
    }
  const limits = (resources["limits"] ?? {}) as Json;
  if (amounts("requests").some(([name]) => isExtended(name) && limits[name] === undefined))
    errors.push(fieldRequired(`${path}.limits`, "Limit must be set for non overcommitable resources"));
  return errors;
}

const idErrors = (context: Json, path: string): FieldError[] =>
  ["runAsUser", "runAsGroup", "fsGroup"].flatMap((name) => {
    const value = context[name];
    return typeof value === "number" && (value < 0 || value > ID_MAX)
      ? [fieldInvalid(`${path}.${name}`, value, `must be between 0 and ${ID_MAX}, inclusive`)]
      : [];
  });

function tolerationErrors(toleration: Json, path: string): FieldError[] {
  const { key, operator, value, effect, tolerationSeconds } = toleration;
  return [
    ...(key ? labelKeyErrors(String(key)).map((text) => fieldInvalid(`${path}.key`, key, text)) : []),
    ...(!key && operator !== "Exists"
      ? [
          fieldInvalid(
            `${path}.operator`,
            operator ?? "",
            'operator must be Exists when `key` is empty, which means "match all values and all keys"',
          ),
        ]
      : []),
    ...(tolerationSeconds !== undefined && effect !== "NoExecute"
      ? [fieldInvalid(`${path}.effect`, effect ?? "", "effect must be 'NoExecute' when `tolerationSeconds` is set")]
      : []),
    ...(operator === "Exists" && value
      ? [fieldInvalid(`${path}.operator`, value, "value must be empty when `operator` is 'Exists'")]
      : []),
  ];
}

function affinityErrors(affinity: Json, path: string): FieldError[] {
  const required = valueAt(affinity, "nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
  const preferred = "preferredDuringSchedulingIgnoredDuringExecution";
  return [
    ...(required !== undefined && listAt(required, "nodeSelectorTerms").length === 0
      ? [
          fieldRequired(
            `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`,
            "must have at least one node selector term",
          ),
        ]
      : []),
    ...["nodeAffinity", "podAffinity", "podAntiAffinity"].flatMap((part) =>
      listAt(affinity[part], preferred).flatMap((term, at) => {
        const weight = Number(term["weight"] ?? 0);
        return weight < 1 || weight > 100
          ? [fieldInvalid(`${path}.${part}.${preferred}[${at}].weight`, weight, "must be in the range 1-100")]
          : [];
      }),
    ),
  ];
}

function spreadErrors(constraints: List, path: string): FieldError[] {
  const seen = new Set<string>();
  return constraints.flatMap((constraint, at) => {
    const { maxSkew, topologyKey, whenUnsatisfiable } = constraint;
    const pair = `{${String(topologyKey)}, ${String(whenUnsatisfiable)}}`;
    const isTwice = seen.has(pair);
    seen.add(pair);
    return [
      ...(typeof maxSkew === "number" && maxSkew <= 0
        ? [fieldInvalid(`${path}[${at}].maxSkew`, maxSkew, "must be greater than zero")]
        : []),
      ...(topologyKey ? [] : [fieldRequired(`${path}[${at}].topologyKey`, "can not be empty")]),
      ...(isTwice
        ? [
            {
              type: "FieldValueDuplicate" as const,
              field: `${path}[${at}].{topologyKey, whenUnsatisfiable}`,
              message: `Duplicate value: ${JSON.stringify(pair)}`,
            },
          ]
        : []),
      ...(typeof constraint["minDomains"] === "number" && constraint["minDomains"] <= 0
        ? [fieldInvalid(`${path}[${at}].minDomains`, constraint["minDomains"], "must be greater than zero")]
        : []),
    ];
  });
}
