import { apiVersionOf, type KubeObject } from "#machinery";
import type { AdmissionRequest } from "../admission.ts";
import type { ResourceDefinition, User } from "../definition.ts";

const OPTIONS_KIND: Readonly<Record<AdmissionRequest["operation"], string>> = {
  CREATE: "CreateOptions",
  UPDATE: "UpdateOptions",
  DELETE: "DeleteOptions",
  CONNECT: "PodExecOptions",
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
  const kindOf = ({ kind }: ResourceDefinition) => {
    const own = subresourceKind(matched, request.subresource) ?? kind;
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
    ...(request.namespace === undefined ? {} : { namespace: request.namespace }),
    operation: request.operation,
    userInfo: userInfo(request.user),
    dryRun: request.isDryRun,
    options: {
      kind: OPTIONS_KIND[request.operation],
      apiVersion: "meta.k8s.io/v1",
      ...(request.isDryRun ? { dryRun: ["All"] } : {}),
      ...request.options,
    },
  };
}

function subresourceKind(definition: ResourceDefinition, subresource: string | undefined) {
  if (subresource === undefined || subresource === "status") return undefined;
  // Changes through a subresource are admitted on the object they change.
  return { ...definition.kind };
}

/** The body a webhook is sent. */
export function admissionReview(
  request: AdmissionRequest,
  matched: ResourceDefinition,
  object: KubeObject | undefined,
  oldObject: KubeObject | undefined,
  uid: string,
): Readonly<Record<string, unknown>> {
  const shown = (one: KubeObject | undefined) =>
    one === undefined ? null : { ...one, apiVersion: apiVersionOf(matched.kind), kind: matched.kind.kind };
  return {
    kind: "AdmissionReview",
    apiVersion: "admission.k8s.io/v1",
    request: { ...requestFacts(request, matched, uid), object: shown(object), oldObject: shown(oldObject) },
  };
}
