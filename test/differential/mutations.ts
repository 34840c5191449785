/**
 * Mistakes by rule: objects that say all their kinds can say (`objects.yaml`), with one or two of their values made wrong.
 * Each is sent as a new object, as an update and as a status, so that two servers can be asked what they make of it.
 */
import { readFileSync } from "node:fs";
import { parse } from "yaml";

/** A valid object, the collection it is created in, and the status that may be written to it. */
export interface Sample {
  readonly path: string;
  readonly object: Json;
  readonly status?: Json;
}

/** One value made wrong. */
export interface Mutation {
  readonly path: readonly string[];
  /** What is done: a word, or the value that is put there. */
  readonly what: string;
  apply(object: Json): Json;
}

export type Json = Readonly<Record<string, unknown>>;

export const readSamples = (): readonly Sample[] =>
  parse(readFileSync(new URL("objects.yaml", import.meta.url), "utf8")) as readonly Sample[];

const LONG = "a".repeat(300);
/** Members that name the object or its kind: made wrong, they lead elsewhere. */
const KEPT = new Set(["apiVersion", "kind", "metadata.name", "metadata.namespace"]);

const isAny = () => true;
const isAbsent = (wrong: unknown) => wrong === undefined || wrong === null;

/**
 * What kube-apiserver 1.36 hangs up on, so that there is no answer to compare with:
 * - a definition of custom resources with fields to select by, of which a version has no schema: the schema of a version, and
 *   the `openAPIV3Schema` in it, stay as they are (what is in the latter does not);
 * - `x-kubernetes-preserve-unknown-fields: false` anywhere in the schema of such a definition;
 * - a Job of mode Indexed without `completions`.
 */
const HANGS_UP: readonly (readonly [RegExp, (wrong: unknown) => boolean])[] = [
  [/^spec\.versions\.\d+\.schema(?:\.openAPIV3Schema)?$/, isAny],
  [/\.x-kubernetes-preserve-unknown-fields$/, (wrong) => wrong === false],
  [/^spec\.completions$/, isAbsent],
];

/** Claims of a StatefulSet are looked at in an order that is another one each time: there is one, or several that are the same. */
const BY_CHANCE = /^spec\.volumeClaimTemplates$/;
const isByChance = (path: string, wrong: unknown) =>
  BY_CHANCE.test(path) &&
  Array.isArray(wrong) &&
  wrong.length > 1 &&
  JSON.stringify(wrong[0]) !== JSON.stringify(wrong[1]);

const hangsUp = (path: string, wrong: unknown) =>
  HANGS_UP.some(([pattern, isWrong]) => pattern.test(path) && isWrong(wrong));

/** Everything that can be made wrong in an object, in the order of its members. */
export function mutationsOf(object: Json): readonly Mutation[] {
  const found: Mutation[] = [];
  const visit = (value: unknown, path: readonly string[]): void => {
    const name = path.join(".");
    if (path.length > 0 && !KEPT.has(name) && name !== "metadata")
      for (const wrong of [undefined, ...wrongValues(value)])
        if (!hangsUp(name, wrong) && !isByChance(name, wrong))
          found.push({
            path,
            what: wrong === undefined ? "removed" : JSON.stringify(wrong).slice(0, 60),
            apply: (whole) => changed(whole, path, wrong) as Json,
          });
    if (Array.isArray(value)) for (const [at, item] of value.entries()) visit(item, [...path, String(at)]);
    else if (typeof value === "object" && value !== null)
      for (const [key, item] of Object.entries(value)) visit(item, [...path, key]);
  };
  visit(object, []);
  return found;
}

function wrongValues(value: unknown): readonly unknown[] {
  if (typeof value === "string") return ["", "A b!", LONG, "-1", "x", 5, null].filter((wrong) => wrong !== value);
  if (typeof value === "number")
    return [-1, 0, 1, 100_000, 2_147_483_648, 1.5, "x", null].filter((wrong) => wrong !== value);
  if (typeof value === "boolean") return [!value, "x", null];
  if (Array.isArray(value)) {
    const [first] = value;
    return [
      [],
      null,
      "x",
      [null],
      ...(first === undefined
        ? []
        : [
            [...value, first],
            [{}, ...value],
          ]),
    ];
  }
  return [{}, null, "x", [], { ...(value as Json), nonsense: 1 }];
}

function changed(value: unknown, path: readonly string[], wrong: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return wrong;
  if (Array.isArray(value)) {
    const at = Number(key);
    if (rest.length === 0 && wrong === undefined) return value.filter((_, index) => index !== at);
    return value.map((item, index) => (index === at ? changed(item, rest, wrong) : item));
  }
  if (typeof value !== "object" || value === null) return value;
  const next = changed((value as Json)[key], rest, wrong);
  const copy: Record<string, unknown> = { ...(value as Json) };
  if (next === undefined) delete copy[key];
  else copy[key] = next;
  return copy;
}
