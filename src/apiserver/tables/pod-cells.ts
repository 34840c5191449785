/** A pod's row: what its containers do says more than its phase. */
import { getPath, type KubeObject, parseTime } from "#machinery";
import { ageOf } from "./ages.ts";

type Item = Readonly<Record<string, unknown>>;

const at = (object: unknown, path: string) => getPath(object, ...path.split("."));
const list = (object: unknown, path: string) => (at(object, path) as readonly Item[] | undefined) ?? [];
const none = (value: unknown) => (value ? String(value) : "<none>");

/** Why a container ended: its reason, else its signal, else its exit code. */
function ending(status: Item): string | undefined {
  const ended = at(status, "state.terminated") as { reason?: string; signal?: number; exitCode?: number } | undefined;
  if (ended === undefined) return undefined;
  if (ended.reason) return ended.reason;
  return ended.signal ? `Signal:${ended.signal}` : `ExitCode:${ended.exitCode ?? 0}`;
}

interface Run {
  readonly text: string;
  readonly ready: number;
  readonly restarts: number;
  readonly lastRestart: string | undefined;
}

const lastEnd = (statuses: readonly Item[]): string | undefined =>
  statuses
    .map((status) => at(status, "lastState.terminated.finishedAt") as string | undefined)
    .filter((time) => time !== undefined)
    .sort()
    .at(-1);

const restartsOf = (statuses: readonly Item[]) =>
  statuses.reduce((sum, status) => sum + Number(status["restartCount"] ?? 0), 0);

/** Init containers that stay beside the others. */
const sidecarsOf = (pod: KubeObject) =>
  new Set(
    list(pod, "spec.initContainers")
      .filter((one) => one["restartPolicy"] === "Always")
      .map((one) => one["name"]),
  );

/** The first init container that is not through says what the pod waits for. */
function initRun(pod: KubeObject): Run | undefined {
  const declared = list(pod, "spec.initContainers");
  const stays = sidecarsOf(pod);
  const statuses = list(pod, "status.initContainerStatuses");
  for (const [number, status] of statuses.entries()) {
    if (at(status, "state.terminated.exitCode") === 0) continue;
    if (stays.has(status["name"]) && status["started"] === true) continue;
    const waiting = at(status, "state.waiting.reason") as string | undefined;
    const ended = ending(status);
    const text =
      ended !== undefined
        ? `Init:${ended}`
        : waiting !== undefined && waiting !== "PodInitializing"
          ? `Init:${waiting}`
          : `Init:${number}/${declared.length}`;
    const ready = statuses.slice(0, number).filter((one) => stays.has(one["name"]) && one["ready"] === true).length;
    return { text, ready, restarts: restartsOf(statuses), lastRestart: lastEnd(statuses) };
  }
  return undefined;
}

function mainRun(pod: KubeObject, fallback: string): Run {
  const statuses = list(pod, "status.containerStatuses");
  let text = fallback;
  let hasRunning = false;
  // From the last to the first: the first container that has something to say wins.
  for (const status of [...statuses].reverse()) {
    const waiting = at(status, "state.waiting.reason") as string | undefined;
    const ended = ending(status);
    if (waiting) text = waiting;
    else if (ended !== undefined) text = ended;
    else if (status["ready"] === true && at(status, "state.running") !== undefined) hasRunning = true;
  }
  if (text === "Completed" && hasRunning) {
    const isReady = list(pod, "status.conditions").some(
      (condition) => condition["type"] === "Ready" && condition["status"] === "True",
    );
    text = isReady ? "Running" : "NotReady";
  }
  const stays = sidecarsOf(pod);
  const sidecars = list(pod, "status.initContainerStatuses").filter((status) => stays.has(status["name"]));
  const ready =
    statuses.filter((status) => status["ready"] === true && at(status, "state.running") !== undefined).length +
    sidecars.filter((status) => status["ready"] === true).length;
  const all = [...sidecars, ...statuses];
  return { text, ready, restarts: restartsOf(all), lastRestart: lastEnd(all) };
}

const ENDED = new Set(["Succeeded", "Failed"]);

function gatesOf(pod: KubeObject): string {
  const gates = list(pod, "spec.readinessGates");
  if (gates.length === 0) return "<none>";
  const isTrue = (type: unknown) =>
    list(pod, "status.conditions").some((condition) => condition["type"] === type && condition["status"] === "True");
  return `${gates.filter((gate) => isTrue(gate["conditionType"])).length}/${gates.length}`;
}

export function podCells(pod: KubeObject, nowMs: number): readonly unknown[] {
  const phase = String(at(pod, "status.phase") ?? "");
  const reason = String(at(pod, "status.reason") ?? "");
  const isGated = list(pod, "status.conditions").some(
    (condition) => condition["type"] === "PodScheduled" && condition["reason"] === "SchedulingGated",
  );
  const run = initRun(pod) ?? mainRun(pod, isGated ? "SchedulingGated" : reason || phase);
  let { text } = run;
  if (pod.metadata.deletionTimestamp !== undefined) {
    if (reason === "NodeLost") text = "Unknown";
    else if (!ENDED.has(phase)) text = "Terminating";
  }
  const restarted = run.lastRestart === undefined ? undefined : parseTime(run.lastRestart);
  return [
    pod.metadata.name ?? "",
    `${run.ready}/${list(pod, "spec.containers").length + sidecarsOf(pod).size}`,
    text,
    run.restarts > 0 && restarted !== undefined
      ? `${run.restarts} (${ageOf(run.lastRestart, nowMs)} ago)`
      : String(run.restarts),
    ageOf(pod.metadata.creationTimestamp, nowMs),
    none(at(pod, "status.podIP")),
    none(at(pod, "spec.nodeName")),
    none(at(pod, "status.nominatedNodeName")),
    gatesOf(pod),
  ];
}
