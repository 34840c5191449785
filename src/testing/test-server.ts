import type { RunningApiServer, StartOptions } from "#apiserver";
import { type Clock, VirtualClock } from "#base";
import type { KubeObject, ResourceRequest, Transport, WatchRequest } from "#machinery";
import { startTestApiServer } from "./api-server.ts";
import { settle } from "./eventually.ts";

/** An API server in memory with a short way to send it requests; its clock stands at 2026-01-01 unless one is given. */
export interface TestServer extends RunningApiServer {
  readonly clock: Clock;
  readonly inside: Transport;
  send(verb: ResourceRequest["verb"], resource: string, rest?: object): Promise<KubeObject>;
}

export async function createTestServer(options: Partial<StartOptions> = {}): Promise<TestServer> {
  const clock = options.clock ?? new VirtualClock(Date.UTC(2026, 0, 1), settle);
  const running = await startTestApiServer({ clock, ...options });
  const inside = running.transport();
  return {
    ...running,
    clock,
    inside,
    send: (verb, resource, rest = {}) => inside.send({ verb, ...addressOf(resource), ...rest } as ResourceRequest),
  };
}

/** `apps/v1/deployments`, or `v1/pods` for the core group; with a namespace in front of a space. */
export function addressOf(text: string): { group: string; version: string; resource: string } {
  const [resource = "", version = "", group = ""] = text.split("/").reverse();
  return { group, version, resource };
}

/** Collects what a watch reports, as `TYPE name`. */
export function watchInto(
  server: TestServer,
  resource: string,
  rest: Partial<WatchRequest> = {},
): { readonly seen: string[]; readonly objects: KubeObject[]; stop(): void } {
  const seen: string[] = [];
  const objects: KubeObject[] = [];
  const handle = server.inside.watch(
    { ...addressOf(resource), ...rest },
    {
      event: (type, object) => {
        seen.push(`${type} ${object.metadata.name ?? ""}`.trim());
        objects.push(object);
      },
      closed: (error) =>
        seen.push(`closed${error === undefined ? "" : ` ${(error as { reason?: string }).reason ?? error.message}`}`),
    },
  );
  return { seen, objects, stop: () => handle.stop() };
}
