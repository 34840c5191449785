/** Schedules of CronJobs, read as the library reads them that Kubernetes uses; texts are its (wire). */
import { type FieldError, fieldInvalid, fieldRequired } from "#machinery";
import type { Json } from "./pod-defaults.ts";

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names: Readonly<Record<string, number>>;
}

const namesOf = (text: string, first: number) =>
  Object.fromEntries(text.split(" ").map((name, at) => [name, first + at]));
const FIELDS: readonly Bounds[] = [
  { min: 0, max: 59, names: {} },
  { min: 0, max: 23, names: {} },
  { min: 1, max: 31, names: {} },
  { min: 1, max: 12, names: namesOf("jan feb mar apr may jun jul aug sep oct nov dec", 1) },
  { min: 0, max: 6, names: namesOf("sun mon tue wed thu fri sat", 0) },
];
const WORDS = new Set(["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]);
const DURATION =
  /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))*$/;

/** Why a schedule is none; `undefined` when it is one. */
function mistakeIn(schedule: string): string | undefined {
  if (schedule.startsWith("@")) {
    if (WORDS.has(schedule)) return undefined;
    if (schedule.startsWith("@every ")) {
      const duration = schedule.slice("@every ".length);
      return DURATION.test(duration) || duration === "0"
        ? undefined
        : `failed to parse duration ${schedule}: time: invalid duration ${JSON.stringify(duration)}`;
    }
    return `unrecognized descriptor: ${schedule}`;
  }
  const parts = schedule.split(/\s+/).filter((part) => part !== "");
  if (parts.length !== FIELDS.length) return `expected exactly 5 fields, found ${parts.length}: [${parts.join(" ")}]`;
  for (const [at, part] of parts.entries())
    for (const range of part.split(",").filter((text) => text !== "")) {
      const mistake = rangeMistake(range, FIELDS[at] as Bounds);
      if (mistake !== undefined) return mistake;
    }
  return undefined;
}

function rangeMistake(text: string, bounds: Bounds): string | undefined {
  const [range = "", step, ...more] = text.split("/");
  const [low = "", high, ...rest] = range.split("-");
  let start: number | string;
  let end: number | string;
  if (low === "*" || low === "?") [start, end] = [bounds.min, bounds.max];
  else {
    start = numberOf(low, bounds);
    if (typeof start === "string") return start;
    if (rest.length > 0) return `too many hyphens: ${text}`;
    end = high === undefined ? start : numberOf(high, bounds);
    if (typeof end === "string") return end;
  }
  let by = 1;
  if (step !== undefined) {
    if (more.length > 0) return `too many slashes: ${text}`;
    const value = plainNumber(step);
    if (typeof value === "string") return value;
    by = value;
    if (high === undefined && low !== "*" && low !== "?") end = bounds.max;
  }
  if (start < bounds.min) return `beginning of range (${start}) below minimum (${bounds.min}): ${text}`;
  if (end > bounds.max) return `end of range (${end}) above maximum (${bounds.max}): ${text}`;
  if (start > end) return `beginning of range (${start}) beyond end of range (${end}): ${text}`;
  return by === 0 ? `step of range should be a positive number: ${text}` : undefined;
}

const numberOf = (text: string, { names }: Bounds): number | string => names[text.toLowerCase()] ?? plainNumber(text);

function plainNumber(text: string): number | string {
  if (!/^[+-]?\d+$/.test(text))
    return `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
  const value = Number(text);
  return value < 0 ? `negative number (${value}) not allowed: ${text}` : value;
}

export function scheduleErrors(spec: Json, path: string): FieldError[] {
  const schedule = String(spec["schedule"] ?? "");
  const where = `${path}.schedule`;
  if (schedule === "") return [fieldRequired(where)];
  const zone = /^(?:CRON_TZ|TZ)=\S*\s+/.exec(schedule)?.[0] ?? "";
  const mistake = mistakeIn(schedule.slice(zone.length));
  const errors = mistake === undefined ? [] : [fieldInvalid(where, schedule, mistake)];
  if (schedule.includes("TZ"))
    errors.push(fieldInvalid(where, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"));
  return errors;
}

/** Zones are files elsewhere, whose names keep their capitals; every part of one begins with one. */
function isWrittenAsNamed(zone: string): boolean {
  const known = Intl.supportedValuesOf("timeZone").find((name) => name.toLowerCase() === zone.toLowerCase());
  return known === undefined ? !/(?:^|\/)[a-z]/.test(zone) : known === zone;
}

/** Zones that this machine's time zone data knows are those that users may name. */
export function zoneErrors(zone: unknown): FieldError[] {
  if (zone === undefined) return [];
  const text = String(zone);
  const refuse = (why: string) => [fieldInvalid("spec.timeZone", text, why)];
  if (text === "") return refuse("timeZone must be nil or non-empty string");
  if (text.toLowerCase() === "local")
    return refuse("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
  try {
    new Intl.DateTimeFormat("en", { timeZone: text });
    return isWrittenAsNamed(text) ? [] : refuse(`unknown time zone ${text}`);
  } catch {
    return refuse(`unknown time zone ${text}`);
  }
}
