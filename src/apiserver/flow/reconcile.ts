import { deepEqual } from "#base";
import { getPath, isAlreadyExists, isConflict, isNotFound, type KubeObject, type ResourceRequest } from "#machinery";
import { asApiServer } from "../bootstrap-writes.ts";
import type { ApiServer } from "../server.ts";
import { AUTOUPDATE, bootstrapLevels, bootstrapSchemas } from "./bootstrap.ts";

const GROUP = "flowcontrol.apiserver.k8s.io";
const MANAGER = "api-priority-and-fairness-config-producer-v1";
/** Objects that no server is without, whatever anybody wrote into them. */
const MANDATORY: readonly string[] = ["exempt", "catch-all"];

/** Whether the server may still change an object: what it says itself, else whether nobody has changed it yet. */
function isOurs({ metadata: { annotations, generation, name = "" } }: KubeObject): boolean {
  const said = annotations?.[AUTOUPDATE];
  return MANDATORY.includes(name) || (said === undefined ? generation === 1 : said === "true");
}

/**
 * Brings the levels and schemas that every server has up to date: what is absent is created, what nobody claimed is given
 * its specification anew, and what an older server made and this one does not know is deleted.
 */
export async function reconcileFlowObjects(server: ApiServer): Promise<void> {
  await reconcile(server, "prioritylevelconfigurations", bootstrapLevels);
  await reconcile(server, "flowschemas", bootstrapSchemas);
  // Levels go last: a schema names the one it belongs to.
  await removeFormer(server, "flowschemas", bootstrapSchemas);
  await removeFormer(server, "prioritylevelconfigurations", bootstrapLevels);
}

async function stored(server: ApiServer, resource: string): Promise<ReadonlyMap<string, KubeObject>> {
  const definition = server.registry.find(GROUP, "v1", resource);
  if (definition === undefined) return new Map();
  const store = server.store(definition);
  await store.load();
  return new Map([...store.range(undefined)].map(([key, { object }]) => [key, object]));
}

async function reconcile(server: ApiServer, resource: string, wanted: readonly KubeObject[]): Promise<void> {
  if (server.registry.find(GROUP, "v1", resource) === undefined) return;
  const present = await stored(server, resource);
  const at = { group: GROUP, version: "v1", resource };
  await Promise.all(
    wanted.map((body) => {
      const { name = "" } = body.metadata;
      const old = present.get(name);
      const spec = getPath(body, "spec");
      if (old === undefined) return write(server, { verb: "create", ...at, body });
      if (!isOurs(old) || deepEqual(getPath(old, "spec"), spec)) return Promise.resolve();
      return write(server, { verb: "update", ...at, name, body: { ...old, spec } as KubeObject });
    }),
  );
}

async function removeFormer(server: ApiServer, resource: string, wanted: readonly KubeObject[]): Promise<void> {
  const names = new Set(wanted.map(({ metadata }) => metadata.name));
  for (const [name, { metadata }] of await stored(server, resource))
    if (metadata.annotations?.[AUTOUPDATE] === "true" && !names.has(name))
      await write(server, { verb: "delete", group: GROUP, version: "v1", resource, name });
}

/** What another replica did in the meantime is the same. */
async function write(server: ApiServer, request: ResourceRequest): Promise<void> {
  try {
    await asApiServer(server, MANAGER)(request);
  } catch (error) {
    if (!isAlreadyExists(error) && !isConflict(error) && !isNotFound(error)) throw error;
  }
}
