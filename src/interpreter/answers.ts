/** How an answer that takes time is had by a plan that does not wait. */

/** Gives answers by what was asked. */
export interface Answers {
  /** The answer, or a throw of `Unanswered` the first time it is asked for, or of what fetching it threw. */
  get<T>(key: string, fetch: () => Promise<T>): T;
}

/** An answer is not there yet. */
export class Unanswered extends Error {
  override readonly name = "Unanswered";
  readonly key: string;
  readonly fetch: () => Promise<unknown>;

  constructor(key: string, fetch: () => Promise<unknown>) {
    super("this answer must be fetched: ask for it");
    this.key = key;
    this.fetch = fetch;
  }
}

/** Whether a plan was stopped because an answer must be fetched first; whoever catches errors passes it on. */
export const isUnanswered = (error: unknown): boolean => error instanceof Unanswered;

type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** Answers one plan may ask for. */
const ANSWERS_MAX = 10_000;

/** Remembers the answers of one plan while it is run again and again. */
export class AnswerBook implements Answers {
  readonly #outcomes = new Map<string, Outcome>();

  get<T>(key: string, fetch: () => Promise<T>): T {
    const outcome = this.#outcomes.get(key);
    if (outcome === undefined) throw new Unanswered(key, fetch);
    if ("error" in outcome) throw outcome.error;
    return outcome.value as T;
  }

  async fetch({ key, fetch }: Unanswered): Promise<void> {
    if (this.#outcomes.size >= ANSWERS_MAX) throw new Error(`one plan asks for more than ${ANSWERS_MAX} answers`);
    try {
      this.#outcomes.set(key, { value: await fetch() });
    } catch (error) {
      this.#outcomes.set(key, { error });
    }
  }
}
