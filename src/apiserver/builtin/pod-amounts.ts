import { addQuantities, compareQuantities, parseQuantity, type Quantity, zeroQuantity } from "#machinery";
import { listAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";

export type Amounts = Readonly<Record<string, string>>;
type Totals = Map<string, Quantity>;

/** Resources that a pod as a whole may ask for. */
export const isOfWholePod = (name: string) => name === "cpu" || name === "memory" || name.startsWith("hugepages-");

const amountsOf = (holder: Json | undefined, part: string): readonly (readonly [string, Quantity])[] =>
  Object.entries(((holder?.["resources"] as Json | undefined)?.[part] ?? {}) as Amounts).map(
    ([name, text]) => [name, parseQuantity(text) ?? zeroQuantity] as const,
  );

const add = (totals: Totals, name: string, amount: Quantity) =>
  totals.set(name, addQuantities(totals.get(name) ?? zeroQuantity, amount));
const raise = (totals: Totals, name: string, amount: Quantity) => {
  if (compareQuantities(amount, totals.get(name) ?? zeroQuantity) > 0 || !totals.has(name)) totals.set(name, amount);
};

/**
 * What the containers of a pod ask for or may have together: the sum of those that run side by side, sidecars among them, or
 * what an init container needs beside the sidecars before it where that is more.
 */
export function containerAmounts(spec: Json, part: "requests" | "limits"): ReadonlyMap<string, Quantity> {
  const totals: Totals = new Map();
  for (const container of listAt(spec, "containers"))
    for (const [name, amount] of amountsOf(container, part)) add(totals, name, amount);
  const sidecars: Totals = new Map();
  const starting: Totals = new Map();
  for (const container of listAt(spec, "initContainers")) {
    const amounts = new Map(amountsOf(container, part));
    if (container["restartPolicy"] === "Always") {
      for (const [name, amount] of amounts) {
        add(totals, name, amount);
        add(sidecars, name, amount);
      }
      for (const [name, amount] of sidecars) raise(starting, name, amount);
      continue;
    }
    for (const name of new Set([...amounts.keys(), ...sidecars.keys()]))
      raise(starting, name, addQuantities(amounts.get(name) ?? zeroQuantity, sidecars.get(name) ?? zeroQuantity));
  }
  for (const [name, amount] of starting) raise(totals, name, amount);
  return totals;
}

/** What a pod asks for or may have: what it says itself, else what its containers say, and what its runtime costs. */
export function podAmounts(spec: Json, part: "requests" | "limits"): ReadonlyMap<string, Quantity> {
  const totals: Totals = new Map(containerAmounts(spec, part));
  for (const [name, amount] of amountsOf(spec, part)) if (isOfWholePod(name)) totals.set(name, amount);
  for (const [name, text] of Object.entries((spec["overhead"] ?? {}) as Amounts))
    if (part === "requests" || totals.has(name)) add(totals, name, parseQuantity(text) ?? zeroQuantity);
  return totals;
}
