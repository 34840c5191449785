import type { Cluster } from "#apis/karmada";
import { byName } from "./candidates.ts";

const nameOf = (cluster: Cluster): string => cluster.metadata.name ?? "";

/** Values by place; good up to a position of the log of changes. */
interface Column {
  readonly values: Float64Array;
  seen: number;
}

/** Columns kept of one group; the oldest goes first. */
const COLUMNS_MAX = 64;

/**
 * Clusters by name, and in columns what many passes ask of each of them: whether it serves a kind, how much it has room for.
 * Reading thousands of clusters for every binding is what takes a decision's time; a column is read once, and after a change
 * only where the change was. A cluster's place is its position by name.
 */
export class Fleet {
  #clusters: readonly Cluster[];
  #names: readonly string[];
  #places: ReadonlyMap<string, number> | undefined;
  /** The list last followed, in its own order, and where its members stand by name. */
  #given: readonly Cluster[];
  #placesOfGiven: readonly number[] | undefined;
  readonly #groups = new Map<string, Map<unknown, Column>>();
  /** Places that changed, oldest first. */
  #log: number[] = [];
  #leaving: ReadonlySet<string> | undefined;
  /** Regions by the numbers that stand for them in a column; 0 is no region. */
  readonly #regions: string[] = [""];
  readonly #regionNumbers = new Map<string, number>([["", 0]]);

  constructor(clusters: readonly Cluster[]) {
    this.#given = clusters;
    this.#clusters = byName(clusters);
    this.#names = this.#clusters.map(nameOf);
  }

  /** By name; a list is never changed, another takes its place. */
  get clusters(): readonly Cluster[] {
    return this.#clusters;
  }

  get names(): readonly string[] {
    return this.#names;
  }

  placeOf(name: string): number | undefined {
    this.#places ??= new Map(this.#names.map((own, place) => [own, place]));
    return this.#places.get(name);
  }

  /** Names of clusters that are being removed. */
  get leaving(): ReadonlySet<string> {
    this.#leaving ??= new Set(
      this.#clusters.filter(({ metadata }) => metadata.deletionTimestamp !== undefined).map(nameOf),
    );
    return this.#leaving;
  }

  /** The region of each cluster by place; empty for none. */
  get regionOf(): (place: number) => string {
    const numbers = this.column("region", "", ({ spec }) => this.#regionNumber(spec?.region ?? ""));
    return (place) => this.#regions[numbers[place] as number] as string;
  }

  #regionNumber(name: string): number {
    let number = this.#regionNumbers.get(name);
    if (number === undefined) this.#regionNumbers.set(name, (number = this.#regions.push(name) - 1));
    return number;
  }

  /** What `of` says of each cluster, by place. `of` must be the same function of a cluster for the same group and key. */
  column(group: string, key: unknown, of: (cluster: Cluster) => number): Float64Array {
    let columns = this.#groups.get(group);
    if (columns === undefined) this.#groups.set(group, (columns = new Map()));
    let column = columns.get(key);
    if (column === undefined) {
      if (columns.size >= COLUMNS_MAX) columns.delete(columns.keys().next().value);
      const values = new Float64Array(this.#clusters.length);
      for (let place = 0; place < values.length; place++) values[place] = of(this.#clusters[place] as Cluster);
      columns.set(key, (column = { values, seen: this.#log.length }));
    }
    for (; column.seen < this.#log.length; column.seen++) {
      const place = this.#log[column.seen] as number;
      column.values[place] = of(this.#clusters[place] as Cluster);
    }
    return column.values;
  }

  /** Whether it shows exactly these clusters, in whatever order they were given. */
  shows(clusters: readonly Cluster[]): boolean {
    return clusters === this.#given || clusters === this.#clusters;
  }

  /** Takes over what differs in a newer list. Columns handed out before are no longer good. */
  follow(list: readonly Cluster[]): void {
    if (list === this.#given) return;
    const given = this.#given;
    if (list.length !== given.length) {
      this.#start(list);
      return;
    }
    let clusters: Cluster[] | undefined;
    for (let at = 0; at < list.length; at++) {
      const cluster = list[at] as Cluster;
      const before = given[at] as Cluster;
      if (cluster === before) continue;
      if (nameOf(cluster) !== nameOf(before)) {
        this.#start(list);
        return;
      }
      this.#placesOfGiven ??= given.map((one) => this.placeOf(nameOf(one)) as number);
      const place = this.#placesOfGiven[at] as number;
      clusters ??= [...this.#clusters];
      clusters[place] = cluster;
      this.#log.push(place);
    }
    this.#given = list;
    if (clusters === undefined) return;
    this.#clusters = clusters;
    this.#leaving = undefined;
    // A log longer than the fleet is no shortcut any more.
    if (this.#log.length > clusters.length) this.#forget();
  }

  #start(list: readonly Cluster[]): void {
    this.#given = list;
    this.#placesOfGiven = undefined;
    this.#clusters = byName(list);
    this.#names = this.#clusters.map(nameOf);
    this.#places = undefined;
    this.#leaving = undefined;
    this.#forget();
  }

  #forget(): void {
    this.#groups.clear();
    this.#log = [];
  }
}

const fleets = new WeakMap<readonly Cluster[], Fleet>();

/** The fleet of a list of clusters; a list is read once. */
export function fleetOf(clusters: readonly Cluster[]): Fleet {
  let fleet = fleets.get(clusters);
  // One that went on to a newer list no longer speaks of this one.
  if (fleet === undefined || !fleet.shows(clusters)) {
    fleet = new Fleet(clusters);
    fleets.set(clusters, fleet);
    fleets.set(fleet.clusters, fleet);
  }
  return fleet;
}

/** Lets a fleet follow a newer list, and gives that list by name, for `fleetOf` to know it by. */
export function followed(fleet: Fleet, list: readonly Cluster[]): readonly Cluster[] {
  fleet.follow(list);
  fleets.set(fleet.clusters, fleet);
  return fleet.clusters;
}
