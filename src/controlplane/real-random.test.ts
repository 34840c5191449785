import { expect, test } from "vitest";
import { realRandom } from "./real-random.ts";

test("numbers of the operating system are all different, within their bounds and spread over them, also after many were fetched", () => {
  const random = realRandom();
  const numbers = Array.from({ length: 5_000 }, () => random.next());
  expect(numbers.every((number) => number >= 0 && number < 1)).toBe(true);
  // Of 32 bits each: two of five thousand are the same once in some 340 runs, ten never.
  expect(new Set(numbers).size).toBeGreaterThan(4_990);
  expect(new Set(Array.from({ length: 1_000 }, () => random.below(5)))).toEqual(new Set([0, 1, 2, 3, 4]));
  const other = realRandom();
  expect(Array.from({ length: 8 }, () => other.next())).not.toEqual(numbers.slice(0, 8));
  expect(random.uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
