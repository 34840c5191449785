import { assert } from "#base";
import { objectKey } from "#machinery";
import type { WrittenAlongside } from "../admission.ts";
import type { SideWrite } from "../storage/resource-store.ts";
import type { VerbHost } from "./host.ts";

/** What admission wants written in the same transaction, as the store takes it. */
export function sideWrites(host: VerbHost, alongside: readonly WrittenAlongside[]): readonly SideWrite[] {
  const writes = alongside.map(({ kind, object }): SideWrite => {
    const definition = host.definition(kind);
    const { namespace, name = "", resourceVersion = "" } = object.metadata;
    const expected = Number(resourceVersion);
    assert(Number.isInteger(expected) && expected > 0, "what is written alongside was read before");
    return {
      store: host.store(definition),
      key: objectKey(definition.kind.namespaced ? namespace : undefined, name),
      object: host.forStore(definition, object),
      expected,
    };
  });
  const keys = new Set(writes.map(({ store, key }) => `${store.prefix}${key}`));
  assert(keys.size === writes.length, "an object is written alongside once");
  return writes;
}
