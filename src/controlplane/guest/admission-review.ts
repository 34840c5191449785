import { karmadaConversions } from "#apis/karmada";
import type { AdmissionPlugin, AdmissionRequest, ResourceDefinition } from "#apiserver";
import { deepEqual } from "#base";
import { ApiError, badRequest, isJsonObject, type KubeObject, parseApiVersion } from "#machinery";

type Json = Readonly<Record<string, unknown>>;

/** What a webhook answers: an AdmissionReview or a ConversionReview. */
export interface ReviewAnswer {
  readonly status: number;
  readonly body: Json;
}

/**
 * Answers an AdmissionReview by the plugins of the in-process admission. `mode` says which half is asked for; an object
 * that is none is answered with 400 inside the review, as upstream's webhook does.
 */
export async function answerAdmission(
  review: unknown,
  mode: "mutate" | "validate",
  plugins: readonly AdmissionPlugin[],
): Promise<ReviewAnswer> {
  const request = isJsonObject(review) ? review["request"] : undefined;
  if (!isJsonObject(request) || typeof request["uid"] !== "string")
    return { status: 400, body: { message: "request: an AdmissionReview with a request is expected" } };
  const { uid } = request;
  const warnings: string[] = [];
  const reply = (response: Json): ReviewAnswer => ({
    status: 200,
    body: {
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      response: { uid, ...response, ...(warnings.length === 0 ? {} : { warnings }) },
    },
  });
  try {
    const asked = requestOf(request, (text) => warnings.push(text));
    const mine = plugins.filter((plugin) => plugin.handles(asked));
    let object = asked.object;
    if (mode === "mutate" && object !== undefined)
      for (const plugin of mine)
        if (plugin.mutate !== undefined) object = await plugin.mutate({ ...asked, object: object as KubeObject });
    if (mode === "validate") for (const plugin of mine) await plugin.validate?.(asked);
    const operations = object === undefined ? [] : differences(asked.object as KubeObject, object);
    return reply(
      operations.length === 0
        ? { allowed: true }
        : {
            allowed: true,
            patchType: "JSONPatch",
            patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
          },
    );
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    // The API server says itself which webhook it was.
    const message = error.message.replace(/^admission webhook "[^"]*" denied the request: /, "");
    return reply({
      allowed: false,
      status: { code: error.code, reason: error.reason, message },
    });
  }
}

function requestOf(request: Json, warn: (text: string) => void): AdmissionRequest {
  const gvk = (isJsonObject(request["kind"]) ? request["kind"] : {}) as Readonly<Record<string, string>>;
  const gvr = (isJsonObject(request["resource"]) ? request["resource"] : {}) as Readonly<Record<string, string>>;
  const user = (isJsonObject(request["userInfo"]) ? request["userInfo"] : {}) as {
    readonly username?: string;
    readonly groups?: readonly string[];
    readonly uid?: string;
  };
  const namespace = typeof request["namespace"] === "string" ? request["namespace"] : undefined;
  const object = objectOf(request["object"]);
  const oldObject = objectOf(request["oldObject"]);
  return {
    operation: request["operation"] as AdmissionRequest["operation"],
    definition: {
      kind: {
        group: gvr["group"] ?? "",
        version: gvr["version"] ?? "",
        kind: gvk["kind"] ?? "",
        resource: gvr["resource"] ?? "",
        namespaced: namespace !== undefined && namespace !== "",
      },
      ...BARE,
    },
    object,
    oldObject,
    subresource: typeof request["subResource"] === "string" ? request["subResource"] : undefined,
    namespace: namespace || undefined,
    name: typeof request["name"] === "string" ? request["name"] : (object?.metadata.name ?? ""),
    user: { name: user.username ?? "", groups: user.groups ?? [], ...(user.uid ? { uid: user.uid } : {}) },
    isDryRun: request["dryRun"] === true,
    warn,
  };
}

/** What plugins do not look at: the API server that asks has schema and storage of its own. */
const BARE: Omit<ResourceDefinition, "kind"> = {
  singular: "",
  shortNames: [],
  categories: [],
  verbs: [],
  subresources: [],
  schema: undefined,
  columns: [],
  storage: { prefix: "", version: "" },
  origin: "custom",
  strategy: {},
  hasGeneration: true,
};

function objectOf(value: unknown): KubeObject | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value) || !isJsonObject(value["metadata"]))
    throw badRequest("object: an object with metadata is expected");
  return value as unknown as KubeObject;
}

/** A JSON patch of whole members of the object: few kinds have many of them, and nothing else is exact about lists. */
function differences(before: KubeObject, after: KubeObject): readonly Json[] {
  const [old, now] = [before, after] as unknown as readonly [Json, Json];
  const escaped = (name: string) => name.replaceAll("~", "~0").replaceAll("/", "~1");
  return [...new Set([...Object.keys(old), ...Object.keys(now)])].flatMap((name) => {
    if (deepEqual(old[name], now[name])) return [];
    if (now[name] === undefined) return [{ op: "remove", path: `/${escaped(name)}` }];
    return [{ op: old[name] === undefined ? "add" : "replace", path: `/${escaped(name)}`, value: now[name] }];
  });
}

/** Answers a ConversionReview between the versions of Karmada's bindings. */
export function answerConversion(review: unknown): ReviewAnswer {
  const request = isJsonObject(review) ? review["request"] : undefined;
  if (!isJsonObject(request) || typeof request["uid"] !== "string")
    return { status: 400, body: { message: "request: a ConversionReview with a request is expected" } };
  const wanted = String(request["desiredAPIVersion"] ?? "");
  const reply = (response: Json): ReviewAnswer => ({
    status: 200,
    body: {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "ConversionReview",
      response: { uid: request["uid"], ...response },
    },
  });
  try {
    const objects = Array.isArray(request["objects"]) ? (request["objects"] as readonly KubeObject[]) : [];
    return reply({
      convertedObjects: objects.map((object) => convert(object, wanted)),
      result: { status: "Success" },
    });
  } catch (error) {
    return reply({
      convertedObjects: [],
      result: { status: "Failure", message: error instanceof Error ? error.message : String(error) },
    });
  }
}

function convert(object: KubeObject, wanted: string): KubeObject {
  if (object.apiVersion === wanted) return object;
  const resource = `${object.kind.toLowerCase()}s`;
  const find = (apiVersion: string) => {
    const { group, version } = parseApiVersion(apiVersion);
    return karmadaConversions.get(`${group}/${version}/${resource}`);
  };
  const stored = find(object.apiVersion)?.toStored(object, undefined) ?? object;
  const shown = find(wanted)?.fromStored(stored) ?? stored;
  return { ...shown, apiVersion: wanted };
}
