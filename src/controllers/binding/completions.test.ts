import fc from "fast-check";
import { expect, test } from "vitest";
import { divideCompletions } from "./index.ts";

/** Highest averages as they are defined: one unit after the other. */
function oneByOne(total: number, targets: readonly { readonly name: string; readonly replicas: number }[]) {
  const seats = new Map(targets.map(({ name }) => [name, 0]));
  const of = (name: string) => seats.get(name) ?? 0;
  for (let left = total; left > 0; left--) {
    const [best] = [...targets].sort(
      (a, b) =>
        b.replicas / (2 * of(b.name) + 1) - a.replicas / (2 * of(a.name) + 1) ||
        of(a.name) - of(b.name) ||
        (a.name < b.name ? -1 : 1),
    );
    if (best !== undefined) seats.set(best.name, of(best.name) + 1);
  }
  return Object.fromEntries(seats);
}

test("7.2.3 completions are divided as unit by unit, without a step per unit", () => {
  fc.assert(
    fc.property(
      fc.nat(400),
      fc.array(fc.nat(30), { minLength: 1, maxLength: 8 }).filter((weights) => weights.some((weight) => weight > 0)),
      (total, weights) => {
        const targets = weights.map((replicas, at) => ({ name: `m${at}`, replicas }));
        expect(Object.fromEntries(divideCompletions(total, targets, ""))).toEqual(oneByOne(total, targets));
      },
    ),
    { numRuns: 300 },
  );
  const large = divideCompletions(
    2_147_483_647,
    [
      { name: "a", replicas: 1 },
      { name: "b", replicas: 2 },
    ],
    "",
  );
  expect([...large.values()].reduce((sum, count) => sum + count, 0)).toBe(2_147_483_647);
});
