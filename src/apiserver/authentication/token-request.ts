import {
  badRequest,
  conflict,
  type FieldError,
  formatTime,
  getPath,
  invalid,
  type KubeObject,
  notFound,
  parseApiVersion,
} from "#machinery";
import type { ApiServer } from "../server.ts";
import type { BoundObject } from "./service-account-tokens.ts";
import type { TokenAuthenticator } from "./tokens.ts";

const KIND = { group: "authentication.k8s.io", kind: "TokenRequest" };
const SECONDS_MIN = 600;
const SECONDS_MAX = 2 ** 32;
const BINDABLE = new Map([
  ["Pod", "pods"],
  ["Secret", "secrets"],
  ["Node", "nodes"],
] as const);

interface BoundRef {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly name?: string;
  readonly uid?: string;
}

/** `serviceaccounts/token`: a signed token for a service account, held by a Pod, Secret or Node where one is named. */
export function tokenRequest(server: ApiServer, tokens: TokenAuthenticator) {
  return async (account: KubeObject, body: KubeObject): Promise<KubeObject> => {
    const { name = "", namespace = "" } = account.metadata;
    const refuse = (...errors: FieldError[]) => invalid(KIND, "", errors);
    const seconds = Number(getPath(body, "spec", "expirationSeconds"));
    const wrongTime = (message: string): FieldError => ({
      type: "FieldValueInvalid",
      field: "spec.expirationSeconds",
      message: `Invalid value: ${seconds}: ${message}`,
    });
    if (!(seconds >= SECONDS_MIN)) throw refuse(wrongTime("may not specify a duration less than 10 minutes"));
    if (seconds > SECONDS_MAX) throw refuse(wrongTime("may not specify a duration larger than 2^32 seconds"));
    const audiences = (getPath(body, "spec", "audiences") ?? []) as readonly string[];
    const ref = getPath(body, "spec", "boundObjectRef") as BoundRef | null | undefined;
    const bound = ref === undefined || ref === null ? undefined : await boundObject(server, account, ref);
    const token = await tokens.sign(account, seconds, audiences, bound);
    const nowMs = server.clock.now();
    return {
      ...body,
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: {
        ...pick(body.metadata, "labels", "annotations", "managedFields"),
        name,
        namespace,
        uid: server.random.uuid(),
        creationTimestamp: formatTime(nowMs),
      } as KubeObject["metadata"],
      spec: {
        audiences: audiences.length > 0 ? audiences : tokens.audiences,
        expirationSeconds: seconds,
        boundObjectRef: bound === undefined ? null : ref,
      },
      status: { token, expirationTimestamp: formatTime(nowMs + seconds * 1000) },
    } as KubeObject;
  };
}

const pick = (
  metadata: KubeObject["metadata"] | undefined,
  ...names: readonly ("labels" | "annotations" | "managedFields")[]
) => Object.fromEntries(names.filter((name) => metadata?.[name] !== undefined).map((name) => [name, metadata?.[name]]));

/** A group, version and kind as Go prints them. */
function shownKind({ apiVersion = "", kind = "" }: BoundRef): string {
  const { group, version } = parseApiVersion(apiVersion);
  return `${group}/${version}, Kind=${kind}`;
}

async function boundObject(server: ApiServer, account: KubeObject, ref: BoundRef): Promise<BoundObject> {
  const kind = ref.kind as "Pod" | "Secret" | "Node";
  const resource = BINDABLE.get(kind);
  if (resource === undefined || parseApiVersion(ref.apiVersion ?? "").group !== "")
    throw badRequest(`cannot bind token to object of type ${shownKind(ref)}`);
  const { namespace = "", name: accountName } = account.metadata;
  const find = async (what: string, key: string) => {
    const definition = server.registry.find("", "v1", what);
    if (definition === undefined) return undefined;
    const store = server.store(definition);
    await store.load();
    return store.get(key)?.object;
  };
  const name = ref.name ?? "";
  if (name === "") throw badRequest("Name parameter required.");
  const found = await find(resource, kind === "Node" ? name : `${namespace}/${name}`);
  if (found === undefined) throw notFound({ group: "", resource }, name);
  if (ref.uid !== undefined && ref.uid !== "" && ref.uid !== found.metadata.uid)
    throw conflict(
      { group: "", resource: kind },
      name,
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  const bound = { kind, name, uid: found.metadata.uid ?? "" };
  if (kind !== "Pod") return bound;
  const own = getPath(found, "spec", "serviceAccountName") || "default";
  if (own !== accountName)
    throw badRequest(
      `cannot bind token for serviceaccount ${JSON.stringify(accountName)} to pod running with different serviceaccount name.`,
    );
  const nodeName = getPath(found, "spec", "nodeName");
  if (typeof nodeName !== "string" || nodeName === "") return bound;
  const uid = (await find("nodes", nodeName))?.metadata.uid;
  return { ...bound, node: { name: nodeName, ...(uid === undefined ? {} : { uid }) } };
}
