import type { KubeObject } from "./meta.ts";

/**
 * How much is kept decoded for reuse in the whole process, by the bytes of its encodings; decoded it takes two to four
 * times as much. What is used further is the last to go.
 */
const RECENT_BYTES_MAX = 48 * 1024 * 1024;
let recentBytesMax = RECENT_BYTES_MAX;

/**
 * How much is kept of what was just written, until everybody was told of it and looked. Little: what is kept longer than
 * the shortest-lived garbage costs its collection, and who looks later decodes it.
 */
const WRITTEN_BYTES_MAX = 64 * 1024;
/** The same in a burst, in which those who are told look later than a moment after, and all of them look. */
const BURST_WRITTEN_BYTES_MAX = 4 * 1024 * 1024;
let writtenBytesMax = WRITTEN_BYTES_MAX;

let isWeak = true;

/**
 * Keeps so little decoded that most is decoded anew for everybody: for tests, in which whoever needs the very same object
 * twice must fail.
 */
export function keepLittleDecoded(bytesMax: number): void {
  recentBytesMax = bytesMax;
  keepWrittenLonger(false);
  isWeak = false;
}

/** Says whether much is being written at once and is soon looked at: what was written is kept longer then. */
export function keepWrittenLonger(isLonger: boolean): void {
  writtenBytesMax = Math.min(recentBytesMax, isLonger ? BURST_WRITTEN_BYTES_MAX : WRITTEN_BYTES_MAX);
  HeldObject.letWrittenGo();
}

const holders = new WeakMap<KubeObject, HeldObject>();

/** What an object was read from, so that a cache can hold that instead of the object; absent for any other object. */
export const holderOf = (object: KubeObject): HeldObject | undefined => holders.get(object);

/** An object, or what it is read from where the server of this very process has it encoded: what caches hold. */
export type Cached<T extends KubeObject = KubeObject> = T | HeldObject;

export const cachedOf = <T extends KubeObject>(object: T): Cached<T> => holders.get(object) ?? object;

export const objectOf = <T extends KubeObject>(cached: Cached<T>): T =>
  cached instanceof HeldObject ? (cached.object as T) : cached;

/** The same for who looks once: what is decoded for that is not kept for others. */
export const glimpseOf = <T extends KubeObject>(cached: Cached<T>): T =>
  cached instanceof HeldObject ? (cached.glimpse as T) : cached;

const NOWHERE = -1;
/** Among what was just written. */
const WRITTEN = -2;

/**
 * An object that lies encoded somewhere and is decoded when somebody asks. The decoded one is shared by all who ask for as
 * long as it is among the recent or anybody has it; a cache that holds the holder instead costs next to nothing.
 */
export abstract class HeldObject {
  /** Decoded; weakly, once others were asked for since. */
  #present: KubeObject | WeakRef<KubeObject> | undefined;
  /** Where it is among the recent; one of the two below where it is not. */
  #position = NOWHERE;
  #bytes = 0;
  #isUsed = false;

  protected abstract decode(): { readonly object: KubeObject; readonly bytes: number };

  /** The same for who looks once: it is not kept for others where it is not already. */
  get glimpse(): KubeObject {
    const present = this.#present instanceof WeakRef ? this.#present.deref() : this.#present;
    if (present !== undefined) return present;
    const { object } = this.decode();
    holders.set(object, this);
    return object;
  }

  get object(): KubeObject {
    const present = this.#present;
    if (present instanceof WeakRef) {
      const found = present.deref();
      if (found !== undefined) {
        this.present(found, this.#bytes);
        return found;
      }
    } else if (present !== undefined) {
      this.#isUsed = true;
      return present;
    }
    const { object, bytes } = this.decode();
    this.present(object, bytes);
    return object;
  }

  /** Notes the decoded object of so many bytes; no other one is noted while anybody has it. */
  protected present(object: KubeObject, bytes: number): void {
    this.#present = object;
    this.#bytes = bytes;
    // Whoever had it decoded is not done with it yet.
    this.#isUsed = true;
    holders.set(object, this);
    HeldObject.#recent.push(this);
    this.#position = HeldObject.#recent.length - 1;
    HeldObject.#recentBytes += bytes;
    HeldObject.#letGo();
  }

  /** Notes the object of so many bytes that was just written or reported, for those who are told of it now. */
  protected presentAsWritten(object: KubeObject, bytes: number): void {
    this.#present = object;
    this.#bytes = bytes;
    holders.set(object, this);
    this.#position = WRITTEN;
    HeldObject.#written.add(this);
    HeldObject.#writtenBytes += bytes;
    HeldObject.letWrittenGo();
  }

  /** Lets go of what was written first, down to the bound. */
  static letWrittenGo(): void {
    while (HeldObject.#writtenBytes > writtenBytesMax && HeldObject.#written.size > 1)
      (HeldObject.#written.values().next().value as HeldObject).#leaveWritten();
  }

  #leaveWritten(): void {
    HeldObject.#written.delete(this);
    HeldObject.#writtenBytes -= this.#bytes;
    this.#position = NOWHERE;
    // Not even weakly: whatever is held weakly lives as long as what has grown old.
    this.#present = undefined;
  }

  /** Says that this revision is past: hardly anybody will ask for it again. */
  protected leave(): void {
    if (this.#position === WRITTEN) this.#leaveWritten();
    else if (this.#position >= 0) HeldObject.#remove(this);
  }

  static readonly #written = new Set<HeldObject>();
  static #writtenBytes = 0;
  static readonly #recent: HeldObject[] = [];
  static #recentBytes = 0;
  static #hand = 0;

  /** The hand goes round and takes what was not used since it passed last. */
  static #letGo(): void {
    const recent = HeldObject.#recent;
    while (HeldObject.#recentBytes > recentBytesMax && recent.length > 1) {
      if (HeldObject.#hand >= recent.length) HeldObject.#hand = 0;
      const held = recent[HeldObject.#hand] as HeldObject;
      if (held.#isUsed) {
        held.#isUsed = false;
        HeldObject.#hand++;
      } else HeldObject.#remove(held);
    }
  }

  static #remove(held: HeldObject): void {
    const recent = HeldObject.#recent;
    const last = recent.pop() as HeldObject;
    if (last !== held) {
      recent[held.#position] = last;
      last.#position = held.#position;
    }
    held.#position = NOWHERE;
    held.#isUsed = false;
    HeldObject.#recentBytes -= held.#bytes;
    held.#present = isWeak ? new WeakRef(held.#present as KubeObject) : undefined;
  }
}
