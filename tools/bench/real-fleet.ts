/** A control plane as users run it, in a process of its own, over members of real Kubernetes. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster } from "#apis/karmada";
import { parseKubeconfig, resolveContext } from "#certs";
import { type Client, createClient, createHttpTransport, type HttpTransport } from "#client";
import { type RealMember, type RealMemberOptions, startRealMember } from "#lab";

const START_MS = 60_000;
const LOOK_MS = 100;

export interface RealFleet {
  readonly plane: Client;
  readonly members: readonly RealMember[];
  /** An administrator's client of a member, by the same library as the control plane's. */
  inMember(member: RealMember): Client;
  /** CPU time of the control plane's process so far, in milliseconds. */
  cpuMs(): number;
  /** Ends the control plane as a crash would. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts members, a built `flotilla server`, and joins them; resolves when all are Ready. */
export async function startRealFleet(
  scratch: string,
  count: number,
  options: RealMemberOptions = {},
  flags: readonly string[] = [],
): Promise<RealFleet> {
  const data = join(scratch, "plane");
  const transports: HttpTransport[] = [];
  const members: RealMember[] = [];
  let server: ChildProcess | undefined;
  const connect = (kubeconfig: string): Client => {
    const { namespace: _namespace, ...endpoint } = resolveContext(parseKubeconfig(kubeconfig));
    const transport = createHttpTransport(endpoint);
    transports.push(transport);
    return createClient(transport);
  };
  const end = async (signal: NodeJS.Signals) => {
    const child = server;
    server = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  };
  let plane: Client | undefined;
  const fleet: RealFleet = {
    get plane() {
      if (plane === undefined) throw new Error("the control plane does not run");
      return plane;
    },
    members,
    inMember: (member) => connect(member.kubeconfig),
    cpuMs: () => {
      const fields = readFileSync(`/proc/${server?.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      // User and system time in ticks of a hundredth of a second.
      return (Number(fields[11]) + Number(fields[12])) * 10;
    },
    kill: () => end("SIGKILL"),
    async start() {
      const child = spawn(
        process.execPath,
        [...serverFlags(), "bin/flotilla.mjs", "server", `--data-dir=${data}`, "--secure-port=0", ...flags],
        {
          stdio: ["ignore", "ignore", "pipe"],
        },
      );
      server = child;
      await new Promise<void>((resolve, reject) => {
        let said = "";
        child.stderr.on("data", (chunk: Buffer) => {
          said = (said + chunk.toString()).slice(-4_000);
          if (said.includes("control plane is ready")) resolve();
        });
        child.once("exit", () => reject(new Error(`the server ended; run npm run build first\n${said}`)));
      });
      plane = connect(join(data, "admin.kubeconfig"));
    },
    async stop() {
      await end("SIGTERM");
      await Promise.all(transports.map((transport) => transport.close()));
      await Promise.all(members.map((member) => member.stop()));
    },
  };
  try {
    for (let at = 1; at <= count; at++) {
      const name = `member${at}`;
      members.push(await startRealMember({ ...options, name, folder: join(scratch, name) }));
    }
    await fleet.start();
    for (const { name, kubeconfig } of members)
      await run(["join", name, "--kubeconfig", join(data, "admin.kubeconfig"), "--cluster-kubeconfig", kubeconfig]);
    await until(async () => {
      const { items } = await fleet.plane.list(Cluster);
      return items.length === count && items.every(({ status }) => status?.resourceSummary !== undefined);
    }, START_MS);
    return fleet;
  } catch (error) {
    await fleet.stop();
    throw error;
  }
}

const run = (words: readonly string[]) =>
  new Promise<void>((resolve, reject) =>
    execFile(process.execPath, ["bin/flotilla.mjs", ...words], (error, _stdout, stderr) =>
      error === null ? resolve() : reject(new Error(stderr)),
    ),
  );

/** Looks ten times a second. */
export async function until(look: () => boolean | Promise<boolean>, limitMs: number): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`it never came true: ${look.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** What is given to Node for the server alone, such as `--cpu-prof --cpu-prof-dir=DIR`. */
const serverFlags = (): readonly string[] =>
  (process.env["SERVER_NODE_FLAGS"] ?? "").split(" ").filter((word) => word !== "");
