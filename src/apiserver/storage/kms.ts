/**
 * A key manager (KMS v2): it keeps the key, this process a seed that it sealed. A value's own key is derived from the
 * seed, so that the key manager is asked once a seed and not once a value. A new key id makes a new seed.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { Client, credentials } from "@grpc/grpc-js";
import type { Clock, Logger, Timer } from "#base";
import { type EncryptedObject, encryptedObject, type EncryptResponse, kmsMethods } from "./kms-messages.ts";
import type { KmsOptions } from "./kms-options.ts";

const SEED_BYTES = 32;
const INFO_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const GCM_KEY = 0;
const SEED = 1;
const KEY_ID_BYTES_MAX = 1024;
const CIPHERTEXT_BYTES_MAX = 1024;
const POLL_MS = 60_000;
const POLL_ILL_MS = 10_000;
/** How long a seed may be written with after the key manager was last well. */
const SEED_VALID_MS = 180_000;
/** Seeds of others that are known: one for each start of each replica since the key was rotated. */
const SOURCES_MAX = 1_000;

interface Current {
  readonly seed: Buffer;
  readonly sealed: EncryptResponse;
}

/** Seals values with a seed that a key manager keeps; opens what any seed or key of it sealed. */
export class KeyManager {
  readonly #options: KmsOptions;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Opened seeds and keys by what they are sealed as. */
  readonly #sources = new Map<string, Buffer>();
  #current: Current | undefined;
  #wellAt = Number.NEGATIVE_INFINITY;
  #isWell = false;
  #rotations = 0;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: KmsOptions, clock: Clock, log: Logger) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log.with({ kms: options.name });
    this.#client = new Client(options.endpoint.replace(/^unix:\/\/(?=\/)/, "unix:"), credentials.createInsecure());
  }

  get name(): string {
    return this.#options.name;
  }

  /** Whether the key manager answered well when it was last asked. */
  get isWell(): boolean {
    return this.#isWell;
  }

  /** Asks for the key in use and makes a seed; rejects when the key manager cannot be used. Then follows its status. */
  async start(): Promise<void> {
    try {
      await this.#look();
    } catch (error) {
      throw new Error(`kms provider ${JSON.stringify(this.name)}: ${messageOf(error)}`, { cause: error });
    }
    this.#wait();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#client.close();
  }

  #wait(): void {
    if (this.#isStopped) return;
    this.#timer = this.#clock.after(this.#isWell ? POLL_MS : POLL_ILL_MS, () => {
      this.#look()
        .catch((error: unknown) => {
          if (this.#isWell) this.#log.error("the key manager is not well", { error });
          this.#isWell = false;
        })
        .finally(() => this.#wait());
    });
  }

  /** One look at the key manager's status; a new key id makes a new seed. */
  async #look(): Promise<void> {
    const { version, healthz, keyId } = await this.#ask("Status", {});
    if (version !== "v2" && version !== "v2beta1") throw new Error(`expected KMS API version v2, got ${version}`);
    if (healthz !== "ok") throw new Error(`got unexpected healthz status: ${healthz}`);
    if (keyId === "" || Buffer.byteLength(keyId) > KEY_ID_BYTES_MAX)
      throw new Error("the key id is empty or longer than 1024 bytes");
    if (this.#current?.sealed.keyId !== keyId) {
      const seed = randomBytes(SEED_BYTES);
      const sealed = await this.#ask("Encrypt", { plaintext: seed, uid: uid() });
      if (sealed.keyId === "" || sealed.ciphertext.length === 0 || sealed.ciphertext.length > CIPHERTEXT_BYTES_MAX)
        throw new Error("the sealed seed has no key id, is empty or longer than 1024 bytes");
      if (this.#current !== undefined) this.#rotations++;
      this.#current = { seed, sealed };
      this.#know(sourceOf({ ...sealed, encryptedDekSource: sealed.ciphertext, encryptedDekSourceType: SEED }), seed);
      this.#log.info("a new seed is in use", { keyId: sealed.keyId });
    }
    this.#wellAt = this.#clock.monotonicMs();
    this.#isWell = true;
  }

  /** Seals a value with a key of its own. Throws when the key manager has been away for too long. */
  seal(value: Buffer, key: string): Buffer {
    const current = this.#current;
    if (current === undefined || this.#clock.monotonicMs() - this.#wellAt > SEED_VALID_MS)
      throw new Error(
        `kms provider ${JSON.stringify(this.name)}: the key manager has not been well for more than ${SEED_VALID_MS / 1000} s`,
      );
    const info = randomBytes(INFO_BYTES);
    const sealed = sealWith(derived(current.seed, info), value, key);
    const { ciphertext, keyId, annotations } = current.sealed;
    return encryptedObject.encode({
      encryptedData: Buffer.concat([info, sealed]),
      keyId,
      encryptedDekSource: ciphertext,
      annotations,
      encryptedDekSourceType: SEED,
    });
  }

  /** Whether a value was sealed under another key than the one in use. */
  isStale(value: Buffer): boolean {
    return encryptedObject.decode(value).keyId !== this.#current?.sealed.keyId;
  }

  /** How often the key was rotated since the start. */
  get rotations(): number {
    return this.#rotations;
  }

  /** Opens a value whose source is known: `prepare` asks for it before. */
  open(value: Buffer, key: string): Buffer {
    const object = encryptedObject.decode(value);
    const source = this.#sources.get(sourceOf(object));
    if (source === undefined) throw new Error(`kms provider ${JSON.stringify(this.name)}: its data key is not known`);
    const data = object.encryptedData;
    return object.encryptedDekSourceType === SEED
      ? openWith(derived(source, data.subarray(0, INFO_BYTES)), data.subarray(INFO_BYTES), key)
      : openWith(source, data, key);
  }

  /** Asks for the data key of a value; `undefined` when it is known. */
  prepare(value: Buffer): Promise<void> | undefined {
    const object = encryptedObject.decode(value);
    const source = sourceOf(object);
    if (this.#sources.has(source)) return undefined;
    const { encryptedDekSource: ciphertext, keyId, annotations, encryptedDekSourceType: type } = object;
    if (type !== GCM_KEY && type !== SEED) throw new Error(`unknown type of data key: ${type}`);
    return this.#ask("Decrypt", { ciphertext, keyId, annotations, uid: uid() }).then(({ plaintext }) =>
      this.#know(source, plaintext),
    );
  }

  #know(source: string, plaintext: Buffer): void {
    const [oldest] = this.#sources.keys();
    if (this.#sources.size >= SOURCES_MAX && oldest !== undefined) this.#sources.delete(oldest);
    this.#sources.set(source, plaintext);
  }

  #ask<N extends keyof typeof kmsMethods>(name: N, question: Question<N>): Promise<Answer<N>> {
    const { path, requestSerialize, responseDeserialize } = kmsMethods[name];
    const serialize = requestSerialize as (value: Question<N>) => Buffer;
    const deserialize = responseDeserialize as unknown as (data: Buffer) => Answer<N>;
    const deadline = new Date(Date.now() + this.#options.timeoutMs);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, serialize, deserialize, question, { deadline }, (error, answer) => {
        if (error !== null) reject(error);
        else if (answer === undefined) reject(new Error(`${name}: no answer`));
        else resolve(answer);
      });
    });
  }
}

type Question<N extends keyof typeof kmsMethods> = Parameters<(typeof kmsMethods)[N]["requestSerialize"]>[0];
type Answer<N extends keyof typeof kmsMethods> = ReturnType<(typeof kmsMethods)[N]["responseDeserialize"]>;

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
const uid = () => randomBytes(16).toString("hex");

/** What a data key is sealed as: the same text for the same key. */
function sourceOf(
  object: Pick<EncryptedObject, "encryptedDekSource" | "keyId" | "annotations" | "encryptedDekSourceType">,
): string {
  const notes = Object.entries(object.annotations)
    .map(([name, value]) => `${name}=${value.toString("base64")}`)
    .sort();
  return [object.encryptedDekSourceType, object.keyId, object.encryptedDekSource.toString("base64"), ...notes].join(
    " ",
  );
}

/** HKDF-SHA256, its second half: a key of 32 bytes from a seed that is random already. */
const derived = (seed: Buffer, info: Buffer): Buffer =>
  createHmac("sha256", seed)
    .update(info)
    .update(Buffer.from([1]))
    .digest();

function sealWith(secret: Buffer, value: Buffer, key: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", secret, nonce).setAAD(Buffer.from(key));
  return Buffer.concat([nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()]);
}

function openWith(secret: Buffer, value: Buffer, key: string): Buffer {
  const end = value.length - TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", secret, value.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(key))
    .setAuthTag(value.subarray(end));
  return Buffer.concat([decipher.update(value.subarray(NONCE_BYTES, end)), decipher.final()]);
}
