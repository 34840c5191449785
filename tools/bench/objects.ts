/**
 * Many objects: `npm run bench -- objects` writes 100 000 of 2 KiB through HTTPS with 32 writers into the file store, stops
 * the server, and measures how long a start takes and how much memory the objects hold. `--size N` for another number.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Agent, request } from "undici";
import { parseKubeconfig, resolveContext } from "#certs";
import { type Bench, manyWriters, percentile, type Row } from "./measure.ts";

const OBJECTS = 100_000;
const WRITERS = 32;
const BYTES = 2048;
const PAGE = 5_000;
/** Updates timed while all objects are there. */
const UPDATES = 10_000;

const GOALS = { startSeconds: 5, memoryMiB: 1024, p99Ms: 20 };

interface Running {
  readonly child: ChildProcess;
  readonly seconds: number;
}

/** Starts the built program; resolves when it says it is ready. */
async function start(folder: string): Promise<Running> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, ["bin/flotilla.mjs", "server", `--data-dir=${folder}`, "--secure-port=0"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => /control plane is ready/.test(chunk.toString()) && resolve());
    child.once("exit", () => reject(new Error("the server ended; run npm run build first")));
  });
  child.removeAllListeners("exit");
  return { child, seconds: (performance.now() - startedMs) / 1000 };
}

async function stop({ child }: Running): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

const memoryMiB = ({ child: { pid } }: Running, line: "VmRSS" | "VmHWM") =>
  Number(new RegExp(`${line}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;

const cpuSeconds = ({ child: { pid } }: Running) => {
  // After the name in brackets: state is the first field, user and system time the twelfth and thirteenth, in 1/100 s.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

function client(folder: string) {
  const { server, certificateAuthority, clientCertificate, clientKey } = resolveContext(
    parseKubeconfig(join(folder, "admin.kubeconfig")),
  );
  const dispatcher = new Agent({
    connections: WRITERS,
    connect: { ca: certificateAuthority, cert: clientCertificate, key: clientKey },
  });
  const maps = `${server}/api/v1/namespaces/default/configmaps`;
  return {
    maps,
    close: () => dispatcher.destroy(),
    async send(method: "GET" | "POST" | "PUT", url: string, body?: string): Promise<string> {
      const answer = await request(url, {
        dispatcher,
        method,
        ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body }),
      });
      const text = await answer.body.text();
      if (answer.statusCode >= 300) throw new Error(`${method} ${url}: ${answer.statusCode} ${text}`);
      return text;
    },
  };
}

const objectOf = (number: number, letter: string) =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "default", name: `map-${number}` },
    data: { a: letter.repeat(BYTES) },
  });

/** `--size N` says how many objects there are. */
export const objects: Bench = async ({ scratch, words }) => {
  const count = words[0] === undefined ? OBJECTS : Number(words[0]);
  const folder = join(scratch, "objects");
  const timed = async (work: () => Promise<unknown>, into: number[]) => {
    const startedMs = performance.now();
    await work();
    into.push(performance.now() - startedMs);
  };
  const first = await start(folder);
  const writer = client(folder);
  const creations: number[] = [];
  const rate = await manyWriters(
    (n) => timed(() => writer.send("POST", writer.maps, objectOf(n, "x")), creations),
    count,
    WRITERS,
  );
  const updates: number[] = [];
  await manyWriters(
    (n) => timed(() => writer.send("PUT", `${writer.maps}/map-${n}`, objectOf(n, "y")), updates),
    Math.min(count, UPDATES),
    WRITERS,
  );
  const afterWrites = memoryMiB(first, "VmRSS");
  await writer.close();
  await stop(first);

  const second = await start(folder);
  const startCpu = cpuSeconds(second);
  const afterStart = memoryMiB(second, "VmRSS");
  const reader = client(folder);
  let found = 0;
  let page = "";
  do {
    const list = JSON.parse(await reader.send("GET", `${reader.maps}?limit=${PAGE}${page}`)) as {
      readonly items: readonly unknown[];
      readonly metadata: { readonly continue?: string };
    };
    found += list.items.length;
    page = list.metadata.continue ? `&continue=${encodeURIComponent(list.metadata.continue)}` : "";
  } while (page !== "");
  // Some maps are the server's own.
  if (found < count) throw new Error(`after the restart ${found} of ${count} objects are there`);
  const afterList = memoryMiB(second, "VmRSS");
  const most = memoryMiB(second, "VmHWM");
  await reader.close();
  await stop(second);

  const row = (measure: string, value: number, unit: string, goal?: number): Row => ({
    name: "objects",
    measure,
    value,
    unit,
    ...(goal === undefined ? {} : { reference: `goal ${goal} ${unit}`, ratio: value / goal }),
  });
  return [
    row(`creates of 2 KiB over HTTPS, ${WRITERS} writers, durable`, rate, "/s"),
    row("– one of them, p50", percentile(creations, 0.5), "ms"),
    row("– one of them, p99", percentile(creations, 0.99), "ms", GOALS.p99Ms),
    row(`updates with ${count} objects there, p99`, percentile(updates, 0.99), "ms", GOALS.p99Ms),
    row(`process start to ready with ${count} objects`, second.seconds, "s", GOALS.startSeconds),
    row("– of that, CPU", startCpu, "s"),
    row("memory after the writes", afterWrites, "MiB", GOALS.memoryMiB),
    row("memory after the start", afterStart, "MiB", GOALS.memoryMiB),
    row("memory after listing all of them", afterList, "MiB", GOALS.memoryMiB),
    row("most memory after the start", most, "MiB", GOALS.memoryMiB),
  ];
};
