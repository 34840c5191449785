/** Writes to the Scale of an object: its replicas, and who owns them. */
import {
  ApiError,
  apiVersionOf,
  badRequest,
  conflict,
  fieldInvalid,
  fieldRequired,
  getPath,
  gvkOf,
  invalid,
  type KubeObject,
  type ManagedFieldsEntry,
  notFound,
  objectKey,
  parseApiVersion,
  type ResourceRequest,
  setPath,
  staleConflict,
  withMetadata,
} from "#machinery";
import { applyManaged, mustFitTypes } from "../apply/apply.ts";
import { ownersAfterScale, ownersOfScale, type ReplicasPath } from "../apply/scale-owners.ts";
import type { RequestContext, ResourceDefinition } from "../definition.ts";
import { scaleOf } from "../scale.ts";
import { admitBody, decodeHead, isKnownIn, mustBeAddressed } from "./body.ts";
import { managerOf, ownedKindOf, trackFields } from "./field-owners.ts";
import type { VerbHost } from "./host.ts";
import { modifyObject } from "./modification.ts";
import { admitPatched, asPatch, patchedBy } from "./patched-objects.ts";
import { appliedBody } from "./server-side-apply.ts";
import { subresourceKind } from "./subresource-kinds.ts";

type ScaleRequest = Extract<ResourceRequest, { verb: "update" | "patch" }>;

const SCALE = "io.k8s.api.autoscaling.v1.Scale";
const SCALE_KIND = { group: "autoscaling", version: "v1", kind: "Scale" };
const REPLICAS = ["spec", "replicas"];
const APPLY = "application/apply-patch+yaml";

const replicasPathIn =
  (host: VerbHost, { kind }: ResourceDefinition): ReplicasPath =>
  (apiVersion) => {
    const { group, version } = parseApiVersion(apiVersion);
    const definition = group === kind.group ? host.registry.find(group, version, kind.resource) : undefined;
    return definition === undefined ? undefined : (definition.scale?.spec ?? REPLICAS);
  };

/** Replaces, patches or applies the Scale of an object. */
export async function scaleObject(
  host: VerbHost,
  definition: ResourceDefinition,
  request: ScaleRequest,
  context: RequestContext,
): Promise<KubeObject> {
  const { options = {}, name, namespace } = request;
  const scale = subresourceKind(definition, SCALE_KIND, SCALE);
  const pathIn = replicasPathIn(host, definition);
  const write = scaleWrite(host, definition, scale, request, context);
  const key = objectKey(definition.kind.namespaced ? namespace : undefined, name);
  if (host.store(definition).get(key) === undefined) throw notFound(definition.kind, name);
  const change = async (old: KubeObject): Promise<KubeObject> => {
    const entries = old.metadata.managedFields ?? [];
    const live = withMetadata(scaleOf(definition, old), { managedFields: ownersOfScale(entries, pathIn) });
    const written = await write.change(live);
    const { resourceVersion, uid, managedFields } = written.metadata;
    if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) throw staleConflict(definition.kind, name);
    if (request.verb === "patch" && uid && uid !== old.metadata.uid)
      throw conflict(
        { ...definition.kind, resource: `${definition.kind.resource}/scale` },
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`,
      );
    const owners = ownersAfterScale(entries, managedFields ?? [], pathIn, {
      apiVersion: apiVersionOf(definition.kind),
      isCustom: definition.origin === "custom",
    });
    const scaled = setPath(old, definition.scale?.spec ?? REPLICAS, replicasOf(definition, written));
    return withMetadata(scaled, { ...(uid ? { uid } : {}), managedFields: owners as ManagedFieldsEntry[] | undefined });
  };
  return modifyObject(host, definition, request, options, context, change, {
    expectedVersion: write.expectedVersion,
    show: (result) => scaleOf(definition, result),
    ownsFields: true,
    view: {
      kind: SCALE_KIND,
      show: (object) => scaleOf(definition, object),
      take: (shown, object) => setPath(object, definition.scale?.spec ?? REPLICAS, replicasOf(definition, shown)),
    },
  });
}

/** The replicas a Scale asks for; absent means none. Custom objects are checked as a whole when they have them. */
function replicasOf({ origin }: ResourceDefinition, scale: KubeObject): number {
  const replicas = (getPath(scale, ...REPLICAS) as number | undefined) ?? 0;
  if (replicas < 0 && origin === "builtin")
    throw invalid({ group: "autoscaling", kind: "Scale" }, scale.metadata.name ?? "", [
      fieldInvalid("spec.replicas", replicas, "must be greater than or equal to 0"),
    ]);
  return replicas;
}

interface ScaleWrite {
  readonly expectedVersion: string | undefined;
  /** The Scale after the write, with its owners. */
  change(live: KubeObject): Promise<KubeObject>;
}

/** What a request does to a Scale; what can be refused without one is refused here. */
function scaleWrite(
  host: VerbHost,
  { origin }: ResourceDefinition,
  scale: ResourceDefinition,
  request: ScaleRequest,
  context: RequestContext,
): ScaleWrite {
  const { options = {} } = request;
  const decode = (body: KubeObject) => admitBody(scale, body, options, context, isKnownIn(host));
  const track = (live: KubeObject, written: KubeObject) =>
    trackFields(host, scale, live, written, options, "scale", context);
  if (request.verb === "update") {
    const body = origin === "custom" ? decodedForeign(() => decode(request.body)) : undefined;
    mustBeAddressed(scale, decodeHead(scale, request.body).metadata, request);
    const sent = body ?? decode(request.body);
    return { expectedVersion: sent.metadata.resourceVersion, change: (live) => track(live, sent) };
  }
  if (request.patchType === APPLY) return scaleApply(host, scale, request);
  const version = getPath(request.body, "metadata", "resourceVersion");
  return {
    expectedVersion: typeof version === "string" ? version : undefined,
    async change(live) {
      const patched = patchedBy(scale, request, live);
      const admitted = asPatch(scale, request.patchType, request.body, patched, live, () =>
        // The server of custom objects does not care in which version their scale is.
        origin === "custom" ? decode(patched) : admitPatched(scale, patched, options, context, isKnownIn(host)),
      );
      mustBeAddressed(scale, admitted.metadata, request);
      return track(live, admitted);
    },
  };
}

/** The server of custom objects does not know the kind their scale is of, so that it has one word for all mistakes. */
function decodedForeign(decode: () => KubeObject): KubeObject {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== "BadRequest") throw error;
    throw badRequest('no kind is registered for the type v1.Scale in scheme "pkg/runtime/scheme.go:111"');
  }
}

function scaleApply(
  host: VerbHost,
  scale: ResourceDefinition,
  request: Extract<ScaleRequest, { verb: "patch" }>,
): ScaleWrite {
  const { options = {}, body } = request;
  if (!options.fieldManager)
    throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", [
      fieldRequired("fieldManager", "is required for apply patch"),
    ]);
  const applied = decodeHead(scale, appliedBody(body));
  const { group, version, kind } = gvkOf({ apiVersion: applied.apiVersion ?? "", kind: applied.kind ?? "" });
  if (group !== scale.kind.group || kind !== scale.kind.kind || version !== scale.kind.version)
    throw badRequest(`invalid object type: ${group}/${version}, Kind=${kind}`);
  if (applied.metadata.managedFields !== undefined) throw badRequest("metadata.managedFields must be nil");
  mustFitTypes(applied, ownedKindOf(scale));
  const manager = managerOf(host, scale, options, "scale");
  return {
    expectedVersion: applied.metadata.resourceVersion,
    async change(live) {
      const merged = await applyManaged(live, applied, ownedKindOf(scale), manager);
      if (applied.metadata.name) mustBeAddressed(scale, applied.metadata, request);
      return merged;
    },
  };
}
