import { karmadaConversions } from "#apis/karmada";
import type { AdmissionPlugin, AdmissionRequest } from "#apiserver";
import { deepEqual } from "#base";
import { ApiError, isJsonObject, type KubeObject, type ResourceKind } from "#machinery";
import { plainDefinition } from "../plain-request.ts";
import { type WebhookRoute, webhookRoutes } from "./routes.ts";

/** The bodies of admission.k8s.io/v1 and apiextensions.k8s.io/v1 that an API server sends, and what it is answered. */

type Json = Readonly<Record<string, unknown>>;

export interface WebhookAnswer {
  readonly status: number;
  readonly body: unknown;
}

const badRequest = (message: string): WebhookAnswer => ({ status: 400, body: { message } });
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** Answers a request for one of the webhooks' paths. `body` is the parsed JSON; absent for GET. */
export async function answerWebhook(
  plugins: readonly AdmissionPlugin[],
  path: string,
  body: unknown,
  routes: readonly WebhookRoute[] = webhookRoutes,
): Promise<WebhookAnswer> {
  if (path === "/readyz" || path === "/readyz/" || path === "/healthz") return { status: 200, body: "ok" };
  if (!isJsonObject(body) || !isJsonObject(body["request"])) return badRequest("the body is no review with a request");
  const request = body["request"];
  const uid = textOf(request["uid"]);
  const head = { apiVersion: textOf(body["apiVersion"]), kind: textOf(body["kind"]) };
  if (path === "/convert") return { status: 200, body: { ...head, response: { uid, ...converted(request) } } };
  const route = routes.find((each) => each.path === path);
  if (route === undefined) return { status: 404, body: { message: `nothing answers under ${path}` } };
  return { status: 200, body: { ...head, response: { uid, ...(await reviewed(plugins, route, request)) } } };
}

async function reviewed(plugins: readonly AdmissionPlugin[], route: WebhookRoute, request: Json): Promise<Json> {
  const warnings: string[] = [];
  const withWarnings = (answer: Json): Json => (warnings.length === 0 ? answer : { ...answer, warnings });
  const asked = admissionRequestOf(request, (message) => warnings.push(message));
  if (asked === undefined) return { allowed: false, status: { code: 400, message: "the request holds no object" } };
  const mine = plugins.filter((plugin) => plugin.handles(asked));
  try {
    if (route.kind === "validating") {
      for (const plugin of mine) await plugin.validate?.(asked);
      return withWarnings({ allowed: true });
    }
    const sent = asked.object;
    if (sent === undefined) return withWarnings({ allowed: true });
    let object = sent;
    for (const plugin of mine) if (plugin.mutate !== undefined) object = await plugin.mutate({ ...asked, object });
    const patch = patchBetween(sent, object);
    if (patch.length === 0) return withWarnings({ allowed: true });
    const text = Buffer.from(JSON.stringify(patch)).toString("base64");
    return withWarnings({ allowed: true, patchType: "JSONPatch", patch: text });
  } catch (error) {
    if (!(error instanceof ApiError)) return { allowed: false, status: { code: 500, message: String(error) } };
    // The API server that asks puts the webhook's name in front itself.
    const message = error.message.replace(/^admission webhook "[^"]*" denied the request: /, "");
    return withWarnings({ allowed: false, status: { code: error.code, reason: error.reason, message } });
  }
}

function admissionRequestOf(request: Json, warn: (message: string) => void): AdmissionRequest | undefined {
  const operation = textOf(request["operation"]);
  if (operation !== "CREATE" && operation !== "UPDATE" && operation !== "DELETE") return undefined;
  const objectOf = (value: unknown) =>
    isJsonObject(value) && isJsonObject(value["metadata"]) ? (value as unknown as KubeObject) : undefined;
  const object = objectOf(request["object"]);
  if (operation !== "DELETE" && object === undefined) return undefined;
  const user = isJsonObject(request["userInfo"]) ? request["userInfo"] : {};
  const namespace = textOf(request["namespace"]);
  const subresource = textOf(request["subResource"]);
  return {
    operation,
    definition: plainDefinition(kindOf(request, namespace !== "")),
    object: operation === "DELETE" ? undefined : object,
    oldObject: objectOf(request["oldObject"]),
    subresource: subresource === "" ? undefined : subresource,
    namespace: namespace === "" ? undefined : namespace,
    name: textOf(request["name"]),
    user: {
      name: textOf(user["username"]),
      uid: textOf(user["uid"]),
      groups: Array.isArray(user["groups"]) ? user["groups"].map(String) : [],
    },
    isDryRun: request["dryRun"] === true,
    warn,
  };
}

/** The kind a review is about. */
function kindOf(request: Json, namespaced: boolean): ResourceKind {
  const kind = isJsonObject(request["kind"]) ? request["kind"] : {};
  const resource = isJsonObject(request["resource"]) ? request["resource"] : {};
  return {
    group: textOf(resource["group"]),
    version: textOf(resource["version"]),
    kind: textOf(kind["kind"]),
    resource: textOf(resource["resource"]),
    namespaced,
  };
}

/** A JSON patch that replaces the parts that differ. */
function patchBetween(before: KubeObject, after: KubeObject): readonly Json[] {
  const old = before as unknown as Json;
  const next = after as unknown as Json;
  return [...new Set([...Object.keys(old), ...Object.keys(next)])].flatMap((name): Json[] => {
    const path = `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    if (next[name] === undefined) return old[name] === undefined ? [] : [{ op: "remove", path }];
    if (deepEqual(old[name], next[name])) return [];
    return [{ op: old[name] === undefined ? "add" : "replace", path, value: next[name] }];
  });
}

/** Bindings in another version. What an older version has no words for is lost on the way, as the protocol has it. */
function converted(request: Json): Json {
  const wanted = textOf(request["desiredAPIVersion"]);
  const objects = Array.isArray(request["objects"]) ? (request["objects"] as readonly unknown[]) : [];
  const results: KubeObject[] = [];
  for (const value of objects) {
    if (!isJsonObject(value) || !isJsonObject(value["metadata"])) return failure("an object without metadata");
    const object = value as unknown as KubeObject;
    const plural = `${object.kind.toLowerCase()}s`;
    const conversion = karmadaConversions.get(`work.karmada.io/v1alpha1/${plural}`);
    if (object.apiVersion === wanted) results.push(object);
    else if (conversion === undefined) return failure(`${object.kind} is not converted`);
    else if (wanted === "work.karmada.io/v1alpha1")
      results.push({ ...conversion.fromStored(object), apiVersion: wanted });
    else if (wanted === "work.karmada.io/v1alpha2")
      results.push({ ...conversion.toStored(object, undefined), apiVersion: wanted });
    else return failure(`there is no version ${wanted}`);
  }
  return { convertedObjects: results, result: { status: "Success" } };
}

const failure = (message: string): Json => ({ result: { status: "Failure", message } });
