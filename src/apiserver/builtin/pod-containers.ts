/** What containers of a pod must keep to, in the order and the words of kube-apiserver. */
import {
  compareQuantities,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldRequired,
  labelKeyErrors,
  parseQuantity,
} from "#machinery";
import { isPort, type List, listAt, NOT_NEGATIVE, PORT_TEXT, repetitions, valueAt } from "./checks.ts";
import { nameErrorsAt, subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";
import { descendingErrors, hasBacksteps } from "./pod-paths.ts";
import { containerSecurityErrors } from "./pod-security.ts";
import { portNameErrors } from "./port-names.ts";

/** What containers are looked at with: facts about their pod. */
export interface PodFacts {
  readonly spec: Json;
  /** Volumes by name; claims of a StatefulSet's own are volumes of the kind they make. */
  readonly volumes: ReadonlyMap<string, Json>;
  readonly claims: ReadonlySet<string>;
  readonly graceSeconds: number;
}

type Role = "containers" | "initContainers" | "ephemeralContainers";

const HANDLERS = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
const ENV_NAME = /^[ -<>-~]+$/;
const ENV_NAME_TEXT =
  "a valid environment variable name must consist only of printable ASCII characters other than '='";
const CONFIG_KEY = /^[-._a-zA-Z0-9]+$/;
export const CONFIG_KEY_TEXT =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
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
const CONTAINER_RESOURCES = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];

/** Mistakes of the key of a ConfigMap or Secret. */
export function configKeyErrors(key: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (key.length > 253) errors.push(fieldInvalid(path, key, "must be no more than 253 characters"));
  if (!CONFIG_KEY.test(key)) errors.push(fieldInvalid(path, key, CONFIG_KEY_TEXT));
  if (key === "." || key === "..") errors.push(fieldInvalid(path, key, `must not be '${key}'`));
  else if (key.startsWith("..")) errors.push(fieldInvalid(path, key, "must not start with '..'"));
  return errors;
}

/** Mistakes of all containers of a pod. */
export function allContainerErrors(facts: PodFacts, path: string): FieldError[] {
  const { spec } = facts;
  const names = new Set<unknown>();
  const containers = listAt(spec, "containers");
  if (containers.length === 0) return [fieldRequired(`${path}.containers`), ...lists(["initContainers"])];
  return lists(["containers", "initContainers", "ephemeralContainers"]);

  function lists(roles: readonly Role[]): FieldError[] {
    return roles.flatMap((role) => {
      const list = listAt(spec, role);
      const hostPorts = new Set<string>();
      return [
        ...list.flatMap((container, at) => containerErrors(container, `${path}.${role}[${at}]`, role, names, facts)),
        ...list.flatMap((container, at) => hostPortErrors(container, `${path}.${role}[${at}]`, hostPorts)),
      ];
    });
  }
}

function hostPortErrors(container: Json, path: string, seen: Set<string>): FieldError[] {
  return listAt(container, "ports").flatMap((port, at) => {
    if (!port["hostPort"]) return [];
    const key = `${String(port["protocol"] ?? "")}/${String(port["hostIP"] ?? "")}/${String(port["hostPort"])}`;
    if (seen.has(key)) return [fieldDuplicate(`${path}.ports[${at}].hostPort`, key)];
    seen.add(key);
    return [];
  });
}

function containerErrors(
  container: Json,
  path: string,
  role: Role,
  names: Set<unknown>,
  facts: PodFacts,
): FieldError[] {
  const name = String(container["name"] ?? "");
  const errors = commonErrors(container, path, facts);
  if (name !== "" && names.has(name)) errors.push(fieldDuplicate(`${path}.name`, name));
  names.add(name);
  if (role === "ephemeralContainers") return [...errors, ...ephemeralErrors(container, path, facts.spec)];
  const isSidecar = role === "initContainers" && container["restartPolicy"] === "Always";
  if (role === "initContainers") errors.push(...restartErrors(container, path));
  if (role === "initContainers" && !isSidecar) {
    for (const part of ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"])
      if (container[part] !== undefined)
        errors.push(
          fieldForbidden(`${path}.${part}`, "may not be set for init containers without restartPolicy=Always"),
        );
    return [...errors, ...resizeErrors(container, path, facts.spec)];
  }
  const grace = facts.graceSeconds;
  errors.push(
    ...lifecycleErrors(container["lifecycle"] as Json | undefined, `${path}.lifecycle`, grace),
    ...probeErrors(container["livenessProbe"] as Json | undefined, `${path}.livenessProbe`, "liveness", grace),
    ...probeErrors(container["readinessProbe"] as Json | undefined, `${path}.readinessProbe`, "readiness", grace),
    ...probeErrors(container["startupProbe"] as Json | undefined, `${path}.startupProbe`, "startup", grace),
  );
  if (role === "containers") errors.push(...restartErrors(container, path));
  return [...errors, ...resizeErrors(container, path, facts.spec)];
}

const NOT_EPHEMERAL = [
  "ports",
  "resources",
  "resizePolicy",
  "restartPolicy",
  "restartPolicyRules",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
];

/** What a container that joins a running pod may not have. */
function ephemeralErrors(container: Json, path: string, spec: Json): FieldError[] {
  const target = container["targetContainerName"];
  const isThere = ["containers", "initContainers"].some((list) =>
    listAt(spec, list).some(({ name }) => name === target),
  );
  const isEmpty = (value: unknown) =>
    value === undefined || (typeof value === "object" && Object.keys(value as object).length === 0);
  return [
    ...(target && !isThere ? [fieldNotFound(`${path}.targetContainerName`, target)] : []),
    ...NOT_EPHEMERAL.flatMap((part) =>
      container[part] === undefined || (part === "resources" && isEmpty(container[part]))
        ? []
        : [fieldForbidden(`${path}.${part}`, "cannot be set for an Ephemeral Container")],
    ),
    ...listAt(container, "volumeMounts").flatMap((mount, at) =>
      ["subPath", "subPathExpr"].flatMap((part) =>
        mount[part]
          ? [fieldForbidden(`${path}.volumeMounts[${at}].${part}`, "cannot be set for an Ephemeral Container")]
          : [],
      ),
    ),
  ];
}

function restartErrors(container: Json, path: string): FieldError[] {
  const policy = container["restartPolicy"];
  const rules = listAt(container, "restartPolicyRules");
  const missing =
    rules.length === 0
      ? []
      : [fieldRequired(`${path}.restartPolicy`, "must specify restartPolicy when restart rules are used")];
  return [
    ...(policy === undefined
      ? missing
      : ["Always", "Never", "OnFailure"].includes(String(policy))
        ? []
        : [fieldNotSupported(`${path}.restartPolicy`, policy, ["Always", "Never", "OnFailure"])]),
    ...rules.flatMap((rule, at) => restartRuleErrors(rule, `${path}.restartPolicyRules[${at}]`)),
  ];
}

function restartRuleErrors({ action, exitCodes }: Json, path: string): FieldError[] {
  const actions = ["Restart", "RestartAllContainers"];
  const operators = ["In", "NotIn"];
  const operator = valueAt(exitCodes, "operator");
  return [
    ...(actions.includes(String(action)) ? [] : [fieldNotSupported(`${path}.action`, action ?? "", actions)]),
    ...(exitCodes === undefined
      ? [fieldRequired(`${path}.exitCodes`, "must be specified")]
      : operators.includes(String(operator))
        ? []
        : [fieldNotSupported(`${path}.exitCodes.operator`, operator ?? "", operators)]),
  ];
}

function resizeErrors(container: Json, path: string, spec: Json): FieldError[] {
  const wasThere = repetitions();
  const isNeverRestarted = spec["restartPolicy"] === "Never";
  return listAt(container, "resizePolicy").flatMap(({ resourceName, restartPolicy }, at) => {
    const errors: FieldError[] = [];
    if (wasThere(resourceName)) errors.push(fieldDuplicate(`${path}.resizePolicy[${at}]`, resourceName));
    if (!resourceName) errors.push(fieldRequired(`${path}.resizePolicy`));
    else if (resourceName !== "cpu" && resourceName !== "memory")
      errors.push(fieldNotSupported(`${path}.resizePolicy`, resourceName ?? "", ["cpu", "memory"]));
    if (!restartPolicy) errors.push(fieldRequired(`${path}.resizePolicy`));
    else if (restartPolicy !== "NotRequired" && restartPolicy !== "RestartContainer")
      errors.push(fieldNotSupported(`${path}.resizePolicy`, restartPolicy, ["NotRequired", "RestartContainer"]));
    if (isNeverRestarted && restartPolicy && restartPolicy !== "NotRequired")
      errors.push(
        fieldInvalid(
          `${path}.resizePolicy`,
          restartPolicy,
          "must be 'NotRequired' when pod `restartPolicy` is 'Never'",
        ),
      );
    return errors;
  });
}

function commonErrors(container: Json, path: string, facts: PodFacts): FieldError[] {
  const errors: FieldError[] = [...nameErrorsAt(container["name"], `${path}.name`)];
  const image = String(container["image"] ?? "");
  if (image === "") errors.push(fieldRequired(`${path}.image`));
  else if (image.trim() !== image)
    errors.push(fieldInvalid(`${path}.image`, image, "must not have leading or trailing whitespace"));
  const policy = container["terminationMessagePolicy"];
  if (!policy) errors.push(fieldRequired(`${path}.terminationMessagePolicy`));
  else if (policy !== "File" && policy !== "FallbackToLogsOnError")
    errors.push(fieldNotSupported(`${path}.terminationMessagePolicy`, policy, ["File", "FallbackToLogsOnError"]));
  const pull = container["imagePullPolicy"];
  errors.push(
    ...portErrors(container, path, facts.spec["hostNetwork"] === true),
    ...listAt(container, "env").flatMap((variable, at) => environmentErrors(variable, `${path}.env[${at}]`, facts)),
    ...environmentSourceErrors(listAt(container, "envFrom"), `${path}.envFrom`),
    ...mountErrors(container, path, facts),
    ...deviceErrors(container, path, facts),
    ...(pull && !["Always", "IfNotPresent", "Never"].includes(String(pull))
      ? [fieldNotSupported(`${path}.imagePullPolicy`, pull, ["Always", "IfNotPresent", "Never"])]
      : []),
    ...resourceErrors((container["resources"] ?? {}) as Json, `${path}.resources`, facts.claims),
    ...containerSecurityErrors(container, `${path}.securityContext`, facts.spec),
  );
  return errors;
}

function portErrors(container: Json, path: string, isOnHost: boolean): FieldError[] {
  const names = new Set<unknown>();
  return listAt(container, "ports").flatMap((port, at) => {
    const where = `${path}.ports[${at}]`;
    const errors: FieldError[] = [];
    if (port["name"]) {
      const wrong = portNameErrors(String(port["name"]), `${where}.name`);
      errors.push(...wrong);
      if (wrong.length === 0) {
        if (names.has(port["name"])) errors.push(fieldDuplicate(`${where}.name`, port["name"]));
        else names.add(port["name"]);
      }
    }
    if (!port["containerPort"]) errors.push(fieldRequired(`${where}.containerPort`));
    else if (!isPort(port["containerPort"]))
      errors.push(fieldInvalid(`${where}.containerPort`, port["containerPort"], PORT_TEXT));
    if (port["hostPort"]) {
      if (!isPort(port["hostPort"])) errors.push(fieldInvalid(`${where}.hostPort`, port["hostPort"], PORT_TEXT));
      if (isOnHost && port["hostPort"] !== port["containerPort"])
        errors.push(
          fieldInvalid(`${where}.hostPort`, port["hostPort"], "must match `containerPort` when `hostNetwork` is true"),
        );
    }
    if (!port["protocol"]) errors.push(fieldRequired(`${where}.protocol`));
    else if (!["SCTP", "TCP", "UDP"].includes(String(port["protocol"])))
      errors.push(fieldNotSupported(`${where}.protocol`, port["protocol"], ["SCTP", "TCP", "UDP"]));
    return errors;
  });
}

/** A variable from a file in a volume. */
function fileErrors(ref: Json, path: string, { volumes }: PodFacts): FieldError[] {
  const [volume, key, file] = ["volumeName", "key", "path"].map((part) => String(ref[part] ?? "")) as [
    string,
    string,
    string,
  ];
  return [
    ...(volume === ""
      ? [fieldRequired(`${path}.volumeName`)]
      : volumes.has(volume)
        ? []
        : [fieldNotFound(`${path}.volumeName`, volume)]),
    ...(key === ""
      ? [fieldRequired(`${path}.key`)]
      : ENV_NAME.test(key)
        ? []
        : [fieldInvalid(`${path}.key`, key, ENV_NAME_TEXT)]),
    ...(file === "" ? [fieldRequired(`${path}.path`)] : descendingErrors(file, `${path}.path`)),
  ];
}

function environmentErrors(variable: Json, path: string, facts: PodFacts): FieldError[] {
  const name = String(variable["name"] ?? "");
  const errors: FieldError[] = [];
  if (name === "") errors.push(fieldRequired(`${path}.name`));
  else if (!ENV_NAME.test(name)) errors.push(fieldInvalid(`${path}.name`, name, ENV_NAME_TEXT));
  const from = variable["valueFrom"] as Json | undefined;
  if (from === undefined) return errors;
  const where = `${path}.valueFrom`;
  let count = 0;
  if (from["fieldRef"] !== undefined) {
    count++;
    errors.push(...fieldRefErrors(from["fieldRef"] as Json, `${where}.fieldRef`));
  }
  if (from["resourceFieldRef"] !== undefined) {
    count++;
    errors.push(...resourceRefErrors(from["resourceFieldRef"] as Json, `${where}.resourceFieldRef`, false));
  }
  for (const kind of ["configMapKeyRef", "secretKeyRef"]) {
    const ref = from[kind] as Json | undefined;
    if (ref === undefined) continue;
    count++;
    errors.push(...subdomainErrorsAt(ref["name"] ?? "", `${where}.${kind}.name`));
    const key = String(ref["key"] ?? "");
    if (key === "") errors.push(fieldRequired(`${where}.${kind}.key`));
    else errors.push(...configKeyErrors(key, `${where}.${kind}.key`));
  }
  if (from["fileKeyRef"] !== undefined) {
    count++;
    errors.push(...fileErrors(from["fileKeyRef"] as Json, `${where}.fileKeyRef`, facts));
  }
  if (count === 0)
    errors.push(
      fieldInvalid(
        where,
        "",
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
      ),
    );
  else if (variable["value"]) errors.push(fieldInvalid(where, "", "may not be specified when `value` is not empty"));
  else if (count > 1) errors.push(fieldInvalid(where, "", "may not have more than one field specified at a time"));
  return errors;
}

function fieldRefErrors(ref: Json, path: string): FieldError[] {
  const version = String(ref["apiVersion"] ?? "");
  const field = String(ref["fieldPath"] ?? "");
  if (version === "") return [fieldRequired(`${path}.apiVersion`)];
  if (field === "") return [fieldRequired(`${path}.fieldPath`)];
  const [, part, key = ""] = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/.exec(field) ?? [];
  if (part !== undefined)
    return labelKeyErrors(part === "metadata.annotations" ? key.toLowerCase() : key).map((text) =>
      fieldInvalid(path, key, text),
    );
  const conversion = (why: string) => [fieldInvalid(`${path}.fieldPath`, field, `error converting fieldPath: ${why}`)];
  if (version !== "v1") return conversion(`unsupported pod version: ${version}`);
  if (!FIELD_PATHS.has(field)) {
    if (SELECTABLE.has(field)) return [fieldNotSupported(`${path}.fieldPath`, field, [...FIELD_PATHS].sort())];
    return conversion(`field label not supported: ${field}`);
  }
  return [];
}
/** Fields pods are selected by, which have names although no environment takes them. */
const SELECTABLE = new Set([
  "spec.restartPolicy",
  "spec.schedulerName",
  "spec.hostNetwork",
  "status.phase",
  "status.nominatedNodeName",
]);

/** Mistakes of a reference to a resource of a container; files must name the container. */
export function resourceRefErrors(ref: Json, path: string, needsContainer: boolean): FieldError[] {
  const resource = String(ref["resource"] ?? "");
  if (needsContainer && !ref["containerName"]) return [fieldRequired(`${path}.containerName`)];
  if (resource === "") return [fieldRequired(`${path}.resource`)];
  if (!CONTAINER_RESOURCES.includes(resource) && !/^(limits|requests)\.hugepages-/.test(resource))
    return [fieldNotSupported(`${path}.resource`, resource, CONTAINER_RESOURCES)];
  const divisor = String(ref["divisor"] ?? "0");
  const [kind, allowed] = resource.endsWith(".cpu")
    ? (["cpu", ["1m", "1"]] as const)
    : ([
        resource.slice(resource.indexOf(".") + 1),
        ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"],
      ] as const);
  if (divisor === "0" || (allowed as readonly string[]).includes(divisor)) return [];
  const values = kind === "cpu" ? "1m and 1" : "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
  return [
    fieldInvalid(
      `${path}.divisor`,
      resource,
      `only divisor's values ${values} are supported with the ${kind} resource`,
    ),
  ];
}

function environmentSourceErrors(sources: List, path: string): FieldError[] {
  return sources.flatMap((source, at) => {
    const where = `${path}[${at}]`;
    const errors: FieldError[] = [];
    if (source["prefix"] && !ENV_NAME.test(String(source["prefix"])))
      errors.push(fieldInvalid(`${where}.prefix`, source["prefix"], ENV_NAME_TEXT));
    let count = 0;
    for (const kind of ["configMapRef", "secretRef"]) {
      const ref = source[kind] as Json | undefined;
      if (ref === undefined) continue;
      count++;
      if (!ref["name"]) errors.push(fieldRequired(`${where}.${kind}.name`));
      else errors.push(...subdomainErrorsAt(ref["name"], `${where}.${kind}.name`));
    }
    if (count === 0) errors.push(fieldInvalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
    if (count > 1) errors.push(fieldInvalid(path, "", "may not have more than one field specified at a time"));
    return errors;
  });
}

function mountErrors(container: Json, path: string, { volumes }: PodFacts): FieldError[] {
  const hadMounted = repetitions();
  const devices = listAt(container, "volumeDevices");
  return listAt(container, "volumeMounts").flatMap((mount, at) => {
    const where = `${path}.volumeMounts[${at}]`;
    const all = `${path}.volumeMounts`;
    const { name, mountPath, subPath, subPathExpr, mountPropagation } = mount;
    const errors: FieldError[] = [];
    if (!name) errors.push(fieldRequired(`${where}.name`));
    if (!volumes.has(String(name ?? ""))) errors.push(fieldNotFound(`${where}.name`, name ?? ""));
    if (!mountPath) errors.push(fieldRequired(`${where}.mountPath`));
    if (hadMounted(mountPath)) errors.push(fieldInvalid(`${where}.mountPath`, mountPath, "must be unique"));
    if (devices.some((device) => device["name"] === name && name))
      errors.push(fieldInvalid(`${where}.name`, name, "must not already exist in volumeDevices"));
    const paths = devices.map((device) => device["devicePath"]);
    if (mountPath && paths.includes(mountPath))
      errors.push(fieldInvalid(`${where}.mountPath`, mountPath, "must not already exist as a path in volumeDevices"));
    if (subPath) errors.push(...descendingErrors(subPath, `${all}.subPath`));
    if (subPathExpr) {
      if (subPath)
        errors.push(
          fieldInvalid(`${where}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive"),
        );
      errors.push(...descendingErrors(subPathExpr, `${all}.subPathExpr`));
    }
    if (mountPropagation !== undefined) {
      if (!["Bidirectional", "HostToContainer", "None"].includes(String(mountPropagation)))
        errors.push(
          fieldNotSupported(`${all}.mountPropagation`, mountPropagation, ["Bidirectional", "HostToContainer", "None"]),
        );
      if (mountPropagation === "Bidirectional" && valueAt(container, "securityContext.privileged") !== true)
        errors.push(
          fieldForbidden(
            `${all}.mountPropagation`,
            "Bidirectional mount propagation is available only to privileged containers",
          ),
        );
    }
    errors.push(...recursiveErrors(mount, all));
    return errors;
  });
}

function recursiveErrors(mount: Json, path: string): FieldError[] {
  const wanted = mount["recursiveReadOnly"];
  if (wanted === undefined || wanted === "Disabled") return [];
  const where = `${path}.recursiveReadOnly`;
  if (wanted !== "Enabled" && wanted !== "IfPossible")
    return [fieldNotSupported(where, wanted, ["Disabled", "Enabled", "IfPossible"])];
  if (mount["readOnly"] !== true) return [fieldForbidden(where, "may only be specified when readOnly is true")];
  const propagation = mount["mountPropagation"];
  return propagation !== undefined && propagation !== "None"
    ? [fieldForbidden(where, "may only be specified when mountPropagation is None or not specified")]
    : [];
}

function deviceErrors(container: Json, path: string, { volumes }: PodFacts): FieldError[] {
  const paths = new Set<unknown>();
  const names = new Set<unknown>();
  const mounts = listAt(container, "volumeMounts");
  return listAt(container, "volumeDevices").flatMap((device, at) => {
    const where = `${path}.volumeDevices[${at}]`;
    const name = String(device["name"] ?? "");
    const devicePath = String(device["devicePath"] ?? "");
    const errors: FieldError[] = [];
    if (name === "") errors.push(fieldRequired(`${where}.name`));
    if (names.has(name)) errors.push(fieldInvalid(`${where}.name`, name, "must be unique"));
    const volume = volumes.get(name);
    if (volume === undefined) errors.push(fieldNotFound(`${where}.name`, name));
    else if (volume["persistentVolumeClaim"] === undefined && volume["ephemeral"] === undefined)
      errors.push(
        fieldInvalid(
          `${where}.name`,
          name,
          "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
        ),
      );
    if (devicePath === "") errors.push(fieldRequired(`${where}.devicePath`));
    if (paths.has(devicePath)) errors.push(fieldInvalid(`${where}.devicePath`, devicePath, "must be unique"));
    if (devicePath !== "" && hasBacksteps(devicePath))
      errors.push(fieldInvalid(`${where}.devicePath`, devicePath, "can not contain backsteps ('..')"));
    else paths.add(devicePath);
    if (name !== "" && mounts.some((mount) => mount["name"] === name))
      errors.push(fieldInvalid(`${where}.name`, name, "must not already exist in volumeMounts"));
    if (devicePath !== "" && mounts.some((mount) => mount["mountPath"] === devicePath))
      errors.push(fieldInvalid(`${where}.devicePath`, devicePath, "must not already exist as a path in volumeMounts"));
    if (name !== "") names.add(name);
    return errors;
  });
}

function lifecycleErrors(lifecycle: Json | undefined, path: string, grace: number): FieldError[] {
  return ["postStart", "preStop"].flatMap((part) => {
    const handler = lifecycle?.[part] as Json | undefined;
    return handler === undefined ? [] : handlerErrors(handler, `${path}.${part}`, grace);
  });
}

function handlerErrors(handler: Json, path: string, grace: number): FieldError[] {
  const errors: FieldError[] = [];
  let count = 0;
  for (const kind of HANDLERS) {
    const given = handler[kind] as Json | undefined;
    if (given === undefined) continue;
    count++;
    if (count > 1) errors.push(fieldForbidden(`${path}.${kind}`, "may not specify more than 1 handler type"));
    else errors.push(...oneHandlerErrors(kind, given, `${path}.${kind}`, grace));
  }
  if (count === 0) errors.push(fieldRequired(path, "must specify a handler type"));
  return errors;
}

function oneHandlerErrors(kind: string, handler: Json, path: string, grace: number): FieldError[] {
  switch (kind) {
    case "exec":
      return listAt(handler, "command").length === 0 ? [fieldRequired(`${path}.command`)] : [];
    case "httpGet":
      return [
        ...(handler["path"] ? [] : [fieldRequired(`${path}.path`)]),
        ...portNumberOrNameErrors(handler["port"], `${path}.port`),
        ...(["HTTP", "HTTPS"].includes(String(handler["scheme"]))
          ? []
          : [fieldNotSupported(`${path}.scheme`, handler["scheme"] ?? "", ["HTTP", "HTTPS"])]),
        ...listAt(handler, "httpHeaders").flatMap(({ name }) =>
          /^[-A-Za-z0-9]+$/.test(String(name ?? ""))
            ? []
            : [
                fieldInvalid(
                  `${path}.httpHeaders`,
                  name ?? "",
                  "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
                ),
              ],
        ),
      ];
    case "tcpSocket":
      return portNumberOrNameErrors(handler["port"], `${path}.port`);
    case "grpc":
      return isPort(handler["port"]) ? [] : [fieldInvalid(`${path}.port`, handler["port"] ?? 0, PORT_TEXT)];
    default: {
      const seconds = Number(handler["seconds"] ?? 0);
      return seconds < 0 || seconds > grace
        ? [fieldInvalid(path, seconds, `must be non-negative and less than terminationGracePeriodSeconds (${grace})`)]
        : [];
    }
  }
}

function portNumberOrNameErrors(port: unknown, path: string): FieldError[] {
  if (typeof port === "string") return portNameErrors(port, path);
  return isPort(port) ? [] : [fieldInvalid(path, port ?? 0, PORT_TEXT)];
}

function probeErrors(
  probe: Json | undefined,
  path: string,
  role: "liveness" | "readiness" | "startup",
  grace: number,
): FieldError[] {
  if (probe === undefined) return [];
  const errors = handlerErrors(probe, path, grace);
  for (const name of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ]) {
    const value = Number(probe[name] ?? 0);
    if (value < 0) errors.push(fieldInvalid(`${path}.${name}`, value, NOT_NEGATIVE));
  }
  const given = probe["terminationGracePeriodSeconds"];
  if (given !== undefined && Number(given) <= 0)
    errors.push(fieldInvalid(`${path}.terminationGracePeriodSeconds`, given, "must be greater than 0"));
  if (role === "readiness") {
    if (given !== undefined)
      errors.push(fieldInvalid(`${path}.terminationGracePeriodSeconds`, given, "must not be set for readinessProbes"));
  } else if (Number(probe["successThreshold"] ?? 0) !== 1)
    errors.push(fieldInvalid(`${path}.successThreshold`, probe["successThreshold"] ?? 0, "must be 1"));
  return errors;
}

const STANDARD = new Set([
  "cpu",
  "memory",
  "ephemeral-storage",
  "requests.cpu",
  "requests.memory",
  "requests.ephemeral-storage",
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "storage",
  "requests.storage",
  "services.nodeports",
  "services.loadbalancers",
]);
export const isStandardResource = (name: string): boolean =>
  STANDARD.has(name) || /^(requests\.|limits\.)?hugepages-/.test(name);
const FOR_CONTAINERS = new Set(["cpu", "memory", "ephemeral-storage"]);
const isHugePage = (name: string) => name.startsWith("hugepages-");
const isNative = (name: string) => !name.includes("/") || name.includes("kubernetes.io/");
const isExtended = (name: string) =>
  !isNative(name) && !name.startsWith("requests.") && labelKeyErrors(`requests.${name}`).length === 0;

/** Whether more of a resource may be asked for than there is. */
export const canOvercommit = (name: string): boolean => isNative(name) && !isHugePage(name);

/** Mistakes of the name of a resource that containers ask for. */
export function containerResourceErrors(name: string, path: string, isOfPod = false): FieldError[] {
  const wrong = labelKeyErrors(name).map((text) => fieldInvalid(path, name, text));
  if (wrong.length === 0 && !name.includes("/") && !isStandardResource(name))
    wrong.push(fieldInvalid(path, name, "must be a standard resource type or fully qualified"));
  if (!name.includes("/")) {
    if (!isOfPod && !FOR_CONTAINERS.has(name) && !isHugePage(name))
      wrong.push(fieldInvalid(path, name, "must be a standard resource for containers"));
  } else if (!isNative(name) && !isExtended(name))
    wrong.push(fieldInvalid(path, name, "doesn't follow extended resource name standard"));
  return wrong;
}

/** A quantity that counts whole things is whole, and none is negative. */
export function containerAmountErrors(name: string, amount: string, path: string): FieldError[] {
  const quantity = parseQuantity(amount);
  if (quantity === undefined) return [];
  if (quantity.nano < 0n) return [fieldInvalid(path, amount, NOT_NEGATIVE)];
  const isWhole = quantity.nano % 1_000_000_000n === 0n;
  return isExtended(name) && !isWhole ? [fieldInvalid(path, amount, "must be an integer")] : [];
}

/** Mistakes of what a container, or a whole pod, asks for and may have. */
export function resourceErrors(
  resources: Json,
  path: string,
  claims: ReadonlySet<string>,
  isOfPod = false,
): FieldError[] {
  const limits = (resources["limits"] ?? {}) as Readonly<Record<string, string>>;
  const requests = (resources["requests"] ?? {}) as Readonly<Record<string, string>>;
  const errors: FieldError[] = [];
  let hasHugePages = false;
  let hasOthers = false;
  const note = (name: string) => {
    if (isHugePage(name)) hasHugePages = true;
    if (name === "cpu" || name === "memory") hasOthers = true;
  };
  for (const [name, amount] of Object.entries(limits)) {
    const where = `${path}.limits[${name}]`;
    errors.push(...containerResourceErrors(name, where, isOfPod), ...containerAmountErrors(name, amount, where));
    note(name);
  }
  for (const [name, amount] of Object.entries(requests)) {
    const where = `${path}.requests[${name}]`;
    errors.push(...containerResourceErrors(name, where, isOfPod), ...containerAmountErrors(name, amount, where));
    const limit = limits[name];
    const [asked, most] = [parseQuantity(amount), parseQuantity(limit ?? "")];
    if (limit !== undefined && asked !== undefined && most !== undefined) {
      const order = compareQuantities(asked, most);
      if (order !== 0 && !canOvercommit(name))
        errors.push(fieldInvalid(`${path}.requests`, amount, `must be equal to ${name} limit of ${limit}`));
      else if (order > 0)
        errors.push(
          fieldInvalid(`${path}.requests`, amount, `must be less than or equal to ${name} limit of ${limit}`),
        );
    } else if (!canOvercommit(name))
      errors.push(fieldRequired(`${path}.limits`, "Limit must be set for non overcommitable resources"));
    note(name);
  }
  const wasThere = repetitions();
  for (const [at, claim] of listAt(resources, "claims").entries()) {
    const where = `${path}.claims[${at}]`;
    const name = String(claim["name"] ?? "");
    if (name === "") errors.push(fieldRequired(where));
    else {
      const request = String(claim["request"] ?? "");
      const whole = request === "" ? name : `${name}/${request}`;
      if (request !== "") errors.push(...nameErrorsAt(request, `${where}.request`));
      if (wasThere(whole)) errors.push(fieldDuplicate(where, whole));
      if (!claims.has(name)) {
        const known = claims.size === 0 ? " which is empty" : `: ${[...claims].sort().join(", ")}`;
        const missing = fieldNotFound(where, name);
        errors.push({
          ...missing,
          message: `${missing.message}: must be one of the names in pod.spec.resourceClaims${known}`,
        });
      }
    }
  }
  if (hasHugePages && !hasOthers) errors.push(fieldForbidden(path, "HugePages require cpu or memory"));
  return errors;
}
