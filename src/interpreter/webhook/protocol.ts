import { applyJsonPatch, gvkOf, type JsonPatchOperation, type KubeObject, parseJson } from "#machinery";
import { countOf, verifiedDependencies } from "../lua/customization.ts";
import type { AggregatedItem, Dependency, Json, Operation, Replicas } from "../rules.ts";

/** What is asked of a webhook. */
export interface Question {
  readonly operation: Operation;
  readonly object: KubeObject;
  readonly observed?: KubeObject;
  readonly replicas?: number;
  readonly items?: readonly AggregatedItem[];
}

/** The body of a question (wire). */
export function contextOf(question: Question, uid: string): Json {
  const { operation, object, observed, replicas = 0, items = [] } = question;
  const { namespace } = object.metadata;
  return {
    kind: "ResourceInterpreterContext",
    apiVersion: "config.karmada.io/v1alpha1",
    request: {
      uid,
      kind: gvkOf(object),
      name: object.metadata.name ?? "",
      ...(namespace ? { namespace } : {}),
      operation,
      object,
      ...(observed === undefined ? {} : { observedObject: observed }),
      replicas,
      ...(items.length === 0 ? {} : { aggregatedStatus: items }),
    },
  };
}

/** What an answer says, by operation. */
export type Answer =
  | { readonly operation: "InterpretReplica"; readonly value: Replicas }
  | { readonly operation: "InterpretComponent"; readonly value: readonly Json[] | undefined }
  | { readonly operation: "ReviseReplica" | "Retain" | "AggregateStatus"; readonly value: KubeObject }
  | { readonly operation: "InterpretDependency"; readonly value: readonly Dependency[] }
  | { readonly operation: "InterpretStatus"; readonly value: Json | undefined }
  | { readonly operation: "InterpretHealth"; readonly value: boolean };

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isListOfObjects = (value: unknown): value is readonly Json[] => Array.isArray(value) && value.every(isObject);

/** Reads an answer. Throws what is wrong with it. */
export function answerOf(question: Question, uid: string, status: number, text: string): Answer {
  if (status < 200 || status > 299) throw new Error(`webhook call failed, the server answered ${status}`);
  let body: unknown;
  try {
    body = parseJson(text);
  } catch {
    throw new Error("webhook call failed, the answer is not JSON");
  }
  const response = isObject(body) ? body["response"] : undefined;
  if (!isObject(response)) throw new Error("webhook call failed, webhook response was absent");
  if (response["uid"] !== uid)
    throw new Error(
      `webhook call failed, expected response.uid ${JSON.stringify(uid)}, got ${JSON.stringify(response["uid"] ?? "")}`,
    );
  if (response["successful"] !== true) {
    const failure = response["status"];
    if (!isObject(failure))
      throw new Error("webhook call failed, require response.status when response.successful is false");
    throw new Error(
      `webhook call failed, get status code: ${String(failure["code"] ?? 0)}, msg: ${String(failure["message"] ?? "")}`,
    );
  }
  return read(question, response);
}

function read({ operation, object }: Question, response: Json): Answer {
  const missing = (field: string) => new Error(`webhook returned nil response.${field}`);
  switch (operation) {
    case "InterpretReplica": {
      const { replicas, replicaRequirements } = response;
      if (typeof replicas !== "number" || !Number.isInteger(replicas)) throw missing("replicas");
      if (replicaRequirements !== undefined && replicaRequirements !== null && !isObject(replicaRequirements))
        throw new Error("response.replicaRequirements must be an object");
      return { operation, value: { replica: countOf(replicas), requirements: replicaRequirements ?? undefined } };
    }
    case "InterpretComponent": {
      const { components } = response;
      if (components === undefined || components === null) return { operation, value: undefined };
      if (!isListOfObjects(components)) throw new Error("response.components must be a list of objects");
      return { operation, value: components };
    }
    case "InterpretDependency": {
      const dependencies = response["dependencies"] ?? [];
      if (!isListOfObjects(dependencies)) throw new Error("response.dependencies must be a list of objects");
      return { operation, value: verifiedDependencies(dependencies) };
    }
    case "ReviseReplica":
    case "Retain":
    case "AggregateStatus":
      return { operation, value: patched(object, response) };
    case "InterpretStatus": {
      const { rawStatus } = response;
      if (rawStatus === undefined) throw missing("rawStatus");
      if (rawStatus !== null && !isObject(rawStatus)) throw new Error("response.rawStatus must be an object");
      return { operation, value: rawStatus ?? undefined };
    }
    case "InterpretHealth": {
      const { healthy } = response;
      if (typeof healthy !== "boolean") throw missing("healthy");
      return { operation, value: healthy };
    }
  }
}

/** The object that was sent, with the answer's patch; without one it is what it was. */
function patched(object: KubeObject, { patch, patchType }: Json): KubeObject {
  const isAbsent = (value: unknown) => value === undefined || value === null || value === "";
  if (isAbsent(patch) && isAbsent(patchType)) return object;
  if (isAbsent(patch)) throw new Error("webhook returned nil response.patch");
  if (isAbsent(patchType)) throw new Error("webhook returned nil response.patchType");
  if (patchType !== "JSONPatch")
    throw new Error(`webhook returned invalid response.patchType of ${JSON.stringify(patchType)}`);
  let operations: unknown;
  try {
    operations = parseJson(Buffer.from(String(patch), "base64").toString("utf8"));
  } catch {
    throw new Error("response.patch is no base64 of JSON");
  }
  if (!isListOfObjects(operations)) throw new Error("response.patch must be a list of operations");
  const result = applyJsonPatch(object, operations as unknown as readonly JsonPatchOperation[]);
  if (!isObject(result)) throw new Error("response.patch leaves no object");
  return result as KubeObject;
}
