const PIECE_BYTES = 64 * 1024;
/** Larger values stand alone. */
const SHARED_BYTES_MAX = PIECE_BYTES / 8;

/**
 * Copies of values that are made and let go one after the other: those of past revisions. They lie in few pieces of memory,
 * each of which is given back with the last value in it; memory of its own costs each value some hundred bytes more.
 */
export class ValueCopies {
  #piece = new Uint8Array(0);
  #used = 0;

  copy(value: Uint8Array): Uint8Array {
    if (value.length > SHARED_BYTES_MAX) return Uint8Array.prototype.slice.call(value);
    if (this.#used + value.length > this.#piece.length) {
      this.#piece = new Uint8Array(PIECE_BYTES);
      this.#used = 0;
    }
    const copy = this.#piece.subarray(this.#used, this.#used + value.length);
    copy.set(value);
    this.#used += value.length;
    return copy;
  }
}
