import type { Informer } from "#client";
import type { ControllerContext, Request } from "#controller-runtime";
import type { Interpreter } from "#interpreter";
import type { Member, MemberPool } from "#member";
import type { Contests } from "./contest.ts";
import type { DeletionBrake } from "./deletion-brake.ts";
import type { WorkCondition } from "./plan.ts";
import type { VersionRecord } from "./version-record.ts";

export type Context = ControllerContext<
  { readonly members: MemberPool; readonly interpreter: Interpreter; readonly own?: string },
  unknown
>;

/** What execution remembers between reconciles; all of it is a shortcut that a restart may lose. */
export interface Memory {
  readonly versions: VersionRecord;
  readonly contests: Contests;
  readonly brake: DeletionBrake;
  /** Conditions of Works that were carried out and that are still to be written, by request. */
  readonly untold: Map<string, readonly WorkCondition[]>;
  /** Since when a Work finds its member busy, by request. */
  readonly busySinceMs: Map<string, number>;
  /** Works that wait for the first list of a kind in their member, by request. */
  readonly unlisted: Map<Informer, Map<string, Request>>;
  /** Members at which Works stand aside. */
  readonly watched: Set<Member>;
}
