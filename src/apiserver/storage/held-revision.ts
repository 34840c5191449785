import { assert } from "#base";
import { HeldObject, type KubeObject } from "#machinery";
import type { ResourceDefinition } from "../definition.ts";

/** An object as it is held: immutable, with its resource version, and decoded when it is asked for. */
export interface StoredObject {
  readonly object: KubeObject;
  readonly revision: number;
  /** By what this process decoded, defaulted and validated just this object; absent for what others wrote. */
  readonly admittedBy?: ResourceDefinition | undefined;
}

/** Where the values of revisions lie. */
export interface RevisionSource {
  /**
   * Shows the value of the revision that is present, in the driver, for the call only; not called when the driver has
   * another one or none.
   */
  read<T>(key: string, revision: number, use: (value: Uint8Array) => T): T | undefined;
  decode(key: string, value: Uint8Array, revision: number): KubeObject;
}

/** What is known of a revision besides its key. */
export interface RevisionFacts {
  readonly admittedBy?: ResourceDefinition | undefined;
  /** Its stored bytes, where the driver cannot be asked for them. */
  readonly value?: Uint8Array | undefined;
}

/**
 * One revision of an object as it is stored. Its bytes are the driver's while it is the present one; it gets a copy of its
 * own when it becomes a past one.
 */
export class HeldRevision extends HeldObject implements StoredObject {
  readonly revision: number;
  readonly admittedBy: ResourceDefinition | undefined;
  /** `namespace/name`, or `name`. */
  readonly key: string;
  readonly #source: RevisionSource;
  #value: Uint8Array | undefined;

  constructor(source: RevisionSource, key: string, revision: number, { admittedBy, value }: RevisionFacts = {}) {
    super();
    this.#source = source;
    this.key = key;
    this.revision = revision;
    this.admittedBy = admittedBy;
    this.#value = value;
  }

  /** The same as it was just written, with what it decodes to, which is at hand. */
  static of(
    source: RevisionSource,
    key: string,
    revision: number,
    object: KubeObject,
    bytes: number,
    facts?: RevisionFacts,
  ): HeldRevision {
    const held = new HeldRevision(source, key, revision, facts);
    held.presentAsWritten(object, bytes);
    return held;
  }

  /** A copy of the stored bytes that stays, or the ones it has. */
  get value(): Uint8Array {
    return this.#value ?? this.read((value) => Buffer.from(value));
  }

  /** Shows the stored bytes, which are good for the call only, and gives what `use` gives; it must not read others. */
  read<T>(use: (value: Uint8Array) => T): T {
    if (this.#value !== undefined) return use(this.#value);
    let isShown = false;
    const result = this.#source.read(this.key, this.revision, (value) => {
      isShown = true;
      return use(value);
    });
    assert(isShown, "a revision that is past has its own value");
    return result as T;
  }

  /** Gives it a value of its own, before the driver has another; one that it has stays. */
  keep(value: Uint8Array): void {
    this.#value ??= value;
  }

  /** Makes it a past revision, whose object hardly anybody will ask for. */
  pass(): void {
    this.leave();
  }

  protected override decode(): { readonly object: KubeObject; readonly bytes: number } {
    return this.read((value) => ({
      object: this.#source.decode(this.key, value, this.revision),
      bytes: value.length,
    }));
  }
}
