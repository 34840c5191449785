import {
  badRequest,
  conflict,
  type FieldError,
  fieldNotSupported,
  fieldRequired,
  formatTime,
  getPath,
  type KubeObject,
  plainFailure,
  type ResourceRequest,
  setPath,
  withMetadata,
} from "#machinery";
import { namespaceMismatch } from "../metadata.ts";
import { admit } from "../admission.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { successStatus } from "../deletion.ts";
import { admissionRequest } from "./admission-request.ts";
import { admitBody, isKnownIn } from "./body.ts";
import type { VerbHost } from "./host.ts";
import { modifyObject } from "./modification.ts";
import { ownView, subresourceKind } from "./subresource-kinds.ts";

const BINDING = { group: "", version: "v1", kind: "Binding" };
const IN_MESSAGES = { group: "", resource: "pods/binding" };

interface Condition {
  readonly type: string;
}

/** Gives a pod its node, as a scheduler asks for by a Binding. Its labels and annotations are added to the pod's. */
export async function bindPod(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "create" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { namespace, options = {}, name = "" } = request;
  const kind = subresourceKind(definition, BINDING, "io.k8s.api.core.v1.Binding");
  const binding = admitBody(kind, request.body, options, context, isKnownIn(host));
  if (binding.metadata.namespace && binding.metadata.namespace !== namespace) throw namespaceMismatch();
  if (binding.metadata.name !== undefined && binding.metadata.name !== name)
    throw badRequest("name in URL does not match name in Binding object");
  const errors = bindingErrors(binding);
  if (errors.length > 0) throw plainFailure(aggregate(errors));
  const admitted = withMetadata(binding, { name, ...(namespace === undefined ? {} : { namespace }) });
  await admit(
    host.admission,
    admissionRequest("CREATE", definition, admitted, undefined, "binding", options, context, {
      view: ownView(BINDING),
    }),
    (object) => object,
  );
  const nowMs = host.clock.now();
  await modifyObject(
    host,
    definition,
    { ...request, name, subresource: "binding" },
    options,
    context,
    (pod) => bound(pod, binding, nowMs),
    { isUntracked: true },
  );
  return successStatus(undefined, 201) as unknown as KubeObject;
}

function bindingErrors(binding: KubeObject): FieldError[] {
  const kind = getPath(binding, "target", "kind");
  return [
    ...(kind === undefined || kind === "" || kind === "Node"
      ? []
      : [fieldNotSupported("target.kind", kind, ["Node", "<empty>"])]),
    ...(getPath(binding, "target", "name") ? [] : [fieldRequired("target.name")]),
  ];
}

/** Several mistakes as Go joins them. */
function aggregate(errors: readonly FieldError[]): string {
  const texts = errors.map(({ field, message }) => `${field}: ${message}`);
  return texts.length === 1 ? (texts[0] as string) : `[${texts.join(", ")}]`;
}

function bound(pod: KubeObject, binding: KubeObject, nowMs: number): KubeObject {
  const name = pod.metadata.name ?? "";
  const refuse = (why: string) => conflict(IN_MESSAGES, name, why);
  if (pod.metadata.deletionTimestamp !== undefined)
    throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
  const present = getPath(pod, "spec", "nodeName");
  if (present) throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(present)}`);
  const gates = getPath(pod, "spec", "schedulingGates");
  if (Array.isArray(gates) && gates.length > 0) throw refuse(`pod ${name} has non-empty .spec.schedulingGates`);
  const conditions = (getPath(pod, "status", "conditions") as readonly Condition[] | undefined) ?? [];
  const scheduled = {
    type: "PodScheduled",
    status: "True",
    lastProbeTime: null,
    lastTransitionTime: formatTime(nowMs),
  };
  const { labels, annotations, uid } = binding.metadata;
  const placed = setPath(pod, ["spec", "nodeName"], getPath(binding, "target", "name"));
  return withMetadata(
    setPath(placed, ["status", "conditions"], [...conditions.filter(({ type }) => type !== "PodScheduled"), scheduled]),
    {
      ...(uid === undefined ? {} : { uid }),
      ...(labels === undefined ? {} : { labels: { ...pod.metadata.labels, ...labels } }),
      ...(annotations === undefined ? {} : { annotations: { ...pod.metadata.annotations, ...annotations } }),
    },
  );
}
