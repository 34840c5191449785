/** What the status of a pod must keep to when it is written, in kube-apiserver's words. */
import { isIP } from "node:net";
import {
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  type KubeObject,
  labelKeyErrors,
} from "#machinery";
import { ipErrors, listAt, repetitions, valueAt } from "./checks.ts";
import { subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";
import { idErrors } from "./pod-security.ts";

const HEALTH = ["Healthy", "Unhealthy", "Unknown"];
const STATUSES = [
  ["containers", "containerStatuses"],
  ["initContainers", "initContainerStatuses"],
  ["ephemeralContainers", "ephemeralContainerStatuses"],
] as const;

export function podStatusErrors(pod: KubeObject, old: KubeObject): FieldError[] {
  const [status, before] = [pod, old].map((object) => (valueAt(object, "status") ?? {}) as Json) as [Json, Json];
  const spec = (valueAt(pod, "spec") ?? {}) as Json;
  return [
    ...listAt(status, "conditions").flatMap(({ type, observedGeneration }, at) => [
      ...labelKeyErrors(String(type ?? "")).map((text) =>
        fieldInvalid(`status.conditions[${at}].Type`, type ?? "", text),
      ),
      ...generationErrors(observedGeneration, `status.conditions[${at}].observedGeneration`),
    ]),
    ...nominationErrors(status, before, spec),
    ...generationErrors(status["observedGeneration"], "status.observedGeneration"),
    ...claimErrors(status, spec),
    ...(status["qosClass"] === before["qosClass"]
      ? []
      : [fieldInvalid("status.qosClass", status["qosClass"] ?? "", "field is immutable")]),
    ...podAddressErrors(status),
    ...hostAddressErrors(status),
    ...STATUSES.flatMap(([list, statuses]) =>
      listAt(status, statuses).flatMap((one, at) =>
        containerErrors(
          one,
          listAt(spec, list).find(({ name }) => name === one["name"]),
          `status.${statuses}[${at}]`,
        ),
      ),
    ),
  ];
}

const generationErrors = (value: unknown, path: string): FieldError[] =>
  typeof value === "number" && value < 0 ? [fieldInvalid(path, value, "must be a non-negative integer")] : [];

function nominationErrors(status: Json, before: Json, spec: Json): FieldError[] {
  const [path, name] = ["status.nominatedNodeName", status["nominatedNodeName"]];
  if (!name) return [];
  return [
    ...subdomainErrorsAt(name, path),
    ...(spec["nodeName"] && name !== before["nominatedNodeName"]
      ? [fieldForbidden(path, "may not be set on pods that are already bound to a node")]
      : []),
  ];
}

function claimErrors(status: Json, spec: Json): FieldError[] {
  const names = new Set(listAt(spec, "resourceClaims").map(({ name }) => name));
  const wasThere = repetitions();
  return listAt(status, "resourceClaimStatuses").flatMap(({ name, resourceClaimName }, at) => {
    const path = `status.resourceClaimStatuses[${at}]`;
    const isRepeated = wasThere(name);
    return [
      ...(names.has(name)
        ? []
        : [fieldInvalid(`${path}.name`, name ?? "", "must match the name of an entry in `spec.resourceClaims`")]),
      ...(isRepeated ? [fieldDuplicate(`${path}.name`, name)] : []),
      ...(resourceClaimName !== undefined ? subdomainErrorsAt(resourceClaimName, `${path}.resourceClaimName`) : []),
    ];
  });
}

/** Mistakes of a list of one address, or one of each family; the first of a pod's is the one it had when there was one. */
function addressErrors(addresses: readonly string[], path: string): FieldError[] {
  const errors = addresses.flatMap((address, at) => ipErrors(address, `${path}[${at}]`));
  if (addresses.length < 2) return errors;
  const wrong = addresses.findIndex((address) => isIP(address) === 0);
  if (wrong >= 0) errors.push({ type: "InternalError", field: path, message: notDual(wrong, addresses[wrong]) });
  // Addresses of which one is none are not of two families.
  if (wrong >= 0 || addresses.length > 2 || new Set(addresses.map(isIP)).size < addresses.length)
    errors.push(
      fieldInvalid(
        path,
        addresses.map((address) => ({ IP: address })),
        "may specify no more than one IP for each IP family",
      ),
    );
  return errors;
}

const notDual = (at: number, address = "") =>
  `Internal error: failed to check for dual stack with error:invalid IP[${at}]: ${address}`;

function podAddressErrors(status: Json): FieldError[] {
  const [first, ...others] = listAt(status, "podIPs").map(({ ip }) => String(ip ?? ""));
  const old = status["podIP"] ? String(status["podIP"]) : undefined;
  const addresses = old === undefined || old === first ? (first === undefined ? [] : [first, ...others]) : [old];
  return addressErrors(addresses, "status.podIPs");
}

function hostAddressErrors(status: Json): FieldError[] {
  const addresses = listAt(status, "hostIPs").map(({ ip }) => String(ip ?? ""));
  const [first] = addresses;
  if (first === undefined) return [];
  return [
    ...(first === (status["hostIP"] ?? "")
      ? []
      : [fieldInvalid("status.hostIPs[0].ip", first, "must be equal to `hostIP`")]),
    ...addressErrors(addresses, "status.hostIPs"),
  ];
}

/** What a container is said to use: amounts it asked for, and ids in their range. */
function containerErrors(status: Json, container: Json | undefined, path: string): FieldError[] {
  const user = (valueAt(status, "user.linux") ?? {}) as Json;
  const where = `${path}.user.linux`;
  const groups = listAt(user, "supplementalGroups") as readonly unknown[];
  return [
    ...listAt(status, "allocatedResourcesStatus").flatMap((one, at) => {
      const place = `${path}.allocatedResourcesStatus[${at}]`;
      return [
        ...(container === undefined || isAskedFor(String(one["name"] ?? ""), container)
          ? []
          : [fieldInvalid(`${place}.name`, one["name"] ?? "", "must match one of the container's resource requests")]),
        ...healthErrors(listAt(one, "resources"), `${place}.resources`),
      ];
    }),
    ...idErrors(user["uid"], `${where}.uid`),
    ...idErrors(user["gid"], `${where}.gid`),
    ...groups.flatMap((group, at) => idErrors(group, `${where}.supplementalGroups[${at}]`)),
  ];
}

function healthErrors(resources: readonly Json[], path: string): FieldError[] {
  const wasThere = repetitions();
  return resources.flatMap(({ resourceID, health }, at) => {
    const isRepeated = wasThere(resourceID);
    return [
      ...(isRepeated ? [fieldDuplicate(`${path}[${at}].resourceID`, resourceID)] : []),
      ...(HEALTH.includes(String(health)) ? [] : [fieldNotSupported(`${path}[${at}].health`, health ?? "", HEALTH)]),
    ];
  });
}

/** Whether a container asks for a resource, or for a claim and one of its requests. */
function isAskedFor(name: string, container: Json): boolean {
  if (Object.hasOwn((valueAt(container, "resources.requests") ?? {}) as object, name)) return true;
  return listAt(container, "resources.claims").some(
    ({ name: claim, request }) => name === `claim:${String(claim)}${request ? `/${String(request)}` : ""}`,
  );
}
