import type { Connect, FrontOutcome, RunningApiServer } from "#apiserver";
import { badRequest, getPath, type KubeObject, notFound, parseTime } from "#machinery";

interface ContainerStatus {
  readonly name: string;
  readonly restartCount?: number;
  readonly state?: {
    readonly running?: { readonly startedAt?: string };
    readonly terminated?: { readonly startedAt?: string; readonly finishedAt?: string; readonly exitCode?: number };
    readonly waiting?: { readonly reason?: string };
  };
}

interface LogLine {
  readonly time: string;
  readonly text: string;
}

/**
 * `pods/NAME/log` of a simulated member: what its kubelet knows of a container, as lines. Follows until the pod goes.
 * Errors are a kubelet's.
 */
export function simulatedLogs(api: () => RunningApiServer): Connect {
  return async (request, path) => {
    if (path.group !== "" || path.resource !== "pods" || path.subresource !== "log") return undefined;
    const { server } = api();
    const store = server.store(server.definition({ group: "", version: "v1", resource: "pods" }));
    const loading = store.load();
    if (loading !== undefined) await loading;
    const key = `${path.namespace}/${path.name}`;
    const pod = store.get(key)?.object;
    if (pod === undefined) throw notFound({ group: "", resource: "pods" }, path.name ?? "");
    const query = new URL(request.url, "http://localhost").searchParams;
    const container = containerOf(pod, query.get("container") ?? "");
    const lines = linesOf(pod, container, query.get("previous") === "true");
    const body = Buffer.from(shown(lines, query, server.clock.now()));
    if (query.get("follow") !== "true") return plain(body);
    return {
      stream: true,
      contentType: "text/plain",
      start(write, end) {
        if (body.length > 0) write(body);
        const stop = store.watch({
          event: ({ type, object }) => {
            const isMine = object.metadata.name === path.name && object.metadata.namespace === path.namespace;
            if (isMine && (type === "DELETED" || isOver(object))) {
              stop();
              end();
            }
          },
          closed: end,
        });
        if (isOver(pod)) {
          stop();
          end();
        }
        return { stop };
      },
    };
  };
}

const plain = (body: Buffer): FrontOutcome => ({ status: 200, headers: { "content-type": "text/plain" }, body });
const isOver = (pod: KubeObject) => ["Succeeded", "Failed"].includes(String(getPath(pod, "status", "phase")));

const namesIn = (pod: KubeObject, list: string): readonly string[] =>
  ((getPath(pod, "spec", list) as readonly { readonly name: string }[] | undefined) ?? []).map(({ name }) => name);

/** The container that is meant; a pod with several needs one to be named. */
export function containerOf(pod: KubeObject, asked: string): string {
  const name = pod.metadata.name ?? "";
  const containers = namesIn(pod, "containers");
  if (asked !== "") {
    if ([...containers, ...namesIn(pod, "initContainers")].includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const [first = ""] = containers;
  const preferred = pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"];
  if (preferred !== undefined && containers.includes(preferred)) return preferred;
  if (containers.length > 1)
    throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${containers.join(" ")}]`);
  return first;
}

function linesOf(pod: KubeObject, container: string, wantsPrevious: boolean): readonly LogLine[] {
  const name = pod.metadata.name ?? "";
  const list = ["containerStatuses", "initContainerStatuses"].flatMap(
    (part) => (getPath(pod, "status", part) as readonly ContainerStatus[] | undefined) ?? [],
  );
  const status = list.find((one) => one.name === container);
  if (wantsPrevious && (status?.restartCount ?? 0) === 0)
    throw badRequest(
      `previous terminated container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} not found`,
    );
  const { running, terminated, waiting } = status?.state ?? {};
  const startedAt = running?.startedAt ?? terminated?.startedAt;
  if (startedAt === undefined)
    throw badRequest(
      `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} is waiting to start: ${waiting?.reason ?? "ContainerCreating"}`,
    );
  const node = String(getPath(pod, "spec", "nodeName") ?? "");
  const started = {
    time: startedAt,
    text: `container ${container} of pod ${name} started on node ${node} (simulated)`,
  };
  if (terminated?.finishedAt === undefined) return [started];
  return [
    started,
    { time: terminated.finishedAt, text: `container ${container} ended with code ${terminated.exitCode ?? 0}` },
  ];
}

function shown(lines: readonly LogLine[], query: URLSearchParams, nowMs: number): string {
  const number = (name: string): number | undefined => {
    const text = query.get(name);
    if (text === null || text === "") return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < 0)
      throw badRequest(`${name}: ${JSON.stringify(text)} must be a whole number`);
    return value;
  };
  const sinceSeconds = number("sinceSeconds");
  const sinceMs = sinceSeconds === undefined ? parseTime(query.get("sinceTime")) : nowMs - sinceSeconds * 1000;
  const recent = sinceMs === undefined ? lines : lines.filter(({ time }) => (parseTime(time) ?? 0) >= sinceMs);
  const tail = number("tailLines");
  const kept = tail === undefined ? recent : tail === 0 ? [] : recent.slice(-tail);
  const withTimes = query.get("timestamps") === "true";
  const text = kept.map(({ time, text: words }) => `${withTimes ? `${time} ` : ""}${words}\n`).join("");
  const limit = number("limitBytes");
  return limit === undefined ? text : text.slice(0, limit);
}
