import {
  fieldInvalid,
  getPath,
  invalid,
  type KubeObject,
  methodNotSupported,
  type ResourceRequest,
  setPath,
  withMetadata,
} from "#machinery";
import { admit } from "../admission.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { namespaceMismatch } from "../metadata.ts";
import { admissionRequest } from "./admission-request.ts";
import { bindPod } from "./binding.ts";
import { admitBody, isKnownIn } from "./body.ts";
import { evictPod } from "./eviction.ts";
import { trackFields } from "./field-owners.ts";
import type { VerbHost } from "./host.ts";
import { readStored } from "./reading.ts";
import { ownView, subresourceKind } from "./subresource-kinds.ts";

const TOKEN_REQUEST = { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" };

/** How long a token holds when nobody says so. */
const TOKEN_SECONDS = 3_600;

/** What a client asks a token for. Throws for what is none, before anything is looked for. */
async function readTokenRequest(
  host: VerbHost,
  definition: ResourceDefinition,
  { body, name = "", namespace, options = {} }: Extract<ResourceRequest, { verb: "create" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const kind = subresourceKind(definition, TOKEN_REQUEST, "io.k8s.api.authentication.v1.TokenRequest");
  const asked = admitBody(kind, body, options, context, isKnownIn(host));
  if (asked.metadata.namespace && asked.metadata.namespace !== namespace) throw namespaceMismatch();
  if (asked.metadata.name && asked.metadata.name !== name)
    throw invalid(TOKEN_REQUEST, name, [
      fieldInvalid("metadata.name", asked.metadata.name, "must match the service account name if specified"),
    ]);
  const seconds = getPath(asked, "spec", "expirationSeconds") ?? TOKEN_SECONDS;
  const whole = setPath(asked, ["spec", "expirationSeconds"], seconds);
  return trackFields(host, kind, undefined, whole, options, "token", context);
}

/** A request for a token as users' webhooks and policies let it pass. */
async function admittedTokenRequest(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "create" }>,
  asked: KubeObject,
  context: RequestContext,
): Promise<KubeObject> {
  const { namespace, name = "", options = {} } = request;
  const addressed = withMetadata(asked, { name, ...(namespace === undefined ? {} : { namespace }) });
  const view = ownView(TOKEN_REQUEST);
  const review = admissionRequest("CREATE", definition, addressed, undefined, "token", options, context, { view });
  return (await admit(host.admission, review, (object) => object)) as KubeObject;
}

/** Posts to a subresource: binding, eviction, token and the like. */
export async function createSubresource(
  host: VerbHost,
  definition: ResourceDefinition,
  request: Extract<ResourceRequest, { verb: "create" }>,
  context: RequestContext,
): Promise<KubeObject> {
  const { namespace, subresource, body } = request;
  const name = request.name ?? "";
  if (subresource === "binding" && definition.kind.resource === "pods")
    return bindPod(host, definition, request, context);
  if (subresource === "eviction" && definition.kind.resource === "pods")
    return evictPod(host, definition, request, context);
  const handler = host.connect.get(`${definition.kind.group}/${definition.kind.resource}/${subresource}`);
  if (handler !== undefined) {
    // What is none is told before anything is looked for.
    const asked = subresource === "token" ? await readTokenRequest(host, definition, request, context) : undefined;
    const { object } = readStored(host, definition, namespace, name);
    if (asked === undefined) return handler(object, body, context);
    return handler(object, await admittedTokenRequest(host, definition, request, asked, context), context);
  }
  throw methodNotSupported(definition.kind, "create");
}
