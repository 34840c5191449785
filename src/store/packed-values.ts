const SLAB_BYTES = 256 * 1024;
/** Larger values stand alone: a slab is never mostly one of them. */
const OWN_SLAB_BYTES = SLAB_BYTES / 8;

interface Slab {
  readonly bytes: Uint8Array;
  used: number;
  /** Bytes of values that are still wanted. */
  live: number;
  /** All that were ever put here; those taken out point elsewhere. */
  readonly places: ValuePlace[];
}

/** Where a value lies; it moves when its slab is given back. */
export interface ValuePlace {
  slab: Slab | undefined;
  offset: number;
  readonly length: number;
}

/**
 * Many small values in few large pieces of memory outside the heap. A buffer of its own costs each value some hundred bytes
 * more, and one from Node's pool keeps eight kilobytes for as long as any of its neighbours lives. At most half of what is
 * held is air: a slab more than half of which is not wanted any more is emptied and given back.
 */
export class PackedValues {
  #current: Slab = newSlab(SLAB_BYTES);

  /** Takes a copy. */
  put(value: Uint8Array): ValuePlace {
    const place: ValuePlace = { slab: undefined, offset: 0, length: value.byteLength };
    this.#place(place, value);
    return place;
  }

  /** The value, for as long as the caller likes: memory that is given back is not used again while a view of it is. */
  at({ slab, offset, length }: ValuePlace): Uint8Array {
    return slab === undefined ? NOTHING : slab.bytes.subarray(offset, offset + length);
  }

  delete(place: ValuePlace): void {
    const { slab } = place;
    if (slab === undefined) return;
    place.slab = undefined;
    slab.live -= place.length;
    if (slab !== this.#current) this.#empty(slab);
  }

  /** Gives a slab back when most of it is not wanted. */
  #empty(slab: Slab): void {
    if (slab.live * 2 > slab.used) return;
    for (const left of slab.places) if (left.slab === slab) this.#place(left, this.at(left));
  }

  #place(place: ValuePlace, value: Uint8Array): void {
    const { length } = place;
    if (length > OWN_SLAB_BYTES) {
      const own = newSlab(length);
      own.bytes.set(value);
      own.used = own.live = length;
      place.slab = own;
      place.offset = 0;
      return;
    }
    if (this.#current.used + length > SLAB_BYTES) {
      const full = this.#current;
      this.#current = newSlab(SLAB_BYTES);
      this.#empty(full);
    }
    const slab = this.#current;
    slab.bytes.set(value, slab.used);
    place.slab = slab;
    place.offset = slab.used;
    slab.used += length;
    slab.live += length;
    slab.places.push(place);
  }
}

const newSlab = (size: number): Slab => ({ bytes: new Uint8Array(size), used: 0, live: 0, places: [] });
const NOTHING = new Uint8Array();
