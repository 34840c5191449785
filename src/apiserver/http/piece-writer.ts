/** What a piece holds at least before it is taken, but for the last. */
const PIECE_BYTES = 128 * 1024;
/** Short answers take little room; what follows a first piece is as long. */
const FIRST_BYTES = 4 * 1024;

/** Puts text and bytes together in pieces of memory, each of which is filled once and then belongs to who takes it. */
export class PieceWriter {
  #piece = Buffer.alloc(0);
  #used = 0;
  #lengthMin = FIRST_BYTES;

  /** Whether the piece is long enough to be taken. */
  get isFull(): boolean {
    return this.#used >= PIECE_BYTES;
  }

  text(text: string): void {
    // UTF-8 takes three bytes at most for what JavaScript counts as one.
    this.#reserve(text.length * 3);
    this.#used += this.#piece.write(text, this.#used);
  }

  /** Copies `value` from `start` on. */
  bytes(value: Uint8Array, start: number): void {
    const length = value.length - start;
    this.#reserve(length);
    this.#piece.set(start === 0 ? value : value.subarray(start), this.#used);
    this.#used += length;
  }

  /** What was written since the last piece was taken. */
  take(): Buffer {
    const taken = this.#piece.subarray(0, this.#used);
    this.#piece = Buffer.alloc(0);
    this.#used = 0;
    this.#lengthMin = PIECE_BYTES + FIRST_BYTES;
    return taken;
  }

  #reserve(length: number): void {
    const wanted = this.#used + length;
    if (wanted <= this.#piece.length) return;
    const larger = Buffer.allocUnsafe(Math.max(wanted, this.#piece.length * 2, this.#lengthMin));
    larger.set(this.#piece.subarray(0, this.#used));
    this.#piece = larger;
  }
}
