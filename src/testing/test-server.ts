import { generateKeyPairSync } from "node:crypto";
import { type Clock, seededRandom, silentLogger, VirtualClock } from "#base";
import type { KubeObject, ResourceRequest, Transport, WatchRequest } from "#machinery";
import { createMemoryBackend } from "#store";
import { type RunningApiServer, startApiServer, type StartOptions } from "./start.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});

/** A server in memory for the tests of this room; its clock stands at 2026-01-01 unless one is given. */
export interface TestServer extends RunningApiServer {
  readonly clock: Clock;
  readonly inside: Transport;
  send(verb: ResourceRequest["verb"], resource: string, rest?: object): Promise<KubeObject>;
}

/** Lets everything that is ready run. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export async function createTestServer(options: Partial<StartOptions> = {}): Promise<TestServer> {
  const clock = options.clock ?? new VirtualClock(Date.UTC(2026, 0, 1), settle);
  const running = await startApiServer({
    backend: createMemoryBackend(),
    clock,
    random: seededRandom(1),
    log: silentLogger,
    serviceAccountKeys: { privateKey, publicKey },
    ...options,
  });
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
