import type { FrontOutcome, FrontRequest, User } from "#apiserver";
import type { Clock } from "#base";
import { notServed } from "#machinery";
import { mustBeAllowed, type Review } from "../access.ts";
import type { MemberCaches } from "../cache/member-caches.ts";
import type { CachedKind } from "../cache/plan.ts";
import { type InnerRequest, innerRequest } from "../inner-request.ts";
import { getCached, listCached, watchCached } from "./cached.ts";
import { forwardToMember, type ToMember } from "./members.ts";

export type { ToMember } from "./members.ts";

export interface ProxyingParts {
  readonly caches: MemberCaches;
  readonly review: Review;
  readonly toMember: ToMember;
  /** Answers a request of the control plane itself, as the caller and with the caller's rights. */
  readonly toControlPlane: (request: FrontRequest, user: User) => Promise<FrontOutcome>;
  readonly whenPlanned: () => Promise<void>;
  readonly whenFilled: (kind: CachedKind) => Promise<void>;
  readonly clock: Clock;
}

/**
 * `proxying/ANY/proxy/PATH`: all clusters as one API server. Reads of registered kinds come from caches and members, whatever else
 * is done with such objects goes to the member that has them, and all the rest is the control plane's. Rights on
 * `proxying/proxy` were checked before.
 */
export async function answerProxying(parts: ProxyingParts, request: FrontRequest, user: User): Promise<FrontOutcome> {
  const inner = innerRequest(request, user);
  if (inner === undefined) throw notServed();
  const outcome = await answered(parts, request, inner, user);
  return inner.wanted === undefined ? outcome : { ...outcome, about: inner.wanted };
}

async function answered(
  parts: ProxyingParts,
  request: FrontRequest,
  inner: InnerRequest,
  user: User,
): Promise<FrontOutcome> {
  const { caches, review, clock } = parts;
  const { wanted, name, namespace } = inner;
  if (wanted !== undefined) await parts.whenPlanned();
  const kind = wanted === undefined ? undefined : caches.registered(wanted);
  if (wanted === undefined || kind === undefined) return parts.toControlPlane({ ...request, url: inner.url }, user);
  if (kind.namespaced ? namespace === undefined && name !== undefined : namespace !== undefined) throw notServed();
  await parts.whenFilled(kind);
  const asked = { request, inner, kind };
  if (request.method === "GET" && wanted.subresource === "" && request.isUpgrade !== true) {
    await mustBeAllowed(review, wanted);
    if (wanted.verb === "watch") return watchCached({ caches, clock }, asked);
    return name === undefined ? listCached({ caches, clock }, asked) : getCached({ caches, clock }, asked);
  }
  return forwardToMember(parts, asked, user);
}
