/**
 * Our API server beside kube-apiserver over etcd, one after the other in one run, each as processes of its own, asked by
 * the same client over HTTPS: writes, reads, a large list, a fan-out of watches, and memory. Both write durably.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setMaxListeners } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Agent, type Dispatcher, request } from "undici";
import { type KubeconfigEndpoint, parseKubeconfig, resolveContext } from "#certs";
import { missingParts, startRealApiServer } from "#lab";
import { type Bench, manyWriters, perSecond, type Row } from "./measure.ts";

const OBJECTS = 10_000;
const OPERATIONS_MAX = 5000;
const LISTS = 5;
const WATCHERS = 100;
const WATCHED_WRITES_MAX = 300;
const CONNECTIONS = 32;
const BYTES = 1000;

interface Server {
  readonly endpoint: KubeconfigEndpoint;
  readonly pids: readonly number[];
}

/** What one server did, by measure. */
type Figures = Readonly<Record<string, number>>;

const units: Readonly<Record<string, string>> = {
  create: "/s",
  get: "/s",
  update: "/s",
  patch: "/s",
  list: "objects/s",
  "watch fan-out": "events/s",
  memory: "MiB",
};

async function measure({ endpoint, pids }: Server, objects: number): Promise<Figures> {
  const dispatcher = new Agent({
    connections: CONNECTIONS,
    connect: { ca: endpoint.certificateAuthority, cert: endpoint.clientCertificate, key: endpoint.clientKey },
  });
  const watching = new Agent({
    bodyTimeout: 0,
    connect: { ca: endpoint.certificateAuthority, cert: endpoint.clientCertificate, key: endpoint.clientKey },
  });
  const maps = `${endpoint.server}/api/v1/namespaces/default/configmaps`;
  const send = async (method: Dispatcher.HttpMethod, url: string, body?: unknown, type = "application/json") => {
    const answer = await request(url, {
      dispatcher,
      method,
      headers: body === undefined ? {} : { "content-type": type },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (answer.statusCode >= 300) throw new Error(`${method} ${url}: ${answer.statusCode} ${await answer.body.text()}`);
    // The bytes are taken and thrown away, for the client's own work is not what is measured.
    let bytes = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) bytes += chunk.length;
    return bytes;
  };
  const object = (number: number, value: string) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "default", name: `map-${number}` },
    data: { a: value.padEnd(BYTES, "x") },
  });
  const operations = Math.min(objects, OPERATIONS_MAX);
  const create = await manyWriters((n) => send("POST", maps, object(n, "")), objects, CONNECTIONS);
  const get = await manyWriters((n) => send("GET", `${maps}/map-${n}`), operations, CONNECTIONS);
  const update = await manyWriters((n) => send("PUT", `${maps}/map-${n}`, object(n, "u")), operations, CONNECTIONS);
  const patch = await manyWriters(
    (n) => send("PATCH", `${maps}/map-${n}`, { data: { b: "p" } }, "application/merge-patch+json"),
    operations,
    CONNECTIONS,
  );
  const listStartedMs = performance.now();
  for (let at = 0; at < LISTS; at++) await send("GET", maps);
  const list = perSecond(objects * LISTS, listStartedMs);
  const fanOut = await watchFanOut(maps, watching, Math.min(objects, WATCHED_WRITES_MAX), (n) =>
    send("PATCH", `${maps}/map-${n}`, { data: { b: "w" } }, "application/merge-patch+json"),
  );
  const memory = pids.reduce((sum, pid) => sum + residentMiB(pid), 0);
  await Promise.all([dispatcher.destroy(), watching.destroy()]);
  return { create, get, update, patch, list, "watch fan-out": fanOut, memory };
}

/** Events per second that all watchers together received, from the first write to the last event. */
async function watchFanOut(
  maps: string,
  dispatcher: Agent,
  writes: number,
  write: (number: number) => Promise<unknown>,
): Promise<number> {
  const page = await request(`${maps}?limit=1`, { dispatcher });
  const version = ((await page.body.json()) as { metadata: { resourceVersion: string } }).metadata.resourceVersion;
  let received = 0;
  let allReceived = () => {};
  const done = new Promise<void>((resolve) => {
    allReceived = resolve;
  });
  const abort = new AbortController();
  setMaxListeners(WATCHERS, abort.signal);
  await Promise.all(
    Array.from({ length: WATCHERS }, async () => {
      const answer = await request(`${maps}?watch=true&resourceVersion=${version}`, {
        dispatcher,
        signal: abort.signal,
      });
      answer.body.on("error", () => {});
      answer.body.on("data", (chunk: Buffer) => {
        for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) received++;
        if (received >= WATCHERS * writes) allReceived();
      });
    }),
  );
  const startedMs = performance.now();
  await manyWriters(write, writes, CONNECTIONS);
  await done;
  const rate = perSecond(received, startedMs);
  abort.abort();
  return rate;
}

const residentMiB = (pid: number) =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;

async function measureOurs(folder: string, objects: number): Promise<Figures> {
  const child: ChildProcess = spawn(
    process.execPath,
    ["bin/flotilla.mjs", "server", `--data-dir=${folder}`, "--secure-port=0"],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  try {
    await new Promise<void>((resolve, reject) => {
      child.stderr?.on("data", (chunk: Buffer) => /control plane is ready/.test(chunk.toString()) && resolve());
      child.on("exit", () => reject(new Error("the server ended; run npm run build first")));
    });
    const endpoint = resolveContext(parseKubeconfig(join(folder, "admin.kubeconfig")));
    return await measure({ endpoint, pids: [child.pid ?? 0] }, objects);
  } finally {
    child.removeAllListeners("exit");
    child.kill("SIGKILL");
  }
}

async function measureReal(folder: string, objects: number): Promise<Figures> {
  const real = await startRealApiServer({ folder });
  try {
    const pids = [real.process().pid, real.etcd.process().pid];
    return await measure({ endpoint: real.endpoint, pids }, objects);
  } finally {
    await real.stop();
  }
}

/** `--size N` says how many objects there are; default 10 000. */
export const api: Bench = async ({ scratch, words }) => {
  const objects = words[0] === undefined ? OBJECTS : Number(words[0]);
  const missing = missingParts(["etcd", "kube-apiserver"]);
  const real = missing.length === 0 ? await measureReal(join(scratch, "real"), objects) : undefined;
  const ours = await measureOurs(join(scratch, "ours"), objects);
  return Object.entries(ours).map(([name, value]): Row => {
    const reference = real?.[name];
    const unit = units[name] ?? "";
    return {
      name: "api",
      measure: `${name}, ${objects} objects of 1 KB over HTTPS, durable`,
      value,
      unit,
      reference:
        reference === undefined
          ? `no kube-apiserver: ${missing.join(", ")} not built`
          : `kube-apiserver and etcd ${Math.round(reference)} ${unit}`,
      ...(reference === undefined ? {} : { ratio: value / reference }),
    };
  });
};
