/** Security contexts of pods and containers, in the order and the words of kube-apiserver. */
import {
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
} from "#machinery";
import { listAt, repetitions, valueAt } from "./checks.ts";
import { goValue } from "./go-values.ts";
import { subdomainErrorsAt } from "./name-checks.ts";
import { descendingErrors } from "./pod-paths.ts";
import type { Json } from "./pod-defaults.ts";

const WINDOWS_USER_MAX = 104;
const ID_MAX = 2_147_483_647;
const SYSCTL = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;
const SYSCTL_TEXT =
  "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

export function idErrors(value: unknown, path: string): FieldError[] {
  return typeof value === "number" && (value < 0 || value > ID_MAX)
    ? [fieldInvalid(path, value, `must be between 0 and ${ID_MAX}, inclusive`)]
    : [];
}

function oneOf(value: unknown, path: string, allowed: readonly string[]): FieldError[] {
  return value === undefined || allowed.includes(String(value)) ? [] : [fieldNotSupported(path, value, allowed)];
}

function seccompErrors(profile: Json | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const { type, localhostProfile } = profile;
  const place = `${path}.localhostProfile`;
  if (type === "Localhost")
    return localhostProfile === undefined
      ? [fieldRequired(place, "must be set when seccomp type is Localhost")]
      : descendingErrors(localhostProfile, place);
  return [
    ...(type
      ? oneOf(type, `${path}.type`, ["Localhost", "RuntimeDefault", "Unconfined"])
      : [fieldRequired(`${path}.type`, "type is required when seccompProfile is set")]),
    ...(localhostProfile === undefined
      ? []
      : [fieldInvalid(place, goValue("SeccompProfile", profile), "can only be set when seccomp type is Localhost")]),
  ];
}

function appArmorErrors(profile: Json | undefined, path: string): FieldError[] {
  if (profile === undefined) return [];
  const { type, localhostProfile } = profile;
  const place = `${path}.localhostProfile`;
  if (type === "Localhost") {
    if (localhostProfile === undefined) return [fieldRequired(place, "must be set when AppArmor type is Localhost")];
    const text = String(localhostProfile);
    const errors: FieldError[] = [];
    if (text.trim() !== text) errors.push(fieldInvalid(place, text, "must not be padded with whitespace"));
    else if (text === "") errors.push(fieldRequired(place, "must be set when AppArmor type is Localhost"));
    if (text.length > 4095)
      errors.push({ type: "FieldValueTooLong", field: place, message: "Too long: may not be more than 4095 bytes" });
    return errors;
  }
  if (!type) return [fieldRequired(`${path}.type`, "type is required when appArmorProfile is set")];
  if (type === "RuntimeDefault" || type === "Unconfined")
    return localhostProfile === undefined
      ? []
      : [fieldInvalid(place, localhostProfile, "can only be set when AppArmor type is Localhost")];
  return [fieldNotSupported(`${path}.type`, type, ["Localhost", "RuntimeDefault", "Unconfined"])];
}

function windowsErrors(options: Json | undefined, path: string): FieldError[] {
  if (options === undefined) return [];
  const errors: FieldError[] = [];
  const { gmsaCredentialSpecName: specName, gmsaCredentialSpec: spec, runAsUserName: user } = options;
  if (specName !== undefined) errors.push(...subdomainErrorsAt(specName, `${path}.gmsaCredentialSpecName`));
  if (spec !== undefined) {
    if (spec === "")
      errors.push(fieldInvalid(`${path}.gmsaCredentialSpec`, spec, "gmsaCredentialSpec cannot be an empty string"));
    else if (String(spec).length > 64 * 1024)
      errors.push(fieldInvalid(`${path}.gmsaCredentialSpec`, spec, "gmsaCredentialSpec size must be under 65536"));
  }
  if (user !== undefined) errors.push(...windowsUserErrors(String(user), `${path}.runAsUserName`));
  return errors;
}

function windowsUserErrors(user: string, path: string): FieldError[] {
  if (user === "") return [fieldInvalid(path, user, "runAsUserName cannot be an empty string")];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  if (/[\u0000-\u001f\u007f]/.test(user))
    return [fieldInvalid(path, user, "runAsUserName cannot contain control characters")];
  const parts = user.split("\\");
  if (parts.length > 2) return [fieldInvalid(path, user, "runAsUserName cannot contain more than one backslash")];
  if ((parts.at(-1) ?? "").length > WINDOWS_USER_MAX)
    return [
      fieldInvalid(path, user, `runAsUserName's User length must not be longer than ${WINDOWS_USER_MAX} characters`),
    ];
  return [];
}

/** The namespace a kernel parameter belongs to, by the field that shares the host's. */
function sharedBySysctl(name: string): "hostIPC" | "hostNetwork" | undefined {
  const dotted = name.replaceAll("/", ".");
  if (/^(?:kernel\.(?:shm|msg)|fs\.mqueue\.)/.test(dotted) || dotted === "kernel.sem") return "hostIPC";
  return dotted.startsWith("net.") ? "hostNetwork" : undefined;
}

/** A pod's security context, with the namespaces of its host. `before` is the spec the pod had. */
export function podSecurityErrors(spec: Json, path: string, before?: Json): FieldError[] {
  // Who had a policy may have any.
  const hadPolicy = valueAt(before, "securityContext.seLinuxChangePolicy") !== undefined;
  const policies = [...(hadPolicy ? ["MountOption"] : []), "Recursive"];
  const context = (spec["securityContext"] ?? {}) as Json;
  const where = `${path}.securityContext`;
  const errors: FieldError[] = [];
  for (const name of ["fsGroup", "runAsUser", "runAsGroup"])
    errors.push(...idErrors(context[name], `${where}.${name}`));
  for (const [at, group] of listAt(context, "supplementalGroups").entries())
    errors.push(...idErrors(group, `${where}.supplementalGroups[${at}]`));
  if (spec["shareProcessNamespace"] === true && spec["hostPID"] === true)
    errors.push(
      fieldInvalid(`${where}.shareProcessNamespace`, true, "ShareProcessNamespace and HostPID cannot both be enabled"),
    );
  const sysctls = listAt(context, "sysctls");
  const wasThere = repetitions();
  for (const [at, { name }] of sysctls.entries()) {
    const place = `${where}.sysctls[${at}].name`;
    if (!name) errors.push(fieldRequired(place));
    else if (String(name).length > 253 || !SYSCTL.test(String(name)))
      errors.push(fieldInvalid(place, name, SYSCTL_TEXT));
    else if (wasThere(name)) errors.push(fieldDuplicate(place, name));
    const shared = sharedBySysctl(String(name ?? ""));
    if (shared !== undefined && spec[shared] === true)
      errors.push(fieldInvalid(place, name, `may not be specified when '${shared}' is true`));
  }
  errors.push(
    ...oneOf(context["fsGroupChangePolicy"], `${where}.fsGroupChangePolicy`, ["Always", "OnRootMismatch"]),
    ...seccompErrors(context["seccompProfile"] as Json | undefined, `${where}.seccompProfile`),
    ...windowsErrors(context["windowsOptions"] as Json | undefined, `${where}.windowsOptions`),
    ...appArmorErrors(context["appArmorProfile"] as Json | undefined, `${where}.appArmorProfile`),
    ...oneOf(context["supplementalGroupsPolicy"], `${where}.supplementalGroupsPolicy`, ["Merge", "Strict"]),
    ...oneOf(context["seLinuxChangePolicy"], `${where}.seLinuxChangePolicy`, policies),
  );
  return errors;
}

/** A container's security context. */
export function containerSecurityErrors(container: Json, path: string, spec: Json): FieldError[] {
  const context = container["securityContext"] as Json | undefined;
  if (context === undefined) return [];
  const errors: FieldError[] = [];
  for (const name of ["runAsUser", "runAsGroup"]) errors.push(...idErrors(context[name], `${path}.${name}`));
  const mount = context["procMount"];
  if (mount !== undefined) {
    errors.push(...oneOf(mount, `${path}.procMount`, ["Default", "Unmasked"]));
    if (mount === "Unmasked" && spec["hostUsers"] !== false)
      errors.push(fieldInvalid(`${path}.procMount`, mount, "`hostUsers` must be false to use `Unmasked`"));
  }
  errors.push(...seccompErrors(context["seccompProfile"] as Json | undefined, `${path}.seccompProfile`));
  if (context["allowPrivilegeEscalation"] === false) {
    const refuse = (what: string) =>
      errors.push(
        fieldInvalid(
          path,
          goValue("SecurityContext", context),
          `cannot set \`allowPrivilegeEscalation\` to false and ${what}`,
        ),
      );
    if (context["privileged"] === true) refuse("`privileged` to true");
    if (listAt(context, "capabilities.add").some((name) => (name as unknown) === "CAP_SYS_ADMIN"))
      refuse("`capabilities.Add` CAP_SYS_ADMIN");
  }
  errors.push(
    ...windowsErrors(context["windowsOptions"] as Json | undefined, `${path}.windowsOptions`),
    ...appArmorErrors(context["appArmorProfile"] as Json | undefined, `${path}.appArmorProfile`),
  );
  return errors;
}

/** All containers of a pod, each with the place where it stands. */
export const everyContainer = (spec: Json): readonly (readonly [string, Json])[] =>
  ["initContainers", "containers", "ephemeralContainers"].flatMap((list) =>
    listAt(spec, list).map((container, at) => [`${list}[${at}]`, container] as const),
  );

/** Containers that run as processes of a Windows host. */
export function hostProcessErrors(spec: Json, path: string): FieldError[] {
  const ofPod = valueAt(spec, "securityContext.windowsOptions.hostProcess");
  const containers = everyContainer(spec);
  let count = 0;
  const errors: FieldError[] = [];
  for (const [place, container] of containers) {
    const own = valueAt(container, "securityContext.windowsOptions.hostProcess");
    if (ofPod !== undefined && own !== undefined && ofPod !== own)
      errors.push(
        fieldInvalid(
          `${path}.${place}.securityContext.windowsOptions.hostProcess`,
          own,
          `pod hostProcess value must be identical if both are specified, was ${String(ofPod)}`,
        ),
      );
    if ((own ?? ofPod) === true) count++;
  }
  if (count === 0) return errors;
  if (count < containers.length)
    errors.push(
      fieldInvalid(
        path,
        "",
        "If pod contains any hostProcess containers then all containers must be HostProcess containers",
      ),
    );
  if (spec["hostNetwork"] !== true)
    errors.push(
      fieldInvalid(`${path}.hostNetwork`, false, "hostNetwork must be true if pod contains any hostProcess containers"),
    );
  return errors;
}

/** A pod with users of its own shares no namespace and no device with its host. */
export function hostUserErrors(spec: Json, path: string): FieldError[] {
  if (spec["hostUsers"] !== false) return [];
  // Two of them are named with Go's names.
  const shared = ["hostNetwork", "hostPID", "hostIPC"]
    .filter((name) => spec[name] === true)
    .map((name) => name.replace(/^host(?=PID|IPC)/, "Host"));
  const devices = everyContainer(spec)
    .filter(([, container]) => listAt(container, "volumeDevices").length > 0)
    .map(([place]) => `${place}.volumeDevices`);
  return [...shared, ...devices].map((place) => fieldForbidden(`${path}.${place}`, "when `hostUsers` is false"));
}

const WINDOWS_FORBIDS_OF_POD: readonly string[] = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "fsGroup",
  "fsGroupChangePolicy",
  "sysctls",
  "runAsUser",
  "runAsGroup",
  "supplementalGroups",
  "supplementalGroupsPolicy",
];
const WINDOWS_FORBIDS: readonly string[] = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "capabilities",
  "readOnlyRootFilesystem",
  "privileged",
  "allowPrivilegeEscalation",
  "procMount",
  "runAsUser",
  "runAsGroup",
];

/** Parts of a pod that its operating system does not know. */
export function systemErrors(spec: Json, path: string): FieldError[] {
  const system = spec["os"] as Json | undefined;
  if (system === undefined) return [];
  const name = String(system["name"] ?? "");
  if (name === "") return [fieldRequired(`${path}.os.name`)];
  if (name !== "linux" && name !== "windows") return [fieldNotSupported(`${path}.os`, name, ["linux", "windows"])];
  if (name === "linux") {
    const text = "windows options cannot be set for a linux pod";
    return [
      ...(valueAt(spec, "securityContext.windowsOptions") === undefined
        ? []
        : [fieldForbidden(`${path}.securityContext.windowsOptions`, text)]),
      ...everyContainer(spec).flatMap(([place, container]) =>
        valueAt(container, "securityContext.windowsOptions") === undefined
          ? []
          : [fieldForbidden(`${path}.${place}.securityContext.windowsOptions`, text)],
      ),
    ];
  }
  const refuse = (place: string) => fieldForbidden(`${path}.${place}`, "cannot be set for a windows pod");
  const isSet = (value: unknown) =>
    value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0);
  return [
    ...(spec["hostUsers"] === undefined ? [] : [refuse("hostUsers")]),
    ...["hostPID", "hostIPC"].filter((key) => spec[key] === true).map(refuse),
    ...WINDOWS_FORBIDS_OF_POD.filter((key) => isSet(valueAt(spec, `securityContext.${key}`))).map((key) =>
      refuse(`securityContext.${key}`),
    ),
    ...(spec["shareProcessNamespace"] === undefined ? [] : [refuse("shareProcessNamespace")]),
    ...everyContainer(spec).flatMap(([place, container]) =>
      WINDOWS_FORBIDS.filter((key) => valueAt(container, `securityContext.${key}`) !== undefined).map((key) =>
        refuse(`${place}.securityContext.${key}`),
      ),
    ),
  ];
}
