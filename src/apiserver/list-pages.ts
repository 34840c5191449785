import type { Clock, Random } from "#base";
import { type KubeList, type KubeObject, resourceExpired } from "#machinery";

type Head = { readonly apiVersion: string; readonly kind: string };

interface Continuation {
  readonly items: readonly KubeObject[];
  readonly revision: number;
  readonly untilMs: number;
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
    if (limit === undefined || limit <= 0 || items.length <= limit) return { ...head, metadata: { resourceVersion }, items };
    const nowMs = this.#clock.now();
    for (const [token, { untilMs }] of this.#continuations) {
      if (untilMs > nowMs && this.#continuations.size < CONTINUES_MAX) break;
      this.#continuations.delete(token);
    }
    const token = Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv: revision, id: this.#random.uuid() })).toString("base64url");
    this.#continuations.set(token, { items: items.slice(limit), revision, untilMs: nowMs + CONTINUE_MS });
    return { ...head, metadata: { resourceVersion, continue: token, remainingItemCount: items.length - limit }, items: items.slice(0, limit) };
  }

  next(head: Head, token: string, limit: number | undefined): KubeList {
    const rest = this.#continuations.get(token);
    if (rest === undefined || rest.untilMs < this.#clock.now())
      throw resourceExpired("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.");
    return this.cut(head, rest.items, rest.revision, limit);
  }
}
