/** An autoscaler's row: what each of its metrics is, and what it is to be. */
import { getPath, type KubeObject } from "#machinery";
import { ageOf } from "./ages.ts";

type Metric = Readonly<Record<string, unknown>>;

/** Metrics a row shows. */
const SHOWN_MAX = 2;
const UNKNOWN = "<unknown>";

const at = (object: unknown, ...path: readonly string[]) => getPath(object, ...path);

/** One metric's state beside its goal. `now` is what the status says of it, where it says anything. */
function shown(metric: Metric, now: unknown): string {
  switch (metric["type"]) {
    case "Resource":
      return ofResource(metric["resource"], at(now, "resource", "current"));
    case "ContainerResource":
      return ofResource(metric["containerResource"], at(now, "containerResource", "current"));
    case "Pods":
      return `${String(at(now, "pods", "current", "averageValue") ?? UNKNOWN)}/${String(at(metric, "pods", "target", "averageValue"))}`;
    case "Object":
      return ofValue(at(metric, "object", "target"), at(now, "object", "current"));
    case "External":
      return ofValue(at(metric, "external", "target"), at(now, "external", "current"));
    default:
      return "<unknown type>";
  }
}

function ofResource(wanted: unknown, now: unknown): string {
  const name = String(at(wanted, "name") ?? "");
  const average = at(wanted, "target", "averageValue");
  if (average !== undefined) return `${name}: ${String(at(now, "averageValue") ?? UNKNOWN)}/${String(average)}`;
  const [is, wants] = [at(now, "averageUtilization"), at(wanted, "target", "averageUtilization")];
  const percent = (value: unknown, otherwise: string) => (value === undefined ? otherwise : `${String(value)}%`);
  return `${name}: ${percent(is, UNKNOWN)}/${percent(wants, "<auto>")}`;
}

function ofValue(target: unknown, now: unknown): string {
  const average = at(target, "averageValue");
  return average === undefined
    ? `${String(at(now, "value") ?? UNKNOWN)}/${String(at(target, "value"))}`
    : `${String(at(now, "averageValue") ?? UNKNOWN)}/${String(average)} (avg)`;
}

/** The first version knows one metric, by a name of its own. */
function simpleMetric(autoscaler: KubeObject): readonly string[] {
  const wanted = at(autoscaler, "spec", "targetCPUUtilizationPercentage");
  if (wanted === undefined) return [];
  const now = at(autoscaler, "status", "currentCPUUtilizationPercentage");
  return [`cpu: ${now === undefined ? UNKNOWN : `${String(now)}%`}/${String(wanted)}%`];
}

export function autoscalerCells(autoscaler: KubeObject, nowMs: number): readonly unknown[] {
  const target = at(autoscaler, "spec", "scaleTargetRef") as { kind?: string; name?: string } | undefined;
  const current = (at(autoscaler, "status", "currentMetrics") ?? []) as readonly unknown[];
  const wanted = (at(autoscaler, "spec", "metrics") ?? []) as readonly Metric[];
  const metrics = [...wanted.map((metric, number) => shown(metric, current[number])), ...simpleMetric(autoscaler)];
  const more = metrics.length - SHOWN_MAX;
  return [
    autoscaler.metadata.name ?? "",
    `${target?.kind}/${target?.name}`,
    `${metrics.slice(0, SHOWN_MAX).join(", ") || "<none>"}${more > 0 ? ` + ${more} more...` : ""}`,
    String(at(autoscaler, "spec", "minReplicas") ?? "<unset>"),
    at(autoscaler, "spec", "maxReplicas"),
    at(autoscaler, "status", "currentReplicas") ?? 0,
    ageOf(autoscaler.metadata.creationTimestamp, nowMs),
  ];
}
