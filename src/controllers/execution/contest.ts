import { deepEqual } from "#base";
import { getPath, type KubeObject, setPath } from "#machinery";
import { contentDigest } from "./plan.ts";

/** A field that somebody in the member keeps setting to something else than the template says. */
export interface Contested {
  /** The way to it, as in JSON. */
  readonly path: readonly (string | number)[];
  /** Who sets it in the member, as the member's own records say. */
  readonly manager: string;
  readonly ours: unknown;
  readonly theirs: unknown;
}

interface Contest {
  readonly digest: string;
  /** When each field was set right, by its path as text. */
  readonly repairs: Map<string, number[]>;
  readonly yielded: Map<string, Contested>;
}

/** On a Work: fields left to the member, so that a restart does not take the fight up again. */
export const CONTESTED_FIELDS = "execution.flotilla.io/contested-fields";

/** Repairs of one field within the window after which it is left to the member. */
const REPAIRS_MAX = 4;
const WINDOW_MS = 300_000;
/** Objects remembered; what is forgotten is contested anew. */
const OBJECTS_MAX = 10_000;
const PATHS_MAX = 20;

/** Stands for fields the template does not speak of, which are taken off and come back. */
const ADDITIONS: readonly string[] = ["(fields added in the member)"];
const isAdditions = (path: readonly (string | number)[]) => path.length === 1 && path[0] === ADDITIONS[0];
const keyOfPath = (path: readonly (string | number)[]) => path.join("\u0000");

/**
 * Watches what is repaired in members again and again. A field that flips between us and a controller or webhook of the
 * member is left to the member until the manifest says something else of the object.
 */
export class Contests {
  readonly #contests = new Map<string, Contest>();

  /** What is left to the member, given the present manifest; a manifest that changed begins anew. */
  yieldedFor(key: string, manifest: KubeObject): readonly Contested[] {
    const contest = this.#contests.get(key);
    if (contest === undefined) return [];
    if (contest.digest !== contentDigest(manifest)) {
      this.#contests.delete(key);
      return [];
    }
    return [...contest.yielded.values()];
  }

  /** Takes up what a Work remembers of an object, if it was said of this very manifest. */
  restore(key: string, manifest: KubeObject, text: string | undefined): void {
    if (text === undefined || this.#contests.has(key)) return;
    const digest = contentDigest(manifest);
    const own = readRemembered(text).find((each) => each.digest === digest);
    if (own === undefined) return;
    const fields = own.fields.map((field) => (isAdditions(field.path) ? { ...field, path: ADDITIONS } : field));
    this.#add(key, {
      digest,
      repairs: new Map(),
      yielded: new Map(fields.map((field) => [keyOfPath(field.path), field])),
    });
  }

  #add(key: string, contest: Contest): void {
    this.#contests.delete(key);
    const [oldest] = this.#contests.keys();
    if (this.#contests.size >= OBJECTS_MAX && oldest !== undefined) this.#contests.delete(oldest);
    this.#contests.set(key, contest);
  }

  /** Whether fields of an object are about to be left to the member: who sets them is then worth asking. */
  isPressing(key: string): boolean {
    const repairs = this.#contests.get(key)?.repairs.values() ?? [];
    return [...repairs].some((times) => times.length >= REPAIRS_MAX - 1);
  }

  /**
   * Asked when an object that was as the manifest says is about to be set right. Gives the fields that are left to the
   * member from now on because this has gone on for too long. `witness` is the object with its records of managers.
   */
  yieldNow(
    key: string,
    manifest: KubeObject,
    desired: KubeObject,
    observed: KubeObject,
    nowMs: number,
    witness: KubeObject = observed,
  ): readonly Contested[] {
    const contest = this.#contests.get(key);
    if (contest === undefined || contest.digest !== contentDigest(manifest)) return [];
    const fresh: Contested[] = [];
    for (const path of repairedPaths(desired, observed)) {
      const text = keyOfPath(path);
      const times = (contest.repairs.get(text) ?? []).filter((time) => nowMs - time < WINDOW_MS);
      if (times.length < REPAIRS_MAX - 1 || contest.yielded.has(text)) continue;
      const contested = {
        path,
        manager: managerOf(witness, path),
        ours: getPath(desired, ...path),
        theirs: getPath(observed, ...path),
      };
      contest.yielded.set(text, contested);
      fresh.push(contested);
    }
    return fresh;
  }

  /** Notes that an object was set right: the write went through. */
  noteRepair(key: string, manifest: KubeObject, desired: KubeObject, observed: KubeObject, nowMs: number): void {
    const digest = contentDigest(manifest);
    let contest = this.#contests.get(key);
    if (contest?.digest !== digest) {
      contest = { digest, repairs: new Map(), yielded: new Map() };
      this.#add(key, contest);
    }
    for (const path of repairedPaths(desired, observed)) {
      const text = keyOfPath(path);
      const times = (contest.repairs.get(text) ?? []).filter((time) => nowMs - time < WINDOW_MS);
      contest.repairs.set(text, [...times, nowMs]);
    }
  }
}

interface Remembered {
  readonly digest: string;
  readonly fields: readonly Contested[];
}

/** What a Work is to remember of its manifests' contested fields; `undefined` when there are none. */
export function rememberedText(
  contests: readonly { readonly manifest: KubeObject; readonly fields: readonly Contested[] }[],
): string | undefined {
  const found = contests
    .filter(({ fields }) => fields.length > 0)
    .map(({ manifest, fields }): Remembered => ({ digest: contentDigest(manifest), fields }));
  return found.length === 0 ? undefined : JSON.stringify(found);
}

/** Reads what a Work remembers; nothing where somebody has spoilt the text. */
function readRemembered(text: string): readonly Remembered[] {
  try {
    const found: unknown = JSON.parse(text);
    return Array.isArray(found)
      ? (found as readonly Remembered[]).filter(
          (each) =>
            isMap(each) && Array.isArray(each["fields"]) && each.fields.every(({ path }) => Array.isArray(path)),
        )
      : [];
  } catch {
    return [];
  }
}

/** What a repair sets right; where nothing of ours differs it takes off what was added. */
function repairedPaths(desired: KubeObject, observed: KubeObject): readonly (readonly (string | number)[])[] {
  const differing = differingPaths(desired, observed);
  return differing.length === 0 ? [ADDITIONS] : differing;
}

/** The object with contested fields as the member has them. */
export function yieldFields(desired: KubeObject, observed: KubeObject, contested: readonly Contested[]): KubeObject {
  let result = desired;
  for (const { path } of contested) {
    if (path === ADDITIONS) {
      for (const field of ["data", "binaryData"]) {
        const [mine, added] = [getPath(result, field), getPath(observed, field)];
        if (isMap(added)) result = setPath(result, [field], { ...added, ...(isMap(mine) ? mine : {}) });
      }
      continue;
    }
    const theirs = getPath(observed, ...path);
    if (theirs !== undefined) result = setPath(result, path, theirs);
  }
  return result;
}

/** Ways to the fields in which an object differs from what is desired; what members add is no difference. */
export function differingPaths(desired: KubeObject, observed: KubeObject): readonly (readonly (string | number)[])[] {
  const found: (readonly (string | number)[])[] = [];
  const walk = (want: unknown, have: unknown, path: readonly (string | number)[]) => {
    if (found.length >= PATHS_MAX || want === undefined || want === null) return;
    if (Array.isArray(want) && Array.isArray(have) && want.length === have.length) {
      for (const [at, item] of want.entries()) walk(item, have[at], [...path, at]);
      return;
    }
    if (isMap(want) && isMap(have)) {
      for (const [key, value] of Object.entries(want)) walk(value, have[key], [...path, key]);
      return;
    }
    if (!deepEqual(want, have)) found.push(path);
  };
  const { metadata: _want, status: _wanted, ...want } = desired as KubeObject & { readonly status?: unknown };
  const { metadata: _have, status: _had, ...have } = observed as KubeObject & { readonly status?: unknown };
  walk(want, have, []);
  return found;
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Who set a field last, by the object's own records of managers. */
export function managerOf(object: KubeObject, path: readonly (string | number)[]): string {
  const entries = (object.metadata.managedFields ?? []) as readonly {
    readonly manager?: string;
    readonly time?: string;
    readonly subresource?: string;
    readonly fieldsV1?: unknown;
  }[];
  const owns = (fields: unknown): boolean => {
    let at = fields;
    for (const part of path) {
      // Items of lists are recorded under their keys; whoever owns the list or one of them is close enough.
      if (typeof part === "number") return true;
      at = isMap(at) ? at[`f:${part}`] : undefined;
      if (at === undefined) return false;
    }
    return true;
  };
  const owners = entries
    .filter(({ fieldsV1, subresource }) => owns(fieldsV1) && subresource !== "status")
    .sort((a, b) => ((a.time ?? "") < (b.time ?? "") ? 1 : -1));
  return owners[0]?.manager ?? "somebody";
}

/** What a Work says of fields that are left to its member. */
export function contestMessage(manifest: KubeObject, contested: readonly Contested[]): string {
  const { namespace, name } = manifest.metadata;
  return contested
    .map(
      ({ path, manager, ours, theirs }) =>
        `${path.join(".")} of ${manifest.kind} ${namespace === undefined ? "" : `${namespace}/`}${name} is set to ${JSON.stringify(theirs)} by ${manager} and to ${JSON.stringify(ours)} by its template; it is left to the member`,
    )
    .join("; ");
}
