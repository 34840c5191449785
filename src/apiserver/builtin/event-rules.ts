import { deepEqual } from "#base";
import { type FieldError, fieldInvalid, fieldRequired, getPath, type KubeObject } from "#machinery";
import type { Strategy } from "../definition.ts";
import type { Json } from "./pod-defaults.ts";

/**
 * What Events must say. Both groups show the same objects: core/v1 asks little of events without an `eventTime`, and
 * events.k8s.io/v1 asks for one. Messages name fields as kube-apiserver's internal form does (wire).
 */

const TEXT_MAX = 128;
const NOTE_MAX = 1024;
const NAME_PART = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const NAME_TEXT =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const SUBDOMAIN_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/** Names of the fields by group. */
interface Names {
  readonly involved: string;
  readonly message: string;
  readonly controller: string;
  /** How messages call the controller. */
  readonly shownController: string;
  readonly source: string;
  readonly first: string;
  readonly last: string;
  readonly count: string;
}

const CORE: Names = {
  involved: "involvedObject",
  message: "message",
  controller: "reportingComponent",
  shownController: "reportingComponent",
  source: "source",
  first: "firstTimestamp",
  last: "lastTimestamp",
  count: "count",
};
const NEW: Names = {
  involved: "regarding",
  message: "note",
  controller: "reportingController",
  shownController: "reportingController",
  source: "deprecatedSource",
  first: "deprecatedFirstTimestamp",
  last: "deprecatedLastTimestamp",
  count: "deprecatedCount",
};

const textAt = (event: KubeObject, ...path: readonly string[]): string => String(getPath(event, ...path) ?? "");

function qualifiedNameErrors(path: string, name: string): FieldError[] {
  const parts = name.split("/");
  if (parts.length > 2)
    return [
      fieldInvalid(
        path,
        name,
        `a valid label key ${NAME_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
      ),
    ];
  const errors: FieldError[] = [];
  const [prefix, own] = parts.length === 2 ? (parts as [string, string]) : [undefined, parts[0] ?? ""];
  if (prefix === "") errors.push(fieldInvalid(path, name, "prefix part must be non-empty"));
  else if (prefix !== undefined && !SUBDOMAIN.test(prefix))
    errors.push(fieldInvalid(path, name, `prefix part ${SUBDOMAIN_TEXT}`));
  if (own === "") errors.push(fieldInvalid(path, name, "name part must be non-empty"));
  else if (own.length > 63) errors.push(fieldInvalid(path, name, "name part must be no more than 63 bytes"));
  if (!NAME_PART.test(own)) errors.push(fieldInvalid(path, name, `name part ${NAME_TEXT}`));
  return errors;
}

function textErrors(path: string, text: string): FieldError[] {
  if (text === "") return [fieldRequired(path)];
  return text.length > TEXT_MAX ? [fieldInvalid(path, "", `can have at most ${TEXT_MAX} characters`)] : [];
}

/** What both groups ask for. */
function commonErrors(event: KubeObject, names: Names): FieldError[] {
  const own = event.metadata.namespace ?? "";
  const about = textAt(event, names.involved, "namespace");
  const mismatch = fieldInvalid("involvedObject.namespace", about, "does not match event.namespace");
  if (!getPath(event, "eventTime")) {
    // Events about objects without a namespace are kept in `default`.
    return (about === "" ? "default" : about) === own ? [] : [mismatch];
  }
  const controller = textAt(event, names.controller);
  return [
    ...(about === "" && own !== "default" && own !== "kube-system" ? [mismatch] : []),
    ...(controller === "" ? [fieldRequired(names.shownController)] : []),
    ...qualifiedNameErrors(names.shownController, controller),
    ...textErrors("reportingInstance", textAt(event, "reportingInstance")),
    ...textErrors("action", textAt(event, "action")),
    ...textErrors("reason", textAt(event, "reason")),
    ...(textAt(event, names.message).length > NOTE_MAX
      ? [fieldInvalid("message", "", `can have at most ${NOTE_MAX} characters`)]
      : []),
  ];
}

function seriesErrors(event: KubeObject): FieldError[] {
  const series = getPath(event, "series") as
    | { readonly count?: number; readonly lastObservedTime?: unknown }
    | undefined;
  if (series === undefined || series === null) return [];
  return [
    ...((series.count ?? 0) < 2 ? [fieldInvalid("series.count", "", "should be at least 2")] : []),
    ...(series.lastObservedTime ? [] : [fieldRequired("series.lastObservedTime")]),
  ];
}

/** What a new Event of the new group must say beside. */
function newEventErrors(event: KubeObject): FieldError[] {
  const type = textAt(event, "type");
  const source = (getPath(event, NEW.source) ?? {}) as Json;
  const unset = (path: string, isSet: boolean) => (isSet ? [fieldInvalid(path, "", "needs to be unset")] : []);
  return [
    ...(getPath(event, "eventTime") ? [] : [fieldRequired("eventTime")]),
    ...(type === "Normal" || type === "Warning" ? [] : [fieldInvalid("type", "", `has invalid value: ${type}`)]),
    ...unset("firstTimestamp", Boolean(getPath(event, NEW.first))),
    ...unset("lastTimestamp", Boolean(getPath(event, NEW.last))),
    ...unset("count", Boolean(getPath(event, NEW.count))),
    ...unset("source", Boolean(source["component"] || source["host"])),
    ...seriesErrors(event),
  ];
}

const REFERENCE = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"] as const;

/** A reference as messages show it. */
function shownReference(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  const go = (field: string) => (field === "uid" ? "UID" : field === "apiVersion" ? "APIVersion" : capital(field));
  return Object.fromEntries(REFERENCE.map((field) => [go(field), (value as Json)[field] ?? ""]));
}
/** Who reported, as messages show it. */
const shownSource = (source: Json) => ({ Component: source["component"] ?? "", Host: source["host"] ?? "" });

const capital = (text: string) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** A series may grow; everything else of an Event of the new group stays. */
function changeErrors(event: KubeObject, old: KubeObject): FieldError[] {
  const fields: readonly (readonly [string, string, unknown])[] = [
    [NEW.involved, "involvedObject", {}],
    ["reason", "reason", ""],
    [NEW.message, "message", ""],
    [NEW.source, "source", {}],
    [NEW.first, "firstTimestamp", null],
    [NEW.last, "lastTimestamp", null],
    [NEW.count, "count", 0],
    // Kubernetes says it twice.
    ["reason", "reason", ""],
    ["type", "type", ""],
    ["eventTime", "eventTime", null],
    ["action", "action", ""],
    ["related", "related", null],
    [NEW.controller, "reportingController", ""],
    ["reportingInstance", "reportingInstance", ""],
  ];
  const errors = fields.flatMap(([field, shown, absent]) => {
    const after = getPath(event, field) ?? absent;
    if (deepEqual(after, getPath(old, field) ?? absent)) return [];
    const isReference = shown === "involvedObject" || shown === "related";
    const told = isReference ? shownReference(after) : shown === "source" ? shownSource(after as Json) : after;
    return [fieldInvalid(shown, told, "field is immutable")];
  });
  return [...errors, ...seriesErrors(event)];
}

/** Rules of core/v1. */
export const coreEventRules: Pick<Strategy, "validate"> = { validate: (event) => commonErrors(event, CORE) };

/** Rules of events.k8s.io/v1. */
export const newEventRules: Pick<Strategy, "validate" | "validateNew" | "validateUpdate"> = {
  validate: (event) => commonErrors(event, NEW),
  validateNew: newEventErrors,
  validateUpdate: changeErrors,
};
