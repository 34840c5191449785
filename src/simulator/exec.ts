import type { Duplex } from "node:stream";
import type { Connect, RunningApiServer, UpgradeRequest } from "#apiserver";
import { badRequest, getPath, type KubeObject, notFound } from "#machinery";
import { containerOf } from "./logs.ts";
import { runProgram, type Surroundings } from "./streams/programs.ts";
import { type Session, spdySession, type Wanted, webSocketSession } from "./streams/sessions.ts";
import { acceptSpdy, asksFor, refuse, webSockets } from "./streams/upgrade.ts";

const WEB_SOCKET_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const SPDY_PROTOCOLS = ["v4.channel.k8s.io"];

/** The pod a connection is for. Throws 404 where there is none. */
export async function podOf(
  { server }: RunningApiServer,
  path: { readonly namespace?: string; readonly name?: string },
): Promise<KubeObject> {
  const store = server.store(server.definition({ group: "", version: "v1", resource: "pods" }));
  const loading = store.load();
  if (loading !== undefined) await loading;
  const pod = store.get(`${path.namespace}/${path.name}`)?.object;
  if (pod === undefined) throw notFound({ group: "", resource: "pods" }, path.name ?? "");
  return pod;
}

/**
 * `pods/NAME/exec` and `attach` of a simulated member, over WebSockets and over SPDY: a few programs (`sh`, `echo`, `cat`,
 * `env`, `hostname`, `date`, `true`, `false`), exit codes, standard input, terminals.
 */
export function simulatedExec(api: () => RunningApiServer): Connect {
  const acceptor = webSockets(WEB_SOCKET_PROTOCOLS);
  return async (request, path) => {
    if (path.group !== "" || path.resource !== "pods") return undefined;
    if (path.subresource !== "exec" && path.subresource !== "attach") return undefined;
    const pod = await podOf(api(), path);
    const query = new URL(request.url, "http://localhost").searchParams;
    const container = containerOf(pod, query.get("container") ?? "");
    const phase = getPath(pod, "status", "phase");
    if (phase !== "Running")
      throw badRequest(
        `cannot exec into a container in a completed pod; current phase is ${String(phase ?? "Pending")}`,
      );
    const isAttach = path.subresource === "attach";
    // An attached container gives back what it is sent.
    const command = isAttach ? ["cat"] : query.getAll("command");
    if (command.length === 0) throw badRequest("you must specify at least 1 command for the container");
    const containers = (getPath(pod, "spec", "containers") ?? []) as readonly {
      readonly name: string;
      readonly env?: Surroundings["env"];
    }[];
    const env = containers.find(({ name }) => name === container)?.env ?? [];
    const asked = (name: string) => ["true", "1"].includes(query.get(name) ?? "");
    const isTerminal = asked("tty");
    const wanted: Wanted = { stdin: asked("stdin"), stdout: asked("stdout"), stderr: asked("stderr"), isTerminal };
    const { server } = api();
    const begin = (session: Session): void => {
      const around = { pod, container, env, now: () => server.clock.now(), isTerminal, ...session };
      Promise.resolve()
        .then(() => runProgram(command, around))
        .then(session.finish, (error: unknown) => {
          server.log.debug("a simulated program ended early", { error });
          session.finish(1);
        });
    };
    return {
      accept(upgrade: UpgradeRequest, socket: Duplex, head: Buffer) {
        const kind = asksFor(upgrade);
        if (kind === "websocket")
          acceptor.handleUpgrade(upgrade, socket, head, (peer) => begin(webSocketSession(peer, wanted)));
        else if (kind === "spdy") {
          if (acceptSpdy(upgrade, socket, SPDY_PROTOCOLS) === undefined) return;
          if (head.length > 0) socket.unshift(head);
          spdySession(socket, wanted, begin);
        } else refuse(socket, 400, "Bad Request", "unable to upgrade: WebSockets and SPDY/3.1 are known");
      },
    };
  };
}
