import type { Clock, Random } from "#base";
import {
  type ApiError,
  apiError,
  type FieldError,
  fieldForbidden,
  fieldNotSupported,
  invalid,
  type KubeList,
  type KubeObject,
  type ListOptions,
  resourceExpired,
} from "#machinery";

type Head = { readonly apiVersion: string; readonly kind: string };

interface Continuation {
  readonly items: readonly KubeObject[];
  readonly revision: number;
  readonly untilMs: number;
}

/** A revision nobody has written yet, such as one from before a store was lost: clients list anew. */
export const tooLargeVersion = (asked: number, present: number): ApiError =>
  apiError(504, "Timeout", `Too large resource version: ${asked}, current: ${present}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });

/** Refuses combinations of options that contradict each other. */
export function checkListOptions({ resourceVersionMatch: match, resourceVersion, continue: token }: ListOptions): void {
  if (match === undefined) return;
  const errors: FieldError[] = [];
  const refuse = (detail: string) => errors.push(fieldForbidden("resourceVersionMatch", detail));
  if (!resourceVersion) refuse("resourceVersionMatch is forbidden unless resourceVersion is provided");
  if (token) refuse("resourceVersionMatch is forbidden when continue is provided");
  if (match !== "Exact" && match !== "NotOlderThan")
    errors.push(fieldNotSupported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]));
  if (match === "Exact" && resourceVersion === "0")
    refuse('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
}

const CONTINUE_MS = 300_000;
const CONTINUES_MAX = 1_000;

/** Lists in pages of one revision. What follows a page is kept for five minutes; a token after that is answered by 410. */
export class ListPages {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #continuations = new Map<string, Continuation>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The first `limit` items, and a token for the rest; all of them without a limit. */
  cut(head: Head, items: readonly KubeObject[], revision: number, limit: number | undefined): KubeList {
    const resourceVersion = String(revision);
    if (limit === undefined || limit <= 0 || items.length <= limit)
      return { ...head, metadata: { resourceVersion }, items };
    const nowMs = this.#clock.now();
    for (const [token, { untilMs }] of this.#continuations) {
      if (untilMs > nowMs && this.#continuations.size < CONTINUES_MAX) break;
      this.#continuations.delete(token);
    }
    const token = Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: revision, id: this.#random.uuid() })).toString(
      "base64url",
    );
    this.#continuations.set(token, { items: items.slice(limit), revision, untilMs: nowMs + CONTINUE_MS });
    return {
      ...head,
      metadata: { resourceVersion, continue: token, remainingItemCount: items.length - limit },
      items: items.slice(0, limit),
    };
  }

  next(head: Head, token: string, limit: number | undefined): KubeList {
    const rest = this.#continuations.get(token);
    if (rest === undefined || rest.untilMs < this.#clock.now())
      throw resourceExpired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
      );
    return this.cut(head, rest.items, rest.revision, limit);
  }
}
