import type { ReplicaRequirements } from "#apis/karmada";
import { quantityMilliValue, quantityValue } from "#machinery";

/** More than any cluster holds: what "no limit known" means on the wire. */
export const UNLIMITED = 2147483647;

/** An amount in one unit per resource: thousandths for cpu, whole units for all else. */
export function amountOf(name: string, quantity: string | number | undefined): number {
  return name === "cpu" ? quantityMilliValue(quantity) : quantityValue(quantity);
}

/** A request in one unit per resource, without zeros. */
export type Demand = ReadonlyMap<string, number>;

/** The part of replica requirements that asks for resources. */
export type Requesting = Pick<ReplicaRequirements, "resourceRequest"> | undefined;

const NOTHING: Demand = new Map();
/** Requirements are immutable, and one binding asks many clusters: what it asks for is read once. */
const demands = new WeakMap<object, Demand>();

/** Equal demands are one object, so that answers can be kept by identity. */
const interned = new Map<string, Demand>();
const INTERNED_MAX = 4_096;

function intern(demand: Demand): Demand {
  let text = "";
  for (const [name, amount] of demand) text += `${name}=${amount};`;
  const known = interned.get(text);
  if (known !== undefined) return known;
  if (interned.size >= INTERNED_MAX) interned.clear();
  interned.set(text, demand);
  return demand;
}

/** What one replica requests. */
export function demandOf(requirements: Requesting): Demand {
  if (requirements === undefined) return NOTHING;
  const known = demands.get(requirements);
  if (known !== undefined) return known;
  const demand = new Map<string, number>();
  for (const [name, quantity] of Object.entries(requirements.resourceRequest ?? {})) {
    const amount = amountOf(name, quantity);
    if (amount > 0) demand.set(name, amount);
  }
  const one = intern(demand);
  demands.set(requirements, one);
  return one;
}

/** Adds `factor` times `demand` to `total`. */
export function addDemand(total: Map<string, number>, demand: Demand, factor: number): void {
  for (const [name, amount] of demand) total.set(name, (total.get(name) ?? 0) + amount * factor);
}

/** Keeps an answer between nothing and the largest number the wire carries. */
export const clampAnswer = (value: number): number => Math.max(0, Math.min(UNLIMITED, Math.trunc(value)));

const NATIVE = new Set(["cpu", "memory", "ephemeral-storage"]);

/** Whether a node scheduler knows a resource: native ones and scalars; other names in a request are ignored. */
export function isNodeResource(name: string): boolean {
  if (NATIVE.has(name)) return true;
  return (
    isExtendedResource(name) ||
    name.startsWith("hugepages-") ||
    name.startsWith("attachable-volumes-") ||
    name.includes("kubernetes.io/")
  );
}

/** A resource with a domain of its own, such as `nvidia.com/gpu`. */
export function isExtendedResource(name: string): boolean {
  return name.includes("/") && !name.includes("kubernetes.io/") && !name.startsWith("requests.");
}
