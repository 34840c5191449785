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
  const pod = await find("pods", namespace, subresource === "proxy" ? (splitTarget(name)?.name ?? name) : name);
  if (pod === undefined) throw notFound({ group: "", resource: "pods" }, name);
  if (subresource === "proxy") throw notAllowed();
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

/** Types of addresses in the order a kubelet is looked for under them. */
const ADDRESS_TYPES = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];
/** Addresses that lead back to the server's own machine or its own network, or nowhere. */
const OWN_ADDRESS = /^(?:127\.|169\.254\.|0\.0\.0\.0$|::1?$|fe[89ab])/i;

const notAllowed = () => badRequest("address not allowed");

/** Why nothing is reached under a node: where it says it can be, nobody here goes. */
async function unreachableNode(asked: string, resource: string, find: FindObject): Promise<Error> {
  const target = resource === "nodes" ? splitTarget(asked) : { scheme: "", name: asked, port: "" };
  if (target === undefined || !SCHEMES.has(target.scheme) || target.name === "")
    return badRequest(`invalid node request ${JSON.stringify(asked)}`);
  const node = await find("nodes", undefined, target.name);
  if (node === undefined) return notFound({ group: "", resource }, target.name);
  const known = (getPath(node, "status", "addresses") ?? []) as readonly { type: string; address: string }[];
  const found = ADDRESS_TYPES.flatMap((type) => known.filter((one) => one.type === type)).at(0);
  if (found === undefined) return plainFailure("no preferred addresses found; known addresses: []");
  if (OWN_ADDRESS.test(found.address) || found.address.toLowerCase() === "localhost") return notAllowed();
  return serviceUnavailable(`error trying to reach service: nothing is connected to here at ${found.address}`);
}

const SCHEMES = new Set(["", "http", "https"]);

interface Target {
  readonly scheme: string;
  readonly name: string;
  readonly port: string;
}

/** `name`, `name:port` or `scheme:name:port`; `undefined` for more. */
function splitTarget(text: string): Target | undefined {
  const parts = text.split(":");
  if (parts.length > 3) return undefined;
  const [scheme = "", name = "", port = ""] = parts.length > 2 ? parts : ["", ...parts];
  return { scheme, name, port };
}

async function unservedService(namespace: string | undefined, asked: string, find: FindObject): Promise<Error> {
  const target = splitTarget(asked);
  if (target === undefined || !SCHEMES.has(target.scheme) || target.name === "")
    return badRequest(`invalid service request ${JSON.stringify(asked)}`);
  const { name, port } = target;
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
