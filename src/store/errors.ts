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
  | "STORE_COMPACTED"
  | "STORE_IN_USE"
  | "STORE_NEWER_FORMAT"
  | "STORE_UNREADABLE"
  | "STORE_WRITE_FAILED"
  | "STORE_CLOSED"
  | "STORE_UNKNOWN_SCHEME"
  | "STORE_UNAVAILABLE";

export const compacted = (asked: number, oldest: number): StoreError =>
  new StoreError("STORE_COMPACTED", `revision ${asked} was compacted; the oldest one held is ${oldest}`);

export const isCompacted = (error: unknown): boolean => error instanceof StoreError && error.code === "STORE_COMPACTED";
