import { expect, test } from "vitest";
import { seededRandom } from "#base";
import { PackedValues, type ValuePlace } from "./packed-values.ts";

test("values of every size stay what they were while others come and go, and most of what is held is wanted", () => {
  const random = seededRandom(7);
  const values = new PackedValues();
  const held = new Map<number, { readonly place: ValuePlace; readonly content: Buffer; readonly view: Uint8Array }>();
  for (let number = 0; number < 20_000; number++) {
    const size = random.below(100) === 0 ? random.below(300_000) : random.below(2_000);
    const content = Buffer.alloc(size, `${number}.`);
    const place = values.put(content);
    held.set(number, { place, content, view: values.at(place) });
    if (held.size < 400) continue;
    const keys = [...held.keys()];
    const gone = keys[random.below(keys.length)] as number;
    const {
      place: old,
      content: was,
      view,
    } = held.get(gone) as { place: ValuePlace; content: Buffer; view: Uint8Array };
    held.delete(gone);
    values.delete(old);
    values.delete(old);
    // Who looked before may go on looking.
    expect(was.equals(view)).toBe(true);
    expect(values.at(old)).toHaveLength(0);
  }
  const slabs = new Set<ArrayBufferLike>();
  let wanted = 0;
  for (const { place, content } of held.values()) {
    const value = values.at(place);
    expect(content.equals(value)).toBe(true);
    if (value.length > 0) slabs.add(value.buffer);
    wanted += value.length;
  }
  const heldBytes = [...slabs].reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(heldBytes).toBeLessThan(2 * wanted + 2 * 256 * 1024);
});
