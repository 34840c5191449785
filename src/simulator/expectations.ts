/**
 * Children a controller has just made or asked to delete, which its cache may not show yet. Without it a controller that
 * reads a cache older than its own writes would make children twice.
 */
export class Expectations {
  readonly #created = new Map<string, Map<string, number>>();
  readonly #deleted = new Map<string, Map<string, number>>();
  readonly #now: () => number;

  /** `now` in milliseconds; what was never confirmed is forgotten after half a minute. */
  constructor(now: () => number) {
    this.#now = now;
  }

  expectCreated(owner: string, child: string): void {
    remember(this.#created, owner, child, this.#now());
  }

  expectDeleted(owner: string, child: string): void {
    remember(this.#deleted, owner, child, this.#now());
  }

  /** Children made but not among `seen` yet. */
  missing(owner: string, isSeen: (child: string) => boolean): number {
    return settle(this.#created, owner, isSeen, this.#now());
  }

  /** Whether deletion of the child was asked for already. */
  isDeleted(owner: string, child: string): boolean {
    return this.#deleted.get(owner)?.has(child) ?? false;
  }

  /** Forgets deletions of children that are no longer seen. */
  settleDeleted(owner: string, isSeen: (child: string) => boolean): void {
    settle(this.#deleted, owner, (child) => !isSeen(child), this.#now());
  }

  forget(owner: string): void {
    this.#created.delete(owner);
    this.#deleted.delete(owner);
  }
}

const FORGET_MS = 30_000;

function remember(map: Map<string, Map<string, number>>, owner: string, child: string, nowMs: number): void {
  let children = map.get(owner);
  if (children === undefined) map.set(owner, (children = new Map()));
  children.set(child, nowMs);
}

function settle(
  map: Map<string, Map<string, number>>,
  owner: string,
  isConfirmed: (child: string) => boolean,
  nowMs: number,
): number {
  const children = map.get(owner);
  if (children === undefined) return 0;
  for (const [child, sinceMs] of children)
    if (isConfirmed(child) || nowMs - sinceMs > FORGET_MS) children.delete(child);
  if (children.size === 0) map.delete(owner);
  return children.size;
}
