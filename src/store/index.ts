/**
 * Store: where revisions live.
 *
 * A `Backend` is a revisioned, ordered key-value log with compare-and-swap transactions and watches. Drivers are chosen
 * by URL: `memory://`, `file:FOLDER`. What a transaction acknowledged is durable. The store knows keys and bytes; it never
 * looks into a value.
 */
export type {
  Backend,
  BackendChange,
  BackendWatch,
  BackendWatchSink,
  Entry,
  ListOptions,
  ListResult,
  Operation,
  TxnResult,
} from "./backend.ts";
export { startCompaction } from "./compaction.ts";
export { isCompacted, StoreError, type StoreErrorCode } from "./errors.ts";
export { breakLock, openFileBackend } from "./file.ts";
export { makeFolder } from "./folder.ts";
export { KeyIndex } from "./key-index.ts";
export { createMemoryBackend } from "./memory.ts";
export { openBackend } from "./open-backend.ts";
