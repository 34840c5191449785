/** Real members that outlive the command that started them: what `npm run lab -- up`, `status` and `down` share. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseKubeconfig, resolveContext } from "#certs";
import { createHttpTransport } from "#client";
import { type RealMember, startRealMember } from "./member.ts";
import { claimPort, endByPid, isOurs } from "./process.ts";

interface MemberState {
  readonly name: string;
  readonly folder: string;
  readonly server: string;
  readonly kubeconfig: string;
  /** Process ids by program. */
  readonly programs: Readonly<Record<string, number>>;
}

interface FleetState {
  readonly members: readonly MemberState[];
}

export interface FleetOptions {
  readonly dataDir: string;
  readonly members: number;
  /** Port of the first member's API server; further members take the following ones. Default: free ports. */
  readonly port: number | undefined;
  readonly nodes: number;
  readonly say: (line: string) => void;
}

const statePath = (dataDir: string) => join(dataDir, "lab.json");

function readState(dataDir: string): FleetState {
  if (!existsSync(statePath(dataDir))) return { members: [] };
  try {
    return JSON.parse(readFileSync(statePath(dataDir), "utf8")) as FleetState;
  } catch (error) {
    throw new Error(`${statePath(dataDir)} cannot be read: ${(error as Error).message}`);
  }
}

const idsOf = (state: FleetState) =>
  state.members.flatMap(({ name, folder, programs }) =>
    Object.entries(programs).map(([program, pid]) => ({ name, folder, program, pid })),
  );

async function runningIn(state: FleetState): Promise<ReturnType<typeof idsOf>> {
  const ids = idsOf(state);
  const isRunning = await Promise.all(ids.map(({ pid, folder }) => isOurs(pid, folder)));
  return ids.filter((_, at) => isRunning[at]);
}

/** Starts the members side by side; stops all of them when one does not come up. */
export async function up(options: FleetOptions): Promise<void> {
  const dataDir = resolve(options.dataDir);
  const present = await runningIn(readState(dataDir));
  if (present.length > 0)
    throw new Error(
      `${new Set(present.map(({ name }) => name)).size} members of ${dataDir} are up already: end them with npm run lab -- down, or choose another --data-dir`,
    );
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const startedMs = Date.now();
  const ports: (number | undefined)[] = [];
  for (let at = 0; at < options.members; at++)
    ports.push(options.port === undefined ? undefined : await claimPort(options.port + at, "--port"));
  const members: RealMember[] = [];
  // One after the other: members that start at once on two cores are ready no sooner, and the first is usable early.
  try {
    for (const [at, port] of ports.entries()) {
      const name = `member${at + 1}`;
      const member = await startRealMember({
        name,
        folder: join(dataDir, name),
        lifetime: "detached",
        nodes: options.nodes,
        ...(port === undefined ? {} : { port }),
      });
      members.push(member);
      writeFileSync(statePath(dataDir), `${JSON.stringify({ members: members.map(stateOf) }, null, 2)}\n`);
      options.say(`${name} is ready: ${member.server}, kubeconfig ${member.kubeconfig}`);
    }
  } catch (error) {
    await Promise.all(members.map((member) => member.stop()));
    rmSync(statePath(dataDir), { force: true });
    throw error;
  }
  options.say(`${members.length} members are up after ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
}

const stateOf = (member: RealMember): MemberState => ({
  name: member.name,
  folder: member.folder,
  server: member.server,
  kubeconfig: member.kubeconfig,
  programs: Object.fromEntries(Object.entries(member.programs()).map(([program, { pid }]) => [program, pid])),
});

/** Ends every program of the folder's members and removes their data unless `keeps` it. */
export async function down(dataDir: string, keeps: boolean, say: (line: string) => void): Promise<void> {
  const folder = resolve(dataDir);
  const state = readState(folder);
  const ids = await runningIn(state);
  // etcd goes last, so that the others do not log its absence.
  const last = ids.filter(({ program }) => program === "etcd");
  await Promise.all(ids.filter((id) => !last.includes(id)).map(({ pid, folder: mark }) => endByPid(pid, mark)));
  await Promise.all(last.map(({ pid, folder: mark }) => endByPid(pid, mark)));
  if (!keeps) {
    for (const member of state.members) rmSync(member.folder, { recursive: true, force: true });
    rmSync(statePath(folder), { force: true });
  }
  say(
    state.members.length === 0
      ? `no members in ${folder}`
      : `ended ${ids.length} programs of ${state.members.length} members${keeps ? `; their data stays in ${folder}` : ""}`,
  );
}

/** Prints one line per member; gives whether all of them answer. */
export async function status(dataDir: string, say: (line: string) => void): Promise<boolean> {
  const folder = resolve(dataDir);
  const state = readState(folder);
  if (state.members.length === 0) say(`no members in ${folder}`);
  let isWell = true;
  for (const member of state.members) {
    const programs = await runningIn({ members: [member] });
    const gone = Object.keys(member.programs).filter((name) => programs.every(({ program }) => program !== name));
    const answer = await readiness(member.kubeconfig);
    if (gone.length > 0 || answer !== "ready") isWell = false;
    say(
      `${member.name}  ${answer}  ${member.server}  ${gone.length === 0 ? `${programs.length} programs` : `gone: ${gone.join(", ")}`}  ${member.kubeconfig}`,
    );
  }
  return isWell;
}

async function readiness(kubeconfig: string): Promise<string> {
  const { namespace: _namespace, ...endpoint } = resolveContext(parseKubeconfig(kubeconfig));
  const transport = createHttpTransport({ ...endpoint, timeoutMs: 2000 });
  try {
    const { status: code } = await transport.raw({ method: "GET", path: "/readyz" });
    return code === 200 ? "ready" : `not ready (${code})`;
  } catch (error) {
    return `unreachable (${(error as NodeJS.ErrnoException).code ?? (error as Error).message})`;
  } finally {
    await transport.close();
  }
}
