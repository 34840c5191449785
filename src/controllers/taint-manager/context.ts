import type { ControllerContext } from "#controller-runtime";
import type { MemberPool } from "#member";

export interface TaintManagerDeps {
  readonly gates: ReadonlySet<string>;
  /** Members as last seen, for the brake; without it only published conditions count. */
  readonly members?: MemberPool;
}

export interface TaintManagerOptions {
  readonly enableNoExecuteTaintEviction: boolean;
  readonly noExecuteTaintEvictionPurgeMode: "Gracefully" | "Directly";
  /** `--resource-eviction-rate`, bindings per second and worker; there are three workers. */
  readonly resourceEvictionRate: number;
  /** Evictions are held while more than this share of the clusters fails at once; 1 never holds. */
  readonly evictionBrakeShare: number;
  /** How long that must be over before evictions go on. */
  readonly evictionBrakeSettleMs: number;
}

export type TaintManagerContext = ControllerContext<TaintManagerDeps, TaintManagerOptions>;
