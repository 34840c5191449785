/**
 * Connections to pods, services and nodes that nobody here runs: what kube-apiserver says when it looks for where they
 * lead and finds nothing. Whoever runs pods, as the simulator does, answers before.
 */
import {
  badRequest,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  getPath,
  invalid,
  type KubeObject,
  notFound,
  parseTime,
  plainFailure,
  serviceUnavailable,
} from "#machinery";
import type { ResourceDefinition } from "../definition.ts";
import type { ResourcePath } from "./path.ts";

/** What is known about the cluster: an object by its resource, namespace and name. */
export type FindObject = (
  resource: "pods" | "services" | "nodes" | "endpoints",
  namespace: string | undefined,
  name: string,
) => Promise<KubeObject | undefined>;

/** Whether a subresource of a built-in kind is a connection rather than a part of an object. */
export const isConnection = ({ kind, subresources }: ResourceDefinition, subresource: string | undefined): boolean =>
  subresource !== undefined &&
  kind.group === "" &&
  subresources.some(
    ({ name, kind: { kind: options } }) => name === subresource && (name === "log" || options.endsWith("Options")),
  );

/** Throws why there is no connection; gives `empty` where there is nothing to read and that is no mistake. */
export async function refuseConnection(path: ResourcePath, query: URLSearchParams, find: FindObject): Promise<"empty"> {
  const { resource, namespace, name = "", subresource } = path;
  if (resource === "services") throw await unservedService(namespace, name, find);
  if (resource === "nodes") throw await unreachableNode(name, "nodes", find);
  const logs = subresource === "log" ? readLogOptions(query) : [];
  if (logs.length > 0) throw invalid({ group: "", kind: "PodLogOptions" }, name, logs);
  const pod = await find("pods", namespace, subresource === "proxy" ? splitTarget(name).name : name);
  if (pod === undefined) throw notFound({ group: "", resource: "pods" }, name);
  if (subresource === "proxy") throw badRequest("address not allowed");
  if (subresource !== "portforward") mustHaveContainer(pod, name, query.get("container") ?? "");
  const node = getPath(pod, "spec", "nodeName");
  if (typeof node === "string" && node !== "") throw await unreachableNode(node, "pods", find);
  if (subresource === "log") return "empty";
  throw badRequest(`pod ${name} does not have a host assigned`);
}

const LISTS = ["initContainers", "containers", "ephemeralContainers"];

function mustHaveContainer(pod: KubeObject, name: string, wanted: string): void {
  const names = LISTS.flatMap((list) =>
    ((getPath(pod, "spec", list) ?? []) as readonly { readonly name: string }[]).map((container) => container.name),
  );
  if (wanted === "" && names.length > 1)
    throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${names.join(" ")}]`);
  if (wanted !== "" && !names.includes(wanted)) throw badRequest(`container ${wanted} is not valid for pod ${name}`);
}

/** Reads the options of a request for logs. Throws for what is no number or time. */
function readLogOptions(query: URLSearchParams): FieldError[] {
  const numberOf = (name: string) => {
    const text = query.get(name);
    if (text === null || text === "") return undefined;
    if (!/^[+-]?\d+$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
    return Number(text);
  };
  const [tail, limit, seconds] = [numberOf("tailLines"), numberOf("limitBytes"), numberOf("sinceSeconds")];
  const since = query.get("sinceTime") ?? "";
  if (since !== "" && Number.isNaN(parseTime(since) ?? Number.NaN))
    throw badRequest(
      `parsing time ${JSON.stringify(since)} as "2006-01-02T15:04:05Z07:00": cannot parse ${JSON.stringify(since)} as "2006"`,
    );
  const errors: FieldError[] = [];
  if (tail !== undefined && tail < 0)
    errors.push(fieldInvalid("tailLines", tail, "must be greater than or equal to 0"));
  if (limit !== undefined && limit < 1) errors.push(fieldInvalid("limitBytes", limit, "must be greater than 0"));
  if (since !== "" && seconds !== undefined)
    errors.push(fieldForbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  else if (seconds !== undefined && seconds < 1)
    errors.push(fieldInvalid("sinceSeconds", seconds, "must be greater than 0"));
  if (query.has("stream")) errors.push(fieldForbidden("stream", "may not be specified"));
  return errors;
}

/** Nodes here have no kubelet: none says where it can be reached. */
async function unreachableNode(name: string, asked: string, find: FindObject): Promise<Error> {
  const node = await find("nodes", undefined, splitTarget(name).name);
  if (node === undefined) return notFound({ group: "", resource: asked }, name);
  return plainFailure("no preferred addresses found; known addresses: []");
}

interface Target {
  readonly scheme: string;
  readonly name: string;
  readonly port: string;
}

/** `name`, `name:port` or `scheme:name:port`. */
function splitTarget(text: string): Target {
  const parts = text.split(":");
  const [scheme = "", name = "", port = ""] = parts.length > 2 ? parts : ["", ...parts];
  return { scheme, name, port };
}

async function unservedService(namespace: string | undefined, asked: string, find: FindObject): Promise<Error> {
  const { scheme, name, port } = splitTarget(asked);
  if (!["", "http", "https"].includes(scheme) || name === "")
    return badRequest(`invalid service request ${JSON.stringify(asked)}`);
  const service = await find("services", namespace, name);
  const missing = notFound({ group: "", resource: "services" }, name);
  if (service === undefined) return missing;
  const ports = (getPath(service, "spec", "ports") ?? []) as readonly { name?: string; port: number }[];
  if (port !== "" && !ports.some((one) => one.name === port || String(one.port) === port))
    return serviceUnavailable(`no service port ${port} found for service ${JSON.stringify(name)}`);
  const endpoints = await find("endpoints", namespace, name);
  if (endpoints === undefined) return missing;
  // Only addresses of pods are trusted, and nobody here runs one.
  const hasSubsets = ((getPath(endpoints, "subsets") ?? []) as readonly unknown[]).length > 0;
  return serviceUnavailable(`no endpoints available for service ${JSON.stringify(hasSubsets ? asked : name)}`);
}
