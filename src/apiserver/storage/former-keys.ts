import type { Logger } from "#base";
import type { Backend } from "#store";
import type { ResourceDefinition } from "../definition.ts";
import type { Encryption } from "./encryption.ts";

const PAGE = 500;

/**
 * Brings objects that another program keeps elsewhere to where this server and kube-apiserver look for them; each in one
 * transaction, so that replicas may do it at once. What is at both places already is left alone and named.
 */
export async function moveFormerKeys(
  backend: Backend,
  definitions: readonly ResourceDefinition[],
  encryption: Encryption | undefined,
  log: Logger,
): Promise<void> {
  for (const { storage, kind } of definitions) {
    const { formerPrefix, prefix } = storage;
    if (formerPrefix === undefined) continue;
    const cipher = encryption?.cipherOf(kind.group, kind.resource);
    for (let after: string | undefined, hasMore = true; hasMore; ) {
      const page = await backend.list(formerPrefix, { limit: PAGE, ...(after === undefined ? {} : { after }) });
      hasMore = page.hasMore;
      for (const { key, value, revision } of page.entries) {
        after = key;
        const to = prefix + key.slice(formerPrefix.length);
        const plain = cipher === undefined ? value : cipher.open(value, key).value;
        const moved = await backend.txn([
          { type: "put", key: to, value: cipher?.seal(Buffer.from(plain), to) ?? plain, expected: 0 },
          { type: "delete", key, expected: revision },
        ]);
        if (moved.ok) log.info("moved an object to where kube-apiserver keeps its kind", { from: key, to });
        else if (moved.key === to)
          log.warn("an object is kept at two places; the second is left alone", { first: to, second: key });
      }
    }
  }
}
