import { parse as parseYaml } from "yaml";
import { CACHED_FROM_CLUSTER } from "#apis/karmada";
import { decodeProtobuf, type FrontForward, type FrontOutcome, type FrontRequest, type User } from "#apiserver";
import {
  isJsonObject,
  type KubeObject,
  methodNotSupported,
  parseJson,
  withKeys,
  withMetadata,
  writeJson,
} from "#machinery";
import type { MemberCaches } from "../cache/member-caches.ts";
import type { CachedKind } from "../cache/plan.ts";
import type { InnerRequest } from "../inner-request.ts";
import { locate } from "./locate.ts";
import { readVersions, versionOf } from "./tokens.ts";

/** Sends a request on to a member as the caller, by the cluster proxy. `url` is the path in the member. */
export type ToMember = (cluster: string, request: FrontRequest, url: string, user: User) => Promise<FrontOutcome>;

/** Everything on registered kinds but reads of whole objects: goes to the one member that has the object. */
export async function forwardToMember(
  { caches, toMember }: { readonly caches: MemberCaches; readonly toMember: ToMember },
  { request, inner, kind }: { readonly request: FrontRequest; readonly inner: InnerRequest; readonly kind: CachedKind },
  user: User,
): Promise<FrontOutcome> {
  const { namespace, name, url } = inner;
  // Where something new is to be, or which of many are meant, nobody says.
  if (name === undefined) throw methodNotSupported(kind, inner.wanted?.verb ?? "");
  const { cluster } = locate(kind, caches.caching(kind), namespace, name);
  const outcome = await toMember(cluster, request, url, user);
  return request.method === "PUT" && "forward" in outcome ? withMembersBody(outcome, cluster, request) : outcome;
}

/** The same with a body as the member knows the object; a body that cannot be read goes as it came. */
async function withMembersBody(outcome: FrontForward, cluster: string, request: FrontRequest): Promise<FrontForward> {
  const body = await request.body();
  const object = readObject(body, String(request.headers["content-type"] ?? ""));
  const own = object === undefined ? undefined : membersObject(object, cluster);
  if (own === undefined || own === object) return { ...outcome, sent: body };
  const { forward } = outcome;
  return {
    ...outcome,
    forward: {
      ...forward,
      headers: [...forward.headers, ["content-type", "application/json"]],
      isDropped: (name) => forward.isDropped?.(name) === true || name === "content-length",
    },
    sent: Buffer.from(writeJson(own)),
  };
}

function readObject(body: Buffer, type: string): KubeObject | undefined {
  try {
    const value: unknown = type.includes("protobuf")
      ? decodeProtobuf(body)
      : type.includes("yaml")
        ? parseYaml(body.toString("utf8"), { version: "1.1" })
        : parseJson(body.toString("utf8"));
    return isJsonObject(value) && isJsonObject(value["metadata"]) ? (value as unknown as KubeObject) : undefined;
  } catch {
    return undefined;
  }
}

/** An object as its cluster knows it: with the cluster's own version, and without a word of where it was read. */
export function membersObject(object: KubeObject, cluster: string): KubeObject {
  const { annotations, resourceVersion = "" } = object.metadata;
  // Objects of lists have the cluster's own version already.
  const versions = readVersions(resourceVersion);
  const isMarked = annotations?.[CACHED_FROM_CLUSTER] !== undefined;
  if (versions === undefined && !isMarked) return object;
  return withMetadata(object, {
    annotations: withKeys(annotations, { [CACHED_FROM_CLUSTER]: undefined }),
    ...(versions === undefined ? {} : { resourceVersion: versionOf(versions, cluster) || undefined }),
  });
}
