import type { ValueReader } from "./values.ts";

/** Upstream's program a flag comes from; `flotilla` where it is ours alone. */
export type Component =
  | "flotilla"
  | "controller-manager"
  | "scheduler"
  | "descheduler"
  | "scheduler-estimator"
  | "webhook"
  | "agent"
  | "aggregated-apiserver"
  | "search"
  | "metrics-adapter";

/** One option: everything there is to know about it stands here, and the reference page is made of it. */
export interface FlagEntry<T> {
  /** Name without dashes; upstream's where upstream has it (wire). */
  readonly flag: string;
  readonly reader: ValueReader<T>;
  /** The default as a user would write it. */
  readonly default: string;
  readonly meaning: string;
  /** Which of upstream's programs has it. */
  readonly of: readonly Component[];
  /** The folder below `src/` that does what it says. */
  readonly by: string;
  /** Version that had it first. */
  readonly since: string;
  /** Upstream's default where ours differs. */
  readonly upstream?: string;
}

export type FlagTable = Readonly<Record<string, FlagEntry<unknown>>>;

/** What a table's flags are read into: one field an entry, by the entry's key. */
export type ConfigOf<T extends FlagTable> = {
  readonly [K in keyof T]: T[K] extends FlagEntry<infer V> ? V : never;
};

interface Where {
  readonly of: Component | readonly Component[];
  readonly by: string;
  readonly since?: string;
  readonly upstream?: string;
}

/** One line of the table. */
export function flag<T>(
  name: string,
  reader: ValueReader<T>,
  fallback: string,
  meaning: string,
  { of, by, since = "0.1.0", upstream }: Where,
): FlagEntry<T> {
  const components = typeof of === "string" ? [of] : of;
  return {
    flag: name,
    reader,
    default: fallback,
    meaning,
    of: components as readonly Component[],
    by,
    since,
    ...(upstream === undefined ? {} : { upstream }),
  };
}

/** The environment variable that gives a flag where the command line does not. */
export const environmentName = (name: string): string => `FLOTILLA_${name.replaceAll("-", "_").toUpperCase()}`;
