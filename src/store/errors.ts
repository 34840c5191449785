/** Operating errors of the store. `code` is stable and listed in docs/reference/errors.md. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreError";
    this.code = code;
  }
}

export type StoreErrorCode =
  /** A revision was asked for that is no longer held; clients list anew. */
  | "STORE_COMPACTED"
  /** Another process works on the folder; it is left alone. */
  | "STORE_IN_USE"
  /** The folder was written by a newer version; it is left alone. */
  | "STORE_NEWER_FORMAT"
  /** The folder holds something that is no store, or an entry is damaged; `flotilla check store` lists damaged entries. */
  | "STORE_UNREADABLE"
  /** A write did not reach the disk, which may be full; nothing was acknowledged. */
  | "STORE_WRITE_FAILED"
  /** The store was closed while it was used. */
  | "STORE_CLOSED"
  /** The address of a store begins with a scheme nobody knows. */
  | "STORE_UNKNOWN_SCHEME"
  /** The store cannot be reached at present. */
  | "STORE_UNAVAILABLE";

export const compacted = (asked: number, oldest: number): StoreError =>
  new StoreError("STORE_COMPACTED", `revision ${asked} was compacted; the oldest one held is ${oldest}`);

export const isCompacted = (error: unknown): boolean => error instanceof StoreError && error.code === "STORE_COMPACTED";
