import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Connect, RunningApiServer, UpgradeRequest } from "#apiserver";
import { badRequest, getPath, type KubeObject, notFound } from "#machinery";
import { containerOf } from "./logs.ts";

/** Channels of Kubernetes' remote command protocol over WebSockets. */
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const RESULT = 3;
const CLOSE = 255;
const PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const MESSAGE_BYTES_MAX = 1024 * 1024;
const STDIN_BYTES_MAX = 16 * 1024 * 1024;

interface Outcome {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly code: number;
}

interface Surroundings {
  readonly pod: KubeObject;
  readonly container: string;
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly now: () => number;
}

/** The programs every simulated container has; whatever else is asked for is not found, as in an empty image. */
const PROGRAMS: Readonly<Record<string, (args: readonly string[], around: Surroundings) => Outcome>> = {
  true: () => ({ code: 0 }),
  false: () => ({ code: 1 }),
  echo: (args) => ({ stdout: `${args.join(" ")}\n`, code: 0 }),
  hostname: (_args, { pod }) => ({ stdout: `${pod.metadata.name}\n`, code: 0 }),
  date: (_args, { now }) => ({ stdout: `${new Date(now()).toUTCString()}\n`, code: 0 }),
  env: (_args, { env, pod }) => ({
    stdout: [`HOSTNAME=${pod.metadata.name}`, ...env.map(({ name, value }) => `${name}=${value ?? ""}`), ""].join("\n"),
    code: 0,
  }),
};

function runProgram(command: readonly string[], around: Surroundings): Outcome {
  const [name = "", ...args] = command;
  const program = Object.hasOwn(PROGRAMS, name) ? PROGRAMS[name] : undefined;
  if (program !== undefined) return program(args, around);
  return {
    stderr: `exec: ${JSON.stringify(name)}: executable file not found in $PATH (simulated container)\n`,
    code: 127,
  };
}

const statusOf = (code: number): string =>
  JSON.stringify(
    code === 0
      ? { metadata: {}, status: "Success" }
      : {
          metadata: {},
          status: "Failure",
          message: `command terminated with non-zero exit code: exit status ${code}`,
          reason: "NonZeroExitCode",
          details: { causes: [{ reason: "ExitCode", message: String(code) }] },
        },
  );

/**
 * `pods/NAME/exec` and `attach` of a simulated member over WebSockets: a few programs (`echo`, `env`, `hostname`, `date`,
 * `cat`, `true`, `false`), exit codes, standard input. SPDY is refused: nothing runs in these containers that needs it.
 */
export function simulatedExec(api: () => RunningApiServer): Connect {
  const acceptor = new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_BYTES_MAX,
    handleProtocols: (offered) => PROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
  });
  return async (request, path) => {
    if (path.group !== "" || path.resource !== "pods") return undefined;
    if (path.subresource !== "exec" && path.subresource !== "attach") return undefined;
    const { server } = api();
    const store = server.store(server.definition({ group: "", version: "v1", resource: "pods" }));
    const loading = store.load();
    if (loading !== undefined) await loading;
    const pod = store.get(`${path.namespace}/${path.name}`)?.object;
    if (pod === undefined) throw notFound({ group: "", resource: "pods" }, path.name ?? "");
    const query = new URL(request.url, "http://localhost").searchParams;
    const container = containerOf(pod, query.get("container") ?? "");
    const phase = getPath(pod, "status", "phase");
    if (phase !== "Running")
      throw badRequest(
        `cannot exec into a container in a completed pod; current phase is ${String(phase ?? "Pending")}`,
      );
    const isAttach = path.subresource === "attach";
    const command = query.getAll("command");
    if (!isAttach && command.length === 0) throw badRequest("you must specify at least 1 command for the container");
    const containers = (getPath(pod, "spec", "containers") ?? []) as readonly {
      readonly name: string;
      readonly env?: Surroundings["env"];
    }[];
    const env = containers.find(({ name }) => name === container)?.env ?? [];
    const around: Surroundings = { pod, container, env, now: () => server.clock.now() };
    return {
      accept(upgrade: UpgradeRequest, socket: Duplex, head: Buffer) {
        if (String(upgrade.headers.upgrade).toLowerCase() !== "websocket") {
          socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
          return;
        }
        acceptor.handleUpgrade(upgrade, socket, head, (peer) =>
          talk(peer, isAttach || command[0] === "cat", () => runProgram(command, around)),
        );
      },
    };
  };
}

/** Runs the command and tells its output and result; `cat` and attached containers give back what they are sent. */
function talk(peer: WebSocket, echoes: boolean, run: () => Outcome): void {
  const send = (channel: number, text: string | Buffer) =>
    peer.send(Buffer.concat([Buffer.from([channel]), typeof text === "string" ? Buffer.from(text) : text]));
  const finish = ({ stdout = "", stderr = "", code }: Outcome) => {
    if (stdout !== "") send(STDOUT, stdout);
    if (stderr !== "") send(STDERR, stderr);
    send(RESULT, statusOf(code));
    peer.close(1000);
  };
  peer.on("error", () => peer.terminate());
  if (!echoes) {
    finish(run());
    return;
  }
  let bytes = 0;
  peer.on("message", (message: Buffer) => {
    const [channel] = message;
    const content = message.subarray(1);
    if (channel === CLOSE && content[0] === STDIN) finish({ code: 0 });
    if (channel !== STDIN) return;
    bytes += content.length;
    if (bytes > STDIN_BYTES_MAX) {
      finish({ stderr: "standard input is too large\n", code: 1 });
      return;
    }
    // The end of a file, as terminals send it.
    if (content.length === 0 || content.at(-1) === 4) {
      if (content.length > 1) send(STDOUT, content.subarray(0, -1));
      finish({ code: 0 });
      return;
    }
    send(STDOUT, content);
  });
}
