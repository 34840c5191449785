import { expect, test } from "vitest";
import {
  cachedOf,
  glimpseOf,
  HeldObject,
  holderOf,
  keepLittleDecoded,
  keepWrittenLonger,
  type KubeObject,
  objectOf,
} from "./index.ts";

class Held extends HeldObject {
  decodings = 0;
  readonly #name: string;

  constructor(name: string) {
    super();
    this.#name = name;
  }

  done(): void {
    this.leave();
  }

  write(bytes: number): KubeObject {
    const { object } = this.decode();
    this.decodings = 0;
    this.presentAsWritten(object, bytes);
    return object;
  }

  protected override decode() {
    this.decodings++;
    const object: KubeObject = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: this.#name } };
    return { object, bytes: 10 };
  }
}

test("is decoded once for all who ask while it is among the recent, and anew when it was let go", () => {
  keepLittleDecoded(30);
  const [first, ...others] = ["a", "b", "c", "d", "e", "f", "g"].map((name) => new Held(name)) as [Held, ...Held[]];
  expect(first.object).toBe(first.object);
  expect(first.decodings).toBe(1);
  for (const held of others) expect(held.object.metadata.name).toBe(held.object.metadata.name);
  expect(first.object.metadata.name).toBe("a");
  expect(first.decodings).toBe(2);
});

test("what is used further outlives what is looked at once", () => {
  keepLittleDecoded(30);
  const used = new Held("used");
  for (let number = 0; number < 100; number++) {
    expect(used.object.metadata.name).toBe("used");
    expect(new Held(String(number)).object.metadata.name).toBe(String(number));
  }
  expect(used.decodings).toBeLessThan(60);
});

test("what is past makes room at once, also when it says so twice", () => {
  keepLittleDecoded(1_000);
  const held = new Held("a");
  const { object } = held;
  held.done();
  held.done();
  expect(held.object).not.toBe(object);
  expect(held.decodings).toBe(2);
});

test("what was just written is there for those who are told of it now, and decoded for who comes later", () => {
  keepLittleDecoded(100);
  const [first, second, third] = [new Held("a"), new Held("b"), new Held("c")];
  const written = first.write(60);
  expect(holderOf(written)).toBe(first);
  expect(first.object).toBe(written);
  second.write(60);
  expect(first.object).not.toBe(written);
  expect([first.decodings, second.decodings]).toEqual([1, 0]);
  second.done();
  third.write(60);
  expect([second.object.metadata.name, third.object.metadata.name]).toEqual(["b", "c"]);
  expect([second.decodings, third.decodings]).toEqual([1, 0]);
});

test("a glimpse shows what is there and leaves nothing behind", () => {
  keepLittleDecoded(100);
  const held = new Held("a");
  const seen = held.glimpse;
  expect(holderOf(seen)).toBe(held);
  expect(held.object).not.toBe(seen);
  expect(held.glimpse).toBe(held.object);
  expect(glimpseOf(held)).toBe(held.object);
  expect(held.decodings).toBe(2);
});

test("a cache holds the holder of what has one, and anything else itself", () => {
  const held = new Held("a");
  const { object } = held;
  expect(holderOf(object)).toBe(held);
  expect(cachedOf(object)).toBe(held);
  expect(objectOf(cachedOf(object)).metadata.name).toBe("a");
  const plain: KubeObject = { apiVersion: "v1", kind: "ConfigMap", metadata: {} };
  expect(holderOf(plain)).toBeUndefined();
  expect(objectOf(cachedOf(plain))).toBe(plain);
  expect(glimpseOf(cachedOf(plain))).toBe(plain);
});

test("what was just written is kept longer in a burst, and no longer than that", () => {
  keepLittleDecoded(1_000_000);
  const write = () => {
    const all = ["a", "b", "c"].map((name) => new Held(name));
    return all.map((held) => ({ held, object: held.write(40_000) }));
  };
  const isKept = ({ held, object }: ReturnType<typeof write>[number]) => held.object === object;
  expect(write().map(isKept)).toEqual([false, false, true]);
  keepWrittenLonger(true);
  try {
    expect(write().map(isKept)).toEqual([true, true, true]);
    const last = write();
    keepWrittenLonger(false);
    expect(last.map(isKept)).toEqual([false, false, true]);
  } finally {
    keepWrittenLonger(false);
  }
});
