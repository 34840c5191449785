import { join } from "node:path";
import type { MessagePort } from "node:worker_threads";
import type { MemberOptions } from "../member.ts";
import type { Failure } from "./messages.ts";

/** What a thread is given to start a member: everything that can be copied. */
export interface MemberSeat {
  readonly member: Omit<MemberOptions, "clock" | "random" | "log" | "backend" | "turns">;
  /** The data folder, where the member's store is one on disk. */
  readonly folder: string | undefined;
  /** Of its API server on this machine. */
  readonly serving: {
    readonly certificate: string;
    readonly key: string;
    readonly clientAuthority: string;
    /** The one it had before; default a free one. */
    readonly port?: number;
  };
  /** Whether debug lines are wanted. */
  readonly isVerbose: boolean;
}

/** Where a member keeps what it stores. */
export const memberFolder = (dataFolder: string, name: string): string => join(dataFolder, "members", name);

/** The first message to a thread about a member, with the end of the channel at which it is to answer. */
export interface Seating {
  readonly id: number;
  readonly seat: MemberSeat;
  readonly channel: MessagePort;
}

/** What came of it: the port its API server listens at. */
export type Seated =
  | { readonly id: number; readonly port: number }
  | { readonly id: number; readonly failure: Failure };
