import { deepEqual } from "#base";
import { type KubeObject, LAST_APPLIED, lastAppliedOf, withAnnotations } from "#machinery";

/** Fields by which items of a list are told apart, the first that all of them have. */
const ITEM_KEYS = ["name", "containerPort", "port", "mountPath", "devicePath", "topologyKey", "ip"];

type Fields = Readonly<Record<string, unknown>>;
const isMap = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * A live object with a file applied to it, as `kubectl apply` does: what the file says holds, what the last file said and
 * this one does not goes, and what others have set, such as defaults and marks, stays.
 */
export function applied(live: KubeObject, file: KubeObject): KubeObject {
  // Marks of the control plane stand among a user's labels and annotations: without them there the maps stay all the same.
  const { labels = {}, annotations = {} } = file.metadata;
  const given = { ...file, metadata: { ...file.metadata, labels, annotations } };
  const merged = merge(live, given, lastAppliedOf(live)) as KubeObject;
  return withAnnotations(merged, { [LAST_APPLIED]: live.metadata.annotations?.[LAST_APPLIED] });
}

function merge(live: unknown, file: unknown, last: unknown): unknown {
  if (isMap(live) && isMap(file)) return mergeMaps(live, file, isMap(last) ? last : {});
  if (Array.isArray(live) && Array.isArray(file) && [...live, ...file].every(isMap))
    return mergeLists(live as readonly Fields[], file as readonly Fields[], Array.isArray(last) ? last : []);
  return deepEqual(live, file) ? live : file;
}

function mergeMaps(live: Fields, file: Fields, last: Fields): Fields {
  const kept = Object.entries(live).filter(([key]) => Object.hasOwn(file, key) || !Object.hasOwn(last, key));
  const said = Object.entries(file).filter(([, value]) => value !== null);
  return {
    ...Object.fromEntries(kept.filter(([key]) => file[key] !== null)),
    ...Object.fromEntries(said.map(([key, value]) => [key, merge(live[key], value, last[key])])),
  };
}

function mergeLists(live: readonly Fields[], file: readonly Fields[], last: readonly unknown[]): readonly unknown[] {
  const key = ITEM_KEYS.find((each) => [...live, ...file].every((item) => item[each] !== undefined));
  if (key === undefined)
    return file.map((item, at) => (file.length === live.length ? merge(live[at], item, last[at]) : item));
  const of = (items: readonly unknown[], item: Fields) =>
    items.find((other): other is Fields => isMap(other) && deepEqual(other[key], item[key]));
  const others = live.filter((item) => of(file, item) === undefined && of(last, item) === undefined);
  return [...file.map((item) => merge(of(live, item), item, of(last, item))), ...others];
}
