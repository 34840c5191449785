import { type FrontAnswer, type FrontOutcome, type FrontRequest, listOptions, type User } from "#apiserver";
import {
  ApiError,
  apiVersionOf,
  type KubeObject,
  matchesEverything,
  methodNotAllowed,
  objectKey,
  parseLabelSelector,
  plainFailure,
  writeJson,
} from "#machinery";
import { mustBeAllowed, type Review } from "../access.ts";
import type { KindCache, MemberCaches } from "../cache/member-caches.ts";
import { inOrder, shownFrom } from "../cached-objects.ts";
import { type InnerRequest, innerRequest } from "../inner-request.ts";

export interface SearchApiParts {
  readonly caches: MemberCaches;
  readonly review: Review;
  /** Resolves when caches of a kind have been filled, or when waiting for that is over. */
  readonly whenFilled: (kind: {
    readonly group: string;
    readonly version: string;
    readonly resource: string;
  }) => Promise<void>;
}

const JSON_TYPE = { "content-type": "application/json" };
const failed = (status: number, words: string): FrontAnswer => ({
  status,
  headers: JSON_TYPE,
  body: Buffer.from(JSON.stringify({ error: words })),
});

/** `search/cache/PATH`: what the caches of all members have, in one list. Rights on `search` were checked before. */
export async function answerSearch(
  parts: SearchApiParts,
  request: FrontRequest,
  category: string,
  user: User,
): Promise<FrontOutcome> {
  if (request.method !== "GET") throw methodNotAllowed();
  const inner = innerRequest(request, user);
  if (inner?.wanted === undefined) throw plainFailure("only resources can be searched");
  if (category === "opensearch") return { status: 200, headers: {}, body: Buffer.alloc(0) };
  if (category !== "cache") throw plainFailure(`connect with unrecognized search category ${category}`);
  try {
    return await listed(parts, inner, inner.wanted);
  } catch (error) {
    if (error instanceof ApiError) return failed(error.code, error.message);
    throw error;
  }
}

async function listed(
  { caches, review, whenFilled }: SearchApiParts,
  { query, namespace, name }: InnerRequest,
  wanted: NonNullable<InnerRequest["wanted"]>,
): Promise<FrontOutcome> {
  const { resource, subresource } = wanted;
  if (subresource !== "") return failed(400, `${resource}/${subresource}: parts of objects cannot be searched`);
  const { labelSelector } = listOptions(onlyLabels(query));
  await mustBeAllowed(review, { ...wanted, verb: name === undefined ? "list" : "get" });
  await whenFilled(wanted);
  const kind = await caches.served(wanted);
  if (kind === undefined) return failed(500, `the control plane does not serve ${resource} of ${apiVersionOf(wanted)}`);
  const matches = labelSelector === undefined ? matchesEverything : parseLabelSelector(labelSelector);
  const found = (cache: KindCache): readonly KubeObject[] => {
    if (name === undefined) return inOrder(cache, namespace).filter(({ metadata }) => matches(metadata.labels));
    const object = cache.informer.get(objectKey(namespace, name));
    return object === undefined ? [] : [object];
  };
  const head = { apiVersion: apiVersionOf(kind), kind: `${kind.kind}List`, metadata: {} };
  return { status: 200, headers: JSON_TYPE, pieces: pieces(head, caches.caching(kind), found) };
}

/** Nothing but labels is looked at. */
function onlyLabels(query: URLSearchParams): URLSearchParams {
  const selector = query.get("labelSelector");
  return new URLSearchParams(selector === null ? {} : { labelSelector: selector });
}

const PIECE_BYTES = 256 * 1024;

/** A list as JSON, made cluster by cluster while it is taken. */
function* pieces(
  head: object,
  caches: readonly KindCache[],
  found: (cache: KindCache) => readonly KubeObject[],
): Generator<Buffer, void> {
  let text = `${JSON.stringify(head).slice(0, -1)},"items":[`;
  let isFirst = true;
  for (const cache of caches)
    for (const object of found(cache)) {
      text += `${isFirst ? "" : ","}${writeJson(shownFrom(object, cache.cluster))}`;
      isFirst = false;
      if (text.length < PIECE_BYTES) continue;
      yield Buffer.from(text);
      text = "";
    }
  yield Buffer.from(`${text}]}`);
}
