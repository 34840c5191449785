import type { Timer } from "#base";
import { formatTime, getPath, type KubeObject } from "#machinery";
import type { Operation } from "#store";
import type { ResourceDefinition } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import type { Companions, ResourceStore } from "../storage/resource-store.ts";
import { canonicalAddress } from "./checks.ts";
import { type AddressRange, addressNumber, familyOf, parseAddressRange } from "./service-ranges.ts";

/** Node ports have no kind of their own: one key each, outside of everything a kube-apiserver on the store reads. */
const PORTS = "/flotilla/nodeports/";
const REPAIR_EVERY_MS = 180_000;
/** A record nobody can explain is held for a moment, for a kube-apiserver writes it before its Service. */
const UNEXPLAINED_MS = 60_000;
const LOST_MAX = 1_000;
const MANAGER = "ipallocator.k8s.io";

/** `services/default/kubernetes` holds something, or an IPAddress somebody else made does. */
type Holder = string;

/**
 * Who has which address and node port. Every one of them stands in the store under a key of its own (addresses as
 * IPAddress objects, as in Kubernetes), and that key is written and removed in the transaction of the Service itself: two
 * writers of any replica cannot both succeed, and a Service that is gone leaves nothing behind. Records that other programs
 * left or lost are repaired at the start and every three minutes.
 */
export class ServiceLedger implements Companions {
  readonly #server: ApiServer;
  readonly #services: ResourceStore;
  readonly #addresses: ResourceStore;
  readonly #cidrs: ResourceStore;
  readonly #fallback: readonly AddressRange[];
  /** What stored Services hold: an address, or `:port`. */
  readonly #held = new Map<string, Holder>();
  /** Records that refused a write though nobody seems to hold them, until when they count. */
  readonly #lost = new Map<string, number>();
  #ranges: readonly AddressRange[] | undefined;
  #needsRepair = true;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(server: ApiServer, fallback: readonly AddressRange[]) {
    this.#server = server;
    this.#fallback = fallback;
    this.#services = server.store(definitionOf(server, "", "services"));
    this.#addresses = server.store(definitionOf(server, "networking.k8s.io", "ipaddresses"));
    this.#cidrs = server.store(definitionOf(server, "networking.k8s.io", "servicecidrs"));
  }

  /** Reads what there is, mends the records, and from then on hears of changes. */
  async start(): Promise<void> {
    this.#services.companions = this;
    for (const store of [this.#services, this.#addresses, this.#cidrs]) await store.load();
    for (const [key, { object }] of this.#services.range(undefined))
      for (const what of allocatedBy(object)) this.#held.set(what, key);
    this.#services.watch({
      event: ({ type, object, previous }) => {
        const key = keyOf(object);
        for (const what of previous === undefined ? [] : allocatedBy(previous))
          if (this.#held.get(what) === key) this.#held.delete(what);
        if (type === "DELETED") return;
        for (const what of allocatedBy(object)) {
          this.#held.set(what, key);
          // Whoever lost it knows now to whom.
          this.#lost.delete(what);
        }
      },
      closed: () => {},
    });
    this.#addresses.watch({ event: () => (this.#needsRepair = true), closed: () => {} });
    this.#cidrs.watch({ event: () => (this.#ranges = undefined), closed: () => {} });
    await this.#repair();
    this.#again();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** The ranges addresses are given from: those of all ServiceCIDRs that are ready. */
  get ranges(): readonly AddressRange[] {
    this.#ranges ??= this.#readRanges();
    return this.#ranges;
  }

  #readRanges(): readonly AddressRange[] {
    const found: AddressRange[] = [];
    for (const [, { object }] of this.#cidrs.range(undefined)) {
      const conditions = (getPath(object, "status", "conditions") ?? []) as readonly Record<string, unknown>[];
      const isReady = conditions.every(({ type, status }) => type !== "Ready" || status === "True");
      if (!isReady || object.metadata.deletionTimestamp !== undefined) continue;
      for (const text of (getPath(object, "spec", "cidrs") ?? []) as readonly string[]) {
        try {
          found.push(parseAddressRange(text));
        } catch {
          // A range larger or smaller than one of this server may be: nobody gets an address of it here.
        }
      }
    }
    return found.length === 0 ? this.#fallback : found;
  }

  /** Whether somebody but the Service with this key has the address or `:port`. */
  isTaken(what: string, key: string | undefined): boolean {
    const holder = this.#held.get(what);
    if (holder !== undefined) return holder !== key;
    const lost = this.#lost.get(what);
    if (lost !== undefined) {
      if (this.#server.clock.now() < lost) return true;
      this.#lost.delete(what);
    }
    if (what.startsWith(":")) return false;
    const record = this.#addresses.get(what);
    return record !== undefined && parentOf(record.object) !== key;
  }

  isHeldBy(what: string, key: string): boolean {
    return this.#held.get(what) === key;
  }

  of(object: KubeObject | undefined, previous: KubeObject | undefined): readonly Operation[] {
    const before = previous === undefined ? [] : allocatedBy(previous);
    const after = object === undefined ? [] : allocatedBy(object);
    if (before.length === 0 && after.length === 0) return [];
    const kept = new Set(before);
    const wanted = new Set(after);
    return [
      ...before
        .filter((what) => !wanted.has(what))
        .flatMap((what) => this.#release(what, keyOf(previous as KubeObject))),
      ...after.filter((what) => !kept.has(what)).flatMap((what) => this.#record(what, object as KubeObject)),
    ];
  }

  lost(key: string): void {
    const what = key.startsWith(PORTS) ? `:${key.slice(PORTS.length)}` : key.slice(this.#addresses.prefix.length);
    if (this.isTaken(what, undefined)) return;
    this.#lost.set(what, this.#server.clock.now() + REPAIR_EVERY_MS);
    this.#needsRepair = true;
    if (this.#lost.size > LOST_MAX) for (const [oldest] of this.#lost) return void this.#lost.delete(oldest);
  }

  #record(what: string, service: KubeObject): readonly Operation[] {
    const key = keyOf(service);
    if (what.startsWith(":"))
      return [
        { type: "put", key: PORTS + what.slice(1), value: Buffer.from(JSON.stringify({ service: key })), expected: 0 },
      ];
    const present = this.#addresses.get(what);
    if (present !== undefined && parentOf(present.object) === key) return [];
    return [this.#addresses.putOperation(what, this.#addressObject(what, service), 0)];
  }

  #release(what: string, key: string): readonly Operation[] {
    if (what.startsWith(":"))
      return this.#held.get(what) === key ? [{ type: "delete", key: PORTS + what.slice(1) }] : [];
    const present = this.#addresses.get(what);
    return present === undefined || parentOf(present.object) !== key
      ? []
      : [{ type: "delete", key: this.#addresses.prefix + what, expected: present.revision }];
  }

  #addressObject(address: string, { metadata: { namespace, name } }: KubeObject): KubeObject {
    const time = formatTime(this.#server.clock.now());
    const labels = {
      "ipaddress.kubernetes.io/ip-family": familyOf(address),
      "ipaddress.kubernetes.io/managed-by": MANAGER,
    };
    const managed = {
      manager: "kube-apiserver",
      operation: "Update",
      apiVersion: "networking.k8s.io/v1",
      time,
      fieldsType: "FieldsV1",
      fieldsV1: {
        "f:metadata": {
          "f:labels": { ".": {}, ...Object.fromEntries(Object.keys(labels).map((l) => [`f:${l}`, {}])) },
        },
        "f:spec": { "f:parentRef": { ".": {}, "f:name": {}, "f:namespace": {}, "f:resource": {} } },
      },
    };
    return {
      apiVersion: "networking.k8s.io/v1",
      kind: "IPAddress",
      metadata: {
        name: address,
        uid: this.#server.random.uuid(),
        creationTimestamp: time,
        labels,
        managedFields: [managed],
      },
      spec: { parentRef: { resource: "services", namespace, name } },
    } as unknown as KubeObject;
  }

  #again(): void {
    this.#timer = this.#server.clock.after(REPAIR_EVERY_MS, () => {
      const work = this.#needsRepair ? this.#repair() : Promise.resolve();
      work
        .catch((error: unknown) => {
          this.#needsRepair = true;
          this.#server.log.error("could not compare Services with what they hold", { error });
        })
        .finally(() => {
          if (!this.#isStopped) this.#again();
        });
    });
  }

  /** Writes records that are missing and removes those of Services that are gone or hold something else now. */
  async #repair(): Promise<void> {
    const { backend, clock, log } = this.#server;
    this.#needsRepair = false;
    const { entries } = await backend.list(PORTS);
    // A record was written together with its Service: one that is read here has its Service shown by now.
    await this.#server.settle();
    const recorded = new Map(entries.map((entry) => [`:${entry.key.slice(PORTS.length)}`, entry]));
    for (const [what, key] of [...this.#held]) {
      const service = this.#services.get(key)?.object;
      if (service === undefined || this.#held.get(what) !== key || this.#isStopped) continue;
      const holder = what.startsWith(":") ? serviceOf(recorded.get(what)?.value) : this.#holderOfRecord(what);
      if (holder === undefined) await backend.txn(this.#record(what, service));
      else if (holder !== key)
        log.warn("a Service has an address or a port that is recorded for somebody else", {
          service: key,
          what,
          holder,
        });
    }
    for (const [what, entry] of recorded)
      if (!this.#held.has(what) && !this.#isStopped)
        await backend.txn([{ type: "delete", key: entry.key, expected: entry.revision }]);
    for (const [address, { object, revision }] of [...this.#addresses.range(undefined)]) {
      if (object.metadata.labels?.["ipaddress.kubernetes.io/managed-by"] !== MANAGER || this.#isStopped) continue;
      const parent = parentOf(object);
      if (parent === undefined || this.#held.get(address) === parent) continue;
      if (clock.now() - Date.parse(object.metadata.creationTimestamp ?? "") < UNEXPLAINED_MS) this.#needsRepair = true;
      else await this.#addresses.delete(address, revision);
    }
    this.#lost.clear();
  }

  #holderOfRecord(address: string): Holder | undefined {
    const record = this.#addresses.get(address);
    return record === undefined ? undefined : (parentOf(record.object) ?? `IPAddress ${address}`);
  }
}

function definitionOf(server: ApiServer, group: string, resource: string): ResourceDefinition {
  return server.definition({ group, version: "v1", resource });
}

export const keyOf = ({ metadata }: KubeObject): string => `${metadata.namespace}/${metadata.name}`;

/** The key of the Service an IPAddress belongs to; `undefined` where it belongs to something else. */
function parentOf(address: KubeObject): string | undefined {
  const parent = getPath(address, "spec", "parentRef") as Readonly<Record<string, unknown>> | undefined;
  if (parent === undefined || (parent["group"] ?? "") !== "" || parent["resource"] !== "services") return undefined;
  return `${String(parent["namespace"])}/${String(parent["name"])}`;
}

function serviceOf(value: Uint8Array | undefined): Holder | undefined {
  if (value === undefined) return undefined;
  const { service } = JSON.parse(Buffer.from(value).toString("utf8")) as { readonly service?: unknown };
  return String(service);
}

/** What a Service holds: addresses, and ports as `:port`, each once. */
function allocatedBy(service: KubeObject): readonly string[] {
  if (getPath(service, "spec", "type") === "ExternalName") return [];
  const first = getPath(service, "spec", "clusterIP");
  const addresses = (getPath(service, "spec", "clusterIPs") ?? []) as readonly unknown[];
  const ports = (getPath(service, "spec", "ports") as readonly { readonly nodePort?: number }[] | undefined) ?? [];
  const health = getPath(service, "spec", "healthCheckNodePort");
  const found = new Set<string>();
  for (const address of [first, ...addresses])
    if (typeof address === "string" && addressNumber(address) !== undefined) found.add(canonicalAddress(address));
  for (const { nodePort } of ports) if (nodePort) found.add(`:${nodePort}`);
  if (typeof health === "number" && health !== 0) found.add(`:${health}`);
  return [...found];
}
