import type { Clock } from "#base";
import {
  ApiError,
  apiError,
  badRequest,
  type FieldError,
  fieldForbidden,
  fieldNotSupported,
  invalid,
  isJsonObject,
  type KubeList,
  type KubeObject,
  type ListOptions,
  resourceExpired,
} from "#machinery";

import { scanJson } from "./http/json-text.ts";

type Head = { readonly apiVersion: string; readonly kind: string };

/** What a list has found: its key, and where it is read from when its page is made. */
export type Listed = readonly [string, { readonly object: KubeObject }];

type Show = (listed: Listed) => KubeObject;

const found = new WeakMap<KubeList, { readonly listed: readonly Listed[]; readonly show: Show }>();

/** What a list shows before it is decoded, for those who take stored bytes; nothing for a list from elsewhere. */
export const listedOf = (list: KubeList): { readonly listed: readonly Listed[]; readonly show: Show } | undefined =>
  found.get(list);

/** A list whose items are decoded together when somebody looks at them. */
function listOf(head: Head, metadata: KubeList["metadata"], listed: readonly Listed[], show: Show): KubeList {
  let items: readonly KubeObject[] | undefined;
  const list: KubeList = {
    ...head,
    metadata,
    get items() {
      return (items ??= listed.map(show));
    },
  };
  found.set(list, { listed, show });
  return list;
}

interface Continuation {
  /** All that was found; the pages of one list share it. */
  readonly items: readonly Listed[];
  /** How many of them were shown. */
  readonly from: number;
  readonly lastKey: string;
  readonly revision: number;
  readonly untilMs: number;
}

/** A revision nobody has written yet, such as one from before a store was lost: clients list anew. */
export const tooLargeVersion = (asked: number, present: number): ApiError =>
  apiError(504, "Timeout", `Timeout: Too large resource version: ${asked}, current: ${present}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });

/** The number a resource version stands for, 0 where none is given; `refuse` makes the error of one that is none. */
export function versionNumber(text: string | undefined, refuse: (why: string) => Error): number {
  if (text === undefined || text === "") return 0;
  const isNumber = /^\d+$/.test(text);
  if (isNumber && BigInt(text) < 2n ** 64n) return Number(text);
  throw refuse(
    `resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: ${isNumber ? "value out of range" : "invalid syntax"}`,
  );
}

/** Refuses combinations of options that contradict each other. `sendInitialEvents` is for watches alone. */
export function checkListOptions(
  options: ListOptions & { readonly sendInitialEvents?: boolean },
  isWatch = false,
): void {
  const { resourceVersionMatch: match, resourceVersion, continue: token, sendInitialEvents } = options;
  if (match === undefined && sendInitialEvents === undefined) return;
  const errors: FieldError[] = [];
  const refuse = (detail: string) => errors.push(fieldForbidden("resourceVersionMatch", detail));
  if (isWatch) {
    if (sendInitialEvents !== undefined && match !== "NotOlderThan")
      refuse("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (match !== undefined) {
      if (sendInitialEvents === undefined)
        refuse("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
      if (match !== "NotOlderThan") errors.push(fieldNotSupported("resourceVersionMatch", match, ["NotOlderThan"]));
      if (token) refuse("resourceVersionMatch is forbidden when continue is provided");
    }
  } else {
    if (match !== undefined) {
      if (!resourceVersion) refuse("resourceVersionMatch is forbidden unless resourceVersion is provided");
      if (token) refuse("resourceVersionMatch is forbidden when continue is provided");
      if (match !== "Exact" && match !== "NotOlderThan")
        errors.push(fieldNotSupported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]));
      if (match === "Exact" && resourceVersion === "0")
        refuse('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
    }
    if (sendInitialEvents !== undefined)
      errors.push(fieldForbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  }
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
}

/** Where a list goes on: behind a key below what it lists, at a revision, or at whatever revision is present. */
export interface ContinuePoint {
  readonly revision: number | "present";
  readonly afterKey: string;
  /** Whether the key itself belongs to what comes. */
  readonly isIncluded?: boolean;
}

/** What the keys of a list begin with: they are known by what comes behind. */
export const prefixOf = (namespace: string | undefined): string => (namespace === undefined ? "" : `${namespace}/`);

const TOKEN_VERSION = "meta.k8s.io/v1";

/** Tokens have Kubernetes' form, so that whoever looks into them finds what he expects. */
function writeToken({ revision, afterKey }: ContinuePoint): string {
  const rv = revision === "present" ? -1 : revision;
  return Buffer.from(JSON.stringify({ v: TOKEN_VERSION, rv, start: `${afterKey}\u0000` })).toString("base64url");
}

/** Reads a token. Throws 400 on one nobody gave. */
export function readToken(token: string): ContinuePoint {
  const refuse = (why: string) => badRequest(`invalid continue token: continue key is not valid: ${why}`);
  const odd = oddByte(token);
  if (odd !== undefined) throw refuse(`illegal base64 data at input byte ${odd}`);
  const bytes = Buffer.from(token, "base64url");
  const { error } = scanJson(bytes.toString("latin1"), 4, true);
  if (error !== undefined) throw refuse(error);
  const value = JSON.parse(bytes.toString("utf8")) as unknown;
  if (!isJsonObject(value)) throw refuse("it holds no object");
  const { v, rv, start } = value;
  if (v !== TOKEN_VERSION) throw refuse(`server does not recognize this encoded version ${String(v ?? "")}`);
  if (!Number.isSafeInteger(rv) || (rv as number) === 0)
    throw refuse("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  if (typeof start !== "string" || start === "") throw refuse("encoded start key empty (version meta.k8s.io/v1)");
  if (start.split("/").includes("..")) throw refuse(start);
  return {
    revision: (rv as number) < 0 ? "present" : (rv as number),
    ...(start.endsWith("\u0000") ? { afterKey: start.slice(0, -1) } : { afterKey: start, isIncluded: true }),
  };
}

/** Where a text stops being base64 of the kind that tokens are written in. */
function oddByte(text: string): number | undefined {
  const at = text.search(/[^\w\r\n-]/);
  if (at >= 0) return at;
  return text.replace(/[\r\n]/g, "").length % 4 === 1 ? text.length - 1 : undefined;
}

/** 410 with a token that goes on from the same place without being consistent. */
export const continueExpired = (point: ContinuePoint): ApiError => {
  const { status } = resourceExpired(
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
  );
  return new ApiError({ ...status, metadata: { continue: writeToken({ ...point, revision: "present" }) } });
};

const CONTINUE_MS = 300_000;
const CONTINUES_MAX = 1_000;

/**
 * Lists in pages of one revision. What follows a page is kept for five minutes, so that pages cost nothing; later, or
 * after a restart, the rest is found again by its token for as long as its revision is known.
 */
export class ListPages {
  readonly #clock: Clock;
  readonly #continuations = new Map<string, Continuation>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `limit` items, and a token for the rest; all of them without a limit. `scope` says what was asked. */
  cut(
    head: Head,
    items: readonly Listed[],
    revision: number,
    {
      limit,
      scope,
      isSelected,
      show,
      from = 0,
      lastKey = "",
      namespace,
    }: {
      readonly limit: number | undefined;
      /** How many items were shown before. */
      readonly from?: number;
      readonly scope: string;
      readonly isSelected: boolean;
      readonly show: Show;
      readonly namespace: string | undefined;
      /** The last key that was looked at: a full page goes on while there are others, whether they are selected or not. */
      readonly lastKey?: string | undefined;
    },
  ): KubeList {
    const resourceVersion = String(revision);
    const end = from + (limit ?? 0);
    const [pageEnd = ""] = items[end - 1] ?? [];
    if (
      limit === undefined ||
      limit <= 0 ||
      items.length < end ||
      (items.length === end && !(isSelected && pageEnd < lastKey))
    )
      return listOf(head, { resourceVersion }, from === 0 ? items : items.slice(from), show);
    const nowMs = this.#clock.now();
    for (const [key, { untilMs }] of this.#continuations) {
      if (untilMs > nowMs && this.#continuations.size < CONTINUES_MAX) break;
      this.#continuations.delete(key);
    }
    const token = writeToken({ revision, afterKey: pageEnd.slice(prefixOf(namespace).length) });
    const key = `${scope} ${token}`;
    this.#continuations.delete(key);
    this.#continuations.set(key, { items, from: end, lastKey, revision, untilMs: nowMs + CONTINUE_MS });
    const metadata = {
      resourceVersion,
      continue: token,
      // What a selection leaves is not counted, as Kubernetes does not.
      ...(isSelected ? {} : { remainingItemCount: items.length - end }),
    };
    return listOf(head, metadata, items.slice(from, end), show);
  }

  /** What is kept for a token of the same question. */
  kept(token: string, scope: string): Omit<Continuation, "untilMs"> | undefined {
    const rest = this.#continuations.get(`${scope} ${token}`);
    return rest === undefined || rest.untilMs < this.#clock.now() ? undefined : rest;
  }
}
