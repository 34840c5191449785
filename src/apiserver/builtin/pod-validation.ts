import {
  compareQuantities,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldRequired,
  getPath,
  type KubeObject,
  DNS_LABEL,
  DNS_LABEL_TEXT,
  parseQuantity,
} from "#machinery";
import { deepEqual } from "#base";
import type { Json } from "./pod-defaults.ts";
import { containerRules, podRules } from "./pod-rules.ts";

type List = readonly Json[];

const PORT_TEXT = "must be between 1 and 65535, inclusive";
const NOT_NEGATIVE = "must be greater than or equal to 0";

const listOf = (value: Json | undefined, name: string): List =>
  Array.isArray(value?.[name]) ? (value[name] as List) : [];
const isPort = (value: unknown) => typeof value === "number" && value >= 1 && value <= 65_535;

/** A name that must be there, be a DNS label, and not be used twice. */
function nameErrors(name: unknown, path: string, seen: Set<unknown>): FieldError[] {
  if (!name) return [fieldRequired(path)];
  if (typeof name === "string" && name.length > 63) return [fieldInvalid(path, name, "must be no more than 63 bytes")];
  if (typeof name === "string" && !DNS_LABEL.test(name)) return [fieldInvalid(path, name, DNS_LABEL_TEXT)];
  if (seen.has(name)) return [fieldDuplicate(path, name)];
  seen.add(name);
  return [];
}

/** Specs without a mistake. A workload's template goes through many hands and stays the same object. */
const sound = new WeakSet<Json>();

/** Mistakes of a pod's spec, with kube-apiserver's words; `claimed` are volumes that come with the pod's own claims. */
export function podSpecErrors(spec: Json | undefined, path: string, claimed: readonly unknown[] = []): FieldError[] {
  if (spec === undefined || claimed.length > 0) return mistakesOf(spec, path, claimed);
  if (sound.has(spec)) return [];
  const errors = mistakesOf(spec, path, claimed);
  if (errors.length === 0) sound.add(spec);
  return errors;
}

function mistakesOf(spec: Json | undefined, path: string, claimed: readonly unknown[]): FieldError[] {
  const errors: FieldError[] = [];
  const volumes = new Set<unknown>();
  for (const [at, volume] of listOf(spec, "volumes").entries()) {
    errors.push(...nameErrors(volume["name"], `${path}.volumes[${at}].name`, volumes));
    if (Object.keys(volume).length > 2)
      errors.push(
        fieldForbidden(
          `${path}.volumes[${at}].${Object.keys(volume)
            .filter((key) => key !== "name")
            .at(-1)}`,
          "may not specify more than 1 volume type",
        ),
      );
  }
  for (const name of claimed) volumes.add(name);
  const containers = listOf(spec, "containers");
  if (containers.length === 0) errors.push(fieldRequired(`${path}.containers`));
  const names = new Set<unknown>();
  for (const list of ["containers", "initContainers"])
    for (const [at, container] of listOf(spec, list).entries())
      errors.push(
        ...containerErrors(container, `${path}.${list}[${at}]`, names, volumes),
        ...containerRules(container, `${path}.${list}[${at}]`, {
          isInit: list === "initContainers",
          onHost: spec?.["hostNetwork"] === true,
        }),
      );
  if (spec !== undefined) errors.push(...podRules(spec, path));
  const deadline = spec?.["activeDeadlineSeconds"];
  if (typeof deadline === "number" && (deadline < 1 || deadline > 2_147_483_647))
    errors.push(fieldInvalid(`${path}.activeDeadlineSeconds`, deadline, "must be between 1 and 2147483647, inclusive"));
  return errors;
}

function containerErrors(
  container: Json,
  path: string,
  names: Set<unknown>,
  volumes: ReadonlySet<unknown>,
): FieldError[] {
  const errors = nameErrors(container["name"], `${path}.name`, names);
  const image = container["image"];
  if (!image) errors.push(fieldRequired(`${path}.image`));
  else if (typeof image === "string" && image.trim() !== image)
    errors.push(fieldInvalid(`${path}.image`, image, "must not have leading or trailing whitespace"));
  const portNames = new Set<unknown>();
  for (const [at, port] of listOf(container, "ports").entries()) {
    const where = `${path}.ports[${at}]`;
    if (port["name"]) {
      if (portNames.has(port["name"])) errors.push(fieldDuplicate(`${where}.name`, port["name"]));
      portNames.add(port["name"]);
      errors.push(...portNameErrors(String(port["name"]), `${where}.name`));
    }
    if (!port["containerPort"]) errors.push(fieldRequired(`${where}.containerPort`));
    else if (!isPort(port["containerPort"]))
      errors.push(fieldInvalid(`${where}.containerPort`, port["containerPort"], PORT_TEXT));
    if (port["hostPort"] && !isPort(port["hostPort"]))
      errors.push(fieldInvalid(`${where}.hostPort`, port["hostPort"], PORT_TEXT));
  }
  for (const [at, variable] of listOf(container, "env").entries()) {
    if (!variable["name"]) errors.push(fieldRequired(`${path}.env[${at}].name`));
    if (variable["value"] && variable["valueFrom"])
      errors.push(fieldInvalid(`${path}.env[${at}].valueFrom`, "", "may not be specified when `value` is not empty"));
  }
  const mounted = new Set<unknown>();
  for (const [at, mount] of listOf(container, "volumeMounts").entries()) {
    const where = `${path}.volumeMounts[${at}]`;
    if (!mount["name"]) errors.push(fieldRequired(`${where}.name`));
    else if (!volumes.has(mount["name"])) errors.push(fieldNotFound(`${where}.name`, mount["name"]));
    if (!mount["mountPath"]) errors.push(fieldRequired(`${where}.mountPath`));
    else if (mounted.has(mount["mountPath"]))
      errors.push(fieldInvalid(`${where}.mountPath`, mount["mountPath"], "must be unique"));
    mounted.add(mount["mountPath"]);
  }
  errors.push(...resourceErrors(container["resources"] as Json | undefined, `${path}.resources`));
  return errors;
}

/** Mistakes of a port's name, all that apply. */
export function portNameErrors(name: string, path: string): FieldError[] {
  const wrong: readonly (readonly [boolean, string])[] = [
    [name.length > 15, "must be no more than 15 characters"],
    [!/^[-a-z0-9]+$/.test(name), "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"],
    [!/[a-z]/.test(name), "must contain at least one letter (a-z)"],
    [name.includes("--"), "must not contain consecutive hyphens"],
    [/^-|-$/.test(name), "must not begin or end with a hyphen"],
  ];
  return wrong.filter(([isWrong]) => isWrong).map(([, text]) => fieldInvalid(path, name, text));
}

function resourceErrors(resources: Json | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const limits = (resources?.["limits"] ?? {}) as Readonly<Record<string, string>>;
  const requests = (resources?.["requests"] ?? {}) as Readonly<Record<string, string>>;
  for (const [part, amounts] of [
    ["limits", limits],
    ["requests", requests],
  ] as const)
    for (const [name, amount] of Object.entries(amounts)) {
      const quantity = parseQuantity(amount);
      if (quantity !== undefined && quantity.nano < 0n)
        errors.push(fieldInvalid(`${path}.${part}[${name}]`, amount, NOT_NEGATIVE));
    }
  for (const [name, amount] of Object.entries(requests)) {
    const request = parseQuantity(amount);
    const limit = parseQuantity(limits[name] ?? "");
    if (request !== undefined && limit !== undefined && compareQuantities(request, limit) > 0)
      errors.push(
        fieldInvalid(`${path}.requests`, amount, `must be less than or equal to ${name} limit of ${limits[name]}`),
      );
  }
  return errors;
}

const POD_UPDATE =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** A pod keeps its spec: images, tolerations and deadlines may change, and its node may be chosen once. */
export function podUpdateErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const before = (getPath(old, "spec") ?? {}) as Json;
  const after = (getPath(object, "spec") ?? {}) as Json;
  if (before === after) return [];
  const fixed = (spec: Json): Json => {
    const {
      activeDeadlineSeconds: _a,
      tolerations: _t,
      terminationGracePeriodSeconds: _g,
      schedulingGates: _s,
      ephemeralContainers: _e,
      ...rest
    } = spec as Json & Record<string, unknown>;
    if (!before["nodeName"]) delete (rest as Record<string, unknown>)["nodeName"];
    const withoutImages = (list: unknown) =>
      Array.isArray(list) ? (list as List).map(({ image: _image, ...container }) => container) : list;
    return {
      ...rest,
      containers: withoutImages(rest["containers"]),
      initContainers: withoutImages(rest["initContainers"]),
    };
  };
  return deepEqual(fixed(after), fixed(before)) ? [] : [fieldForbidden("spec", POD_UPDATE)];
}
