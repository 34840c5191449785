/** LimitRanger: pods get the defaults of their namespace's LimitRanges; pods and claims must keep to their bounds. */
import {
  compareQuantities,
  forbidden,
  formatQuantity,
  getPath,
  type KubeObject,
  parseQuantity,
  type Quantity,
  setPath,
  withAnnotations,
  zeroQuantity,
} from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import { listAt, valueAt } from "./checks.ts";
import { type Amounts, podAmounts } from "./pod-amounts.ts";
import type { Json } from "./pod-defaults.ts";

type Change = AdmissionRequest & { readonly object: KubeObject };
/** Reads the LimitRanges of a namespace. */
type Ranges = (namespace: string | undefined) => Promise<readonly KubeObject[]>;

const ANNOTATION = "kubernetes.io/limit-ranger";
const LISTS = ["containers", "initContainers"];

const isPods = ({ definition }: AdmissionRequest) =>
  definition.kind.group === "" && definition.kind.resource === "pods";
const isClaims = ({ definition }: AdmissionRequest) =>
  definition.kind.group === "" && definition.kind.resource === "persistentvolumeclaims";

const amountsOf = (container: Json, part: string): Amounts =>
  (valueAt(container, `resources.${part}`) ?? {}) as Amounts;

/** The pod with defaults of one range, and what was set, as the annotation tells it. */
function withDefaults(pod: KubeObject, ranges: readonly Json[]): KubeObject {
  const limits = Object.assign({}, ...ranges.map((item) => item["default"] ?? {})) as Amounts;
  const requests = Object.assign({}, ...ranges.map((item) => item["defaultRequest"] ?? {})) as Amounts;
  const told: string[] = [];
  let result = pod;
  for (const list of LISTS) {
    const containers = listAt(pod, `spec.${list}`);
    if (containers.length === 0) continue;
    const word = list === "initContainers" ? "init container" : "container";
    const next = containers.map((container) => {
      let resources = (container["resources"] ?? {}) as Json;
      for (const [part, defaults, what] of [
        ["requests", requests, "request"],
        ["limits", limits, "limit"],
      ] as const) {
        const present = (resources[part] ?? {}) as Amounts;
        const added = Object.keys(defaults)
          .filter((name) => present[name] === undefined)
          .sort();
        if (added.length === 0) continue;
        resources = {
          ...resources,
          [part]: { ...present, ...Object.fromEntries(added.map((name) => [name, defaults[name]])) },
        };
        told.push(`${added.join(", ")} ${what} for ${word} ${String(container["name"])}`);
      }
      return resources === container["resources"] ? container : { ...container, resources };
    });
    result = setPath(result, ["spec", list], next);
  }
  return told.length === 0
    ? result
    : withAnnotations(result, { [ANNOTATION]: `LimitRanger plugin set: ${told.join("; ")}` });
}

const quantityOf = (text: string | undefined): Quantity | undefined =>
  text === undefined ? undefined : parseQuantity(text);
const isMore = (left: Quantity, right: string) => compareQuantities(left, parseQuantity(right) ?? zeroQuantity) > 0;
const isLess = (left: Quantity, right: string) => compareQuantities(left, parseQuantity(right) ?? zeroQuantity) < 0;

/** What breaks the bounds of one item, for what one thing asks for and may have. */
function boundErrors(item: Json, kind: string, requests: Amounts, limits: Amounts): string[] {
  const errors: string[] = [];
  const bounds = (part: string) =>
    Object.entries((item[part] ?? {}) as Amounts).sort(([left], [right]) => (left < right ? -1 : 1));
  for (const [name, bound] of bounds("min")) {
    const [request, limit] = [quantityOf(requests[name]), quantityOf(limits[name])];
    const head = `minimum ${name} usage per ${kind} is ${bound}`;
    if (request === undefined) errors.push(`${head}.  No request is specified`);
    else if (isLess(request, bound)) errors.push(`${head}, but request is ${requests[name]}`);
    else if (limit !== undefined && isLess(limit, bound)) errors.push(`${head}, but limit is ${limits[name]}`);
  }
  for (const [name, bound] of bounds("max")) {
    const [request, limit] = [quantityOf(requests[name]), quantityOf(limits[name])];
    const head = `maximum ${name} usage per ${kind} is ${bound}`;
    if (limit === undefined) errors.push(`${head}.  No limit is specified`);
    else if (isMore(limit, bound)) errors.push(`${head}, but limit is ${limits[name]}`);
    else if (request !== undefined && isMore(request, bound)) errors.push(`${head}, but request is ${requests[name]}`);
  }
  for (const [name, bound] of bounds("maxLimitRequestRatio")) {
    const [request, limit] = [quantityOf(requests[name]), quantityOf(limits[name])];
    const head = `${name} max limit to request ratio per ${kind} is ${bound}`;
    if (request === undefined || request.nano === 0n || limit === undefined || limit.nano === 0n) {
      errors.push(`${head}, but no request is specified or request is 0`);
      continue;
    }
    const ratio = Number(limit.nano) / Number(request.nano);
    if (ratio > Number(parseQuantity(bound)?.nano ?? 0n) / 1e9)
      errors.push(`${head}, but provided ratio is ${ratio.toFixed(6)}`);
  }
  return errors;
}

/** What a pod asks for or may have, as texts. */
const shownAmounts = (pod: KubeObject, part: "requests" | "limits"): Amounts =>
  Object.fromEntries(
    [...podAmounts((valueAt(pod, "spec") ?? {}) as Json, part)].map(([name, amount]) => [name, formatQuantity(amount)]),
  );

function podErrors(pod: KubeObject, items: readonly Json[]): string[] {
  return items.flatMap((item) => {
    if (item["type"] === "Container")
      return LISTS.flatMap((list) =>
        listAt(pod, `spec.${list}`).flatMap((container) =>
          boundErrors(item, "Container", amountsOf(container, "requests"), amountsOf(container, "limits")),
        ),
      );
    return item["type"] === "Pod"
      ? boundErrors(item, "Pod", shownAmounts(pod, "requests"), shownAmounts(pod, "limits"))
      : [];
  });
}

/** Claims have requests only. */
function claimErrors(claim: KubeObject, items: readonly Json[]): string[] {
  const storage = valueAt(claim, "spec.resources.requests.storage") as string | undefined;
  const request = quantityOf(storage);
  if (request === undefined) return [];
  return items
    .filter(({ type }) => type === "PersistentVolumeClaim")
    .flatMap((item) => {
      const [least, most] = ["min", "max"].map((part) => getPath(item, part, "storage") as string | undefined);
      return [
        ...(least !== undefined && isLess(request, least)
          ? [`minimum storage usage per PersistentVolumeClaim is ${least}, but request is ${storage}`]
          : []),
        ...(most !== undefined && isMore(request, most)
          ? [`maximum storage usage per PersistentVolumeClaim is ${most}, but request is ${storage}`]
          : []),
      ];
    });
}

export function limitRanger(rangesOf: Ranges): AdmissionPlugin {
  const itemsOf = async (namespace: string | undefined): Promise<readonly (readonly Json[])[]> =>
    (await rangesOf(namespace)).map((range) => listAt(range, "spec.limits"));
  return {
    name: "LimitRanger",
    handles: (request) => {
      const { operation, subresource } = request;
      // Containers of a running pod that are given more keep to the bounds as well.
      if (subresource !== undefined) return subresource === "resize" && isPods(request);
      return operation === "CREATE"
        ? isPods(request) || isClaims(request)
        : operation === "UPDATE" && isClaims(request);
    },
    async mutate(request: Change) {
      if (!isPods(request) || request.operation !== "CREATE") return request.object;
      const items = (await itemsOf(request.namespace)).flat().filter(({ type }) => type === "Container");
      return items.length === 0 ? request.object : withDefaults(request.object, items);
    },
    async validate(request) {
      const { object, definition, name, namespace } = request;
      if (object === undefined) return;
      for (const items of await itemsOf(namespace)) {
        const errors = isPods(request) ? podErrors(object, items) : claimErrors(object, items);
        if (errors.length > 0)
          throw forbidden(
            definition.kind,
            name,
            errors.length === 1 ? (errors[0] as string) : `[${errors.join(", ")}]`,
          );
      }
    },
  };
}
