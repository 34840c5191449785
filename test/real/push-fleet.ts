/** A server as a process and real clusters beside it, to be joined as push members. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { Cluster } from "#apis/karmada";
import type { Client } from "#client";
import { type RealMember, type RealMemberOptions, startRealMember } from "#lab";
import { eventually, kubeconfigClients } from "#testing";
import { bundleProgram, type Finished, type Program, type Running } from "../program.ts";

export interface PushFleet {
  readonly folder: string;
  /** Kubeconfig of the server's administrator. */
  readonly admin: string;
  readonly program: Program;
  readonly server: Running;
  readonly plane: Client;
  readonly member: (name: string) => RealMember;
  readonly inMember: (name: string) => Client;
  readonly join: (name: string, ...more: readonly string[]) => Promise<Finished>;
  readonly untilReady: (
    name: string,
    status: string,
    limitMs?: number,
  ) => Promise<{ reason?: string; message?: string }>;
  readonly stop: () => Promise<void>;
}

interface PushFleetOptions {
  readonly members: readonly string[];
  /** What the pods of members answer; by default nothing. */
  readonly streams?: RealMemberOptions["streams"];
  /** Done to its members before the server starts. */
  readonly prepare?: (members: ReadonlyMap<string, RealMember>) => Promise<void>;
  /** More flags of the server, which may name files of its members: those run already. */
  readonly flags?: (members: ReadonlyMap<string, RealMember>) => readonly string[];
}

const READY_LIMIT_MS = 90_000;

/** Starts both, quick to notice what happens; nothing is joined yet. */
export async function startPushFleet({
  members: names,
  flags = () => [],
  prepare,
  streams,
}: PushFleetOptions): Promise<PushFleet> {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-real-"));
  const admin = join(folder, "plane", "admin.kubeconfig");
  const members = new Map<string, RealMember>();
  const { connect, close } = kubeconfigClients();
  const program = await bundleProgram();
  const stop = async () => {
    await close();
    await program.close();
    await Promise.all([...members.values()].map((real) => real.stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const name of names)
      members.set(
        name,
        await startRealMember({
          name,
          folder: join(folder, name),
          isUnsafe: true,
          ...(streams === undefined ? {} : { streams }),
        }),
      );
    await prepare?.(members);
    const server = await program.start(
      [
        "server",
        `--data-dir=${join(folder, "plane")}`,
        "--secure-port=0",
        "--cluster-status-update-frequency=500ms",
        "--cluster-failure-threshold=1s",
        "--cluster-success-threshold=1s",
        "--cluster-api-timeout=8s",
        ...flags(members),
      ],
      /control plane is ready/,
    );
    const plane = connect(admin);
    const clients = new Map([...members].map(([name, real]) => [name, connect(real.kubeconfig)]));
    const of = <T>(from: ReadonlyMap<string, T>, name: string): T => {
      const found = from.get(name);
      if (found === undefined) throw new Error(`there is no ${name}`);
      return found;
    };
    const member = (name: string) => of(members, name);
    return {
      folder,
      admin,
      program,
      server,
      plane,
      member,
      inMember: (name) => of(clients, name),
      join: (name, ...more) =>
        program.run("join", name, "--kubeconfig", admin, "--cluster-kubeconfig", member(name).kubeconfig, ...more),
      untilReady: (name, status, limitMs = READY_LIMIT_MS) =>
        eventually(async () => {
          const ready = (await plane.get(Cluster, { name })).status?.conditions?.find(({ type }) => type === "Ready");
          expect(ready?.status).toBe(status);
          return ready as { reason?: string; message?: string };
        }, limitMs),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
