/** An event's row. Both groups serve the same events, each by names of its own. */
import { getPath, type KubeObject } from "#machinery";
import { ageOf } from "./ages.ts";

export function eventCells(event: KubeObject, nowMs: number): readonly unknown[] {
  const at = (...path: readonly string[]) => getPath(event, ...path);
  const text = (value: unknown) => String(value ?? "");
  const about = (at("involvedObject") ?? at("regarding") ?? {}) as { kind?: string; name?: string; fieldPath?: string };
  const first = at("firstTimestamp") ?? at("deprecatedFirstTimestamp") ?? at("eventTime");
  const last =
    at("series") === undefined
      ? (at("lastTimestamp") ?? at("deprecatedLastTimestamp") ?? first)
      : at("series", "lastObservedTime");
  const source = [
    text(at("source", "component") ?? at("deprecatedSource", "component")) ||
      text(at("reportingComponent") ?? at("reportingController")),
    text(at("source", "host") ?? at("deprecatedSource", "host")) || text(at("reportingInstance")),
  ];
  const name = text(about.name);
  return [
    ageOf(last as string | undefined, nowMs),
    text(at("type")),
    text(at("reason")),
    `${text(about.kind).toLowerCase()}${name === "" ? "" : `/${name}`}`,
    text(about.fieldPath),
    source.filter((part) => part !== "").join(", "),
    text(at("message") ?? at("note")).trim(),
    ageOf(first as string | undefined, nowMs),
    at("series") === undefined ? (at("count") ?? at("deprecatedCount") ?? 0) || 1 : (at("series", "count") ?? 0),
    event.metadata.name ?? "",
  ];
}
