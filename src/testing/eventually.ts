/** Repeats `look` until it gives something or stops throwing; fails with the last error after `limitMs`. */
export async function eventually<T>(look: () => T | Promise<T>, limitMs = 15_000): Promise<NonNullable<T>> {
  const endMs = Date.now() + limitMs;
  let last: unknown = new Error("it never came true");
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== null && found !== false) return found as NonNullable<T>;
      last = new Error(`it never came true: ${look.toString().slice(0, 200)}`);
    } catch (error) {
      last = error;
    }
    if (Date.now() > endMs) throw last;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Lets promises and immediate callbacks run until nothing is left to do: what a `VirtualClock` of a test waits for. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 25; turn++) await new Promise((resolve) => setImmediate(resolve));
}
