import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { secretbox } from "@noble/ciphers/salsa.js";
import { parse } from "yaml";
import { type Clock, type Logger, silentLogger, systemClock } from "#base";
import { isJsonObject } from "#machinery";
import { KeyManager } from "./kms.ts";
import { type KmsOptions, readKms } from "./kms-options.ts";
import type { PrepareValue } from "./prepared-backend.ts";

/** One key of one provider: writes values with its mark in front, and reads those. */
interface Provider {
  /** What values begin with; empty for plain text. */
  readonly mark: string;
  seal(value: Buffer, key: string): Buffer;
  open(value: Buffer, key: string): Buffer;
  /** Whether an opened value would be kept in another way now, though by the same provider; default never. */
  isStale?(value: Buffer): boolean;
}

/** What key managers need. */
export interface EncryptionParts {
  readonly clock: Clock;
  readonly log: Logger;
}

/** How the values of some resources are kept. */
export interface ValueCipher {
  /** Counts up whenever values may be kept in another way than before. */
  readonly generation?: number;
  /** The value to keep under a key of the store. */
  seal(value: Buffer, key: string): Buffer;
  /** The value that was kept; `isStale` when it would be kept in another way now. Throws when no key opens it. */
  open(value: Uint8Array, key: string): { readonly value: Buffer; readonly isStale: boolean };
}

/** Which cipher the values of a resource have; `undefined` for plain text that was never anything else. */
export interface Encryption {
  /** Makes key managers usable; until then nothing can be sealed or opened. Absent without them. */
  readonly start?: () => Promise<void>;
  readonly stop?: () => void;
  /** Whether all key managers answer. */
  readonly isWell?: () => boolean;
  /** Asks a key manager for the data key of a value; `undefined` when it can be opened at once. */
  readonly prepare?: PrepareValue;
  cipherOf(group: string, resource: string): ValueCipher | undefined;
}

const MARK = "k8s:enc:";
const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;
const CBC_BLOCK_BYTES = 16;
const BOX_NONCE_BYTES = 24;

const MAKERS: Readonly<
  Record<string, { readonly keyBytes: readonly number[]; make(key: Buffer): Omit<Provider, "mark"> }>
> = {
  aescbc: {
    keyBytes: [16, 24, 32],
    make: (secret) => ({
      seal(value) {
        const iv = randomBytes(CBC_BLOCK_BYTES);
        const cipher = createCipheriv(`aes-${secret.length * 8}-cbc`, secret, iv);
        return Buffer.concat([iv, cipher.update(value), cipher.final()]);
      },
      open(value) {
        const iv = value.subarray(0, CBC_BLOCK_BYTES);
        const decipher = createDecipheriv(`aes-${secret.length * 8}-cbc`, secret, iv);
        return Buffer.concat([decipher.update(value.subarray(CBC_BLOCK_BYTES)), decipher.final()]);
      },
    }),
  },
  aesgcm: {
    keyBytes: [16, 24, 32],
    make: (secret) => {
      const algorithm = `aes-${secret.length * 8}-gcm` as "aes-256-gcm";
      return {
        // The key of the store is bound in: a value cannot be moved to another name.
        seal(value, key) {
          const nonce = randomBytes(GCM_NONCE_BYTES);
          const cipher = createCipheriv(algorithm, secret, nonce).setAAD(Buffer.from(key));
          return Buffer.concat([nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()]);
        },
        open(value, key) {
          const end = value.length - GCM_TAG_BYTES;
          const decipher = createDecipheriv(algorithm, secret, value.subarray(0, GCM_NONCE_BYTES), {
            authTagLength: GCM_TAG_BYTES,
          })
            .setAAD(Buffer.from(key))
            .setAuthTag(value.subarray(end));
          return Buffer.concat([decipher.update(value.subarray(GCM_NONCE_BYTES, end)), decipher.final()]);
        },
      };
    },
  },
  secretbox: {
    keyBytes: [32],
    make: (secret) => ({
      seal(value) {
        const nonce = randomBytes(BOX_NONCE_BYTES);
        return Buffer.concat([nonce, secretbox(secret, nonce).seal(value)]);
      },
      open: (value) =>
        Buffer.from(secretbox(secret, value.subarray(0, BOX_NONCE_BYTES)).open(value.subarray(BOX_NONCE_BYTES))),
    }),
  },
};

const plain: Provider = { mark: "", seal: (value) => value, open: (value) => value };

function cipherOf(providers: readonly Provider[], generation: () => number = () => 0): ValueCipher {
  const [first] = providers as readonly [Provider, ...Provider[]];
  return {
    get generation() {
      return generation();
    },
    seal: (value, key) =>
      first.mark === "" ? first.seal(value, key) : Buffer.concat([Buffer.from(first.mark), first.seal(value, key)]),
    open(value, key) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      const isMarked = bytes.subarray(0, MARK.length).toString("latin1") === MARK;
      let reason = "no matching prefix found";
      for (const provider of providers) {
        if (isMarked ? provider.mark === "" : provider.mark !== "") continue;
        if (bytes.subarray(0, provider.mark.length).toString("latin1") !== provider.mark) continue;
        try {
          const sealed = bytes.subarray(provider.mark.length);
          const opened = provider.open(sealed, key);
          return { value: opened, isStale: provider !== first || provider.isStale?.(sealed) === true };
        } catch (error) {
          reason = `no matching key was found (${error instanceof Error ? error.message : String(error)})`;
        }
      }
      throw new Error(`unable to transform key ${JSON.stringify(key)}: ${reason}`);
    },
  };
}

const untouched = cipherOf([plain]);

/**
 * Encryption by a file that is followed: `text` gives what it says now. What cannot be read is told and changes nothing,
 * and values are written as before. Throws at the beginning when the text is wrong.
 */
export function followedEncryption(
  text: () => string,
  refused: (error: unknown) => void,
  parts?: EncryptionParts,
): Encryption {
  let known = text();
  let current = parseEncryption(known, parts);
  let generation = 0;
  const use = (next: Encryption): void => {
    current.stop?.();
    current = next;
    generation++;
  };
  const look = (): void => {
    const found = text();
    if (found === known) return;
    known = found;
    try {
      const next = parseEncryption(found, parts);
      if (next.start === undefined) use(next);
      // Values are kept as before until the key managers of the new text answer.
      else
        next.start().then(
          () => use(next),
          (error: unknown) => {
            next.stop?.();
            refused(error);
          },
        );
    } catch (error) {
      refused(error);
    }
  };
  return {
    start: async () => current.start?.(),
    stop: () => current.stop?.(),
    isWell: () => current.isWell?.() ?? true,
    prepare: (key, value) => current.prepare?.(key, value),
    cipherOf(group, resource) {
      let made = current.cipherOf(group, resource) ?? untouched;
      let of = generation;
      const cipher = (): ValueCipher => {
        look();
        if (of !== generation) {
          made = current.cipherOf(group, resource) ?? untouched;
          of = generation;
        }
        return made;
      };
      return {
        get generation() {
          look();
          return generation + (made.generation ?? 0);
        },
        seal: (value, key) => cipher().seal(value, key),
        open: (value, key) => cipher().open(value, key),
      };
    },
  };
}

interface Entry {
  readonly names: readonly string[];
  readonly cipher: ValueCipher;
}

/**
 * Reads an `EncryptionConfiguration` (apiserver.config.k8s.io/v1). The first provider's first key writes, all read. Throws
 * with the field that is wrong.
 */
export function parseEncryption(
  text: string,
  { clock, log }: EncryptionParts = { clock: systemClock, log: silentLogger },
): Encryption {
  const document: unknown = parse(text, { version: "1.1" });
  if (!isJsonObject(document)) throw new Error("encryption configuration: it must be an object");
  if (document["kind"] !== "EncryptionConfiguration" || document["apiVersion"] !== "apiserver.config.k8s.io/v1")
    throw new Error("encryption configuration: it must be an EncryptionConfiguration of apiserver.config.k8s.io/v1");
  const list = document["resources"];
  if (!Array.isArray(list) || list.length === 0) throw new Error("encryption configuration: resources: Required value");
  const managers: KeyManager[] = [];
  const manage = (options: KmsOptions, path: string): KeyManager => {
    if (managers.some(({ name }) => name === options.name))
      throw new Error(
        `encryption configuration: ${path}.name: Invalid value: ${JSON.stringify(options.name)}: duplicate KMS provider name, names must be unique`,
      );
    const manager = new KeyManager(options, clock, log);
    managers.push(manager);
    return manager;
  };
  const entries = list.map((entry, at) => readEntry(entry, `resources[${at}]`, manage));
  return {
    ...(managers.length === 0 ? {} : managed(managers)),
    cipherOf: (group, resource) => {
      const own = group === "" ? resource : `${resource}.${group}`;
      const all = [own, `*.${group}`, "*.*"];
      for (const wanted of all) {
        const found = entries.find(({ names }) => names.includes(wanted));
        if (found !== undefined) return found.cipher;
      }
      return undefined;
    },
  };
}

const KMS_MARK = `${MARK}kms:v2:`;

/** What key managers add to an encryption. */
function managed(managers: readonly KeyManager[]): Omit<Encryption, "cipherOf"> {
  return {
    start: async () => {
      await Promise.all(managers.map((manager) => manager.start()));
    },
    stop() {
      for (const manager of managers) manager.stop();
    },
    isWell: () => managers.every(({ isWell }) => isWell),
    prepare(_key, value) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      if (bytes.subarray(0, KMS_MARK.length).toString("latin1") !== KMS_MARK) return undefined;
      const end = bytes.indexOf(":", KMS_MARK.length);
      const name = bytes.subarray(KMS_MARK.length, end).toString("utf8");
      return managers.find((manager) => manager.name === name)?.prepare(bytes.subarray(end + 1));
    },
  };
}

type Manage = (options: KmsOptions, path: string) => KeyManager;

function readEntry(entry: unknown, path: string, manage: Manage): Entry {
  const { resources, providers } = (isJsonObject(entry) ? entry : {}) as {
    readonly resources?: unknown;
    readonly providers?: unknown;
  };
  if (!Array.isArray(resources) || resources.length === 0 || !resources.every((name) => typeof name === "string"))
    throw new Error(`encryption configuration: ${path}.resources: Required value`);
  if (!Array.isArray(providers) || providers.length === 0)
    throw new Error(`encryption configuration: ${path}.providers: Required value`);
  const mine: KeyManager[] = [];
  const made = providers.flatMap((provider, at) =>
    readProvider(provider, `${path}.providers[${at}]`, (options, where) => {
      const manager = manage(options, where);
      mine.push(manager);
      return manager;
    }),
  );
  const rotations = () => mine.reduce((sum, manager) => sum + manager.rotations, 0);
  return { names: resources as string[], cipher: cipherOf(made, rotations) };
}

function readProvider(provider: unknown, path: string, manage: Manage): readonly Provider[] {
  const names = isJsonObject(provider) ? Object.keys(provider) : [];
  const [kind = ""] = names;
  if (names.length !== 1) throw new Error(`encryption configuration: ${path}: exactly one provider is needed`);
  if (kind === "identity") return [plain];
  if (kind === "kms") {
    const where = `${path}.kms`;
    const manager = manage(readKms((provider as Readonly<Record<string, unknown>>)["kms"], where), where);
    return [
      {
        mark: `${KMS_MARK}${manager.name}:`,
        seal: (value, key) => manager.seal(value, key),
        open: (value, key) => manager.open(value, key),
        isStale: (value) => manager.isStale(value),
      },
    ];
  }
  const maker = MAKERS[kind];
  if (maker === undefined)
    throw new Error(
      `encryption configuration: ${path}.${kind}: not supported; known are ${[...Object.keys(MAKERS), "kms", "identity"].join(", ")}`,
    );
  const keys = (provider as Readonly<Record<string, { readonly keys?: unknown } | undefined>>)[kind]?.keys;
  if (!Array.isArray(keys) || keys.length === 0)
    throw new Error(`encryption configuration: ${path}.${kind}.keys: Required value`);
  const seen = new Set<string>();
  return keys.map((key: unknown, at) => {
    const { name, secret } = (isJsonObject(key) ? key : {}) as { readonly name?: unknown; readonly secret?: unknown };
    const at2 = `${path}.${kind}.keys[${at}]`;
    if (typeof name !== "string" || name === "" || name.includes(":"))
      throw new Error(`encryption configuration: ${at2}.name: Required value: a name without colons`);
    if (seen.has(name))
      throw new Error(`encryption configuration: ${at2}.name: Duplicate value: ${JSON.stringify(name)}`);
    seen.add(name);
    const bytes = typeof secret === "string" ? Buffer.from(secret, "base64") : Buffer.alloc(0);
    if (!maker.keyBytes.includes(bytes.length))
      throw new Error(
        `encryption configuration: ${at2}.secret: Invalid value: secret is not of the expected length, got ${bytes.length}, expected one of ${maker.keyBytes.join(", ")} bytes in base64`,
      );
    return { mark: `${MARK}${kind}:v1:${name}:`, ...maker.make(bytes) };
  });
}
