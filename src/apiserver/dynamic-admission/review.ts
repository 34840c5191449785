import { apiVersionOf, type KubeObject } from "#machinery";
import type { AdmissionRequest, AdmissionView } from "../admission.ts";
import type { ResourceDefinition, User } from "../definition.ts";

const OPTIONS_KIND: Readonly<Record<Exclude<AdmissionRequest["operation"], "CONNECT">, string>> = {
  CREATE: "CreateOptions",
  UPDATE: "UpdateOptions",
  DELETE: "DeleteOptions",
};

/** `userInfo` as admission and CEL show it. */
export const userInfo = (user: User): Readonly<Record<string, unknown>> => ({
  username: user.name,
  ...(user.uid === undefined ? {} : { uid: user.uid }),
  groups: user.groups,
  ...(user.extra === undefined ? {} : { extra: user.extra }),
});

/** The facts of a request without its objects: what CEL calls `request`, and the head of an AdmissionReview. */
export function requestFacts(
  request: AdmissionRequest,
  matched: ResourceDefinition,
  uid: string,
): Readonly<Record<string, unknown>> {
  const kindOf = (definition: ResourceDefinition) => {
    const own = request.view?.kind ?? connectedKind(definition, request) ?? definition.kind;
    return { group: own.group, version: own.version, kind: own.kind };
  };
  const resourceOf = ({ kind }: ResourceDefinition) => ({
    group: kind.group,
    version: kind.version,
    resource: kind.resource,
  });
  const sub = request.subresource === undefined ? {} : { subResource: request.subresource };
  const requestSub = request.subresource === undefined ? {} : { requestSubResource: request.subresource };
  return {
    uid,
    kind: kindOf(matched),
    resource: resourceOf(matched),
    ...sub,
    requestKind: kindOf(request.definition),
    requestResource: resourceOf(request.definition),
    ...requestSub,
    ...(request.name === "" ? {} : { name: request.name }),
    ...namespaceOf(request),
    operation: request.operation,
    userInfo: userInfo(request.user),
    dryRun: request.isDryRun,
    // What a connection is made with is its object.
    ...(request.operation === "CONNECT"
      ? {}
      : {
          options: {
            kind: OPTIONS_KIND[request.operation],
            apiVersion: "meta.k8s.io/v1",
            ...(request.isDryRun ? { dryRun: ["All"] } : {}),
            ...request.options,
          },
        }),
  };
}

/** A namespace that is there is said to be in itself. */
function namespaceOf({ namespace, name, operation, definition }: AdmissionRequest) {
  const isNamespace = definition.kind.group === "" && definition.kind.resource === "namespaces";
  const own = isNamespace && operation !== "CREATE" ? name : namespace;
  return own ? { namespace: own } : {};
}

/** A connection is about the options it is made with. */
function connectedKind({ subresources }: ResourceDefinition, { operation, subresource }: AdmissionRequest) {
  return operation === "CONNECT" ? subresources.find(({ name }) => name === subresource)?.kind : undefined;
}

const typeOf = (view: AdmissionView | undefined) =>
  view === undefined ? {} : { apiVersion: apiVersionOf(view.kind), kind: view.kind.kind };

/** The body a webhook is sent. */
export function admissionReview(
  request: AdmissionRequest,
  matched: ResourceDefinition,
  object: KubeObject | undefined,
  oldObject: KubeObject | undefined,
  uid: string,
): Readonly<Record<string, unknown>> {
  const shown = (one: KubeObject | undefined) =>
    one === undefined
      ? null
      : request.operation === "CONNECT" || request.view !== undefined
        ? { ...one, ...typeOf(request.view) }
        : { ...one, apiVersion: apiVersionOf(matched.kind), kind: matched.kind.kind };
  return {
    kind: "AdmissionReview",
    apiVersion: "admission.k8s.io/v1",
    request: { ...requestFacts(request, matched, uid), object: shown(object), oldObject: shown(oldObject) },
  };
}
