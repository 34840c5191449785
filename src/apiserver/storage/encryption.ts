import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { secretbox } from "@noble/ciphers/salsa.js";
import { parse } from "yaml";
import { isJsonObject } from "#machinery";

/** One key of one provider: writes values with its mark in front, and reads those. */
interface Provider {
  /** What values begin with; empty for plain text. */
  readonly mark: string;
  seal(value: Buffer, key: string): Buffer;
  open(value: Buffer, key: string): Buffer;
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

function cipherOf(providers: readonly Provider[]): ValueCipher {
  const [first] = providers as readonly [Provider, ...Provider[]];
  return {
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
          const opened = provider.open(bytes.subarray(provider.mark.length), key);
          return { value: opened, isStale: provider !== first };
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
export function followedEncryption(text: () => string, refused: (error: unknown) => void): Encryption {
  let known = text();
  let current = parseEncryption(known);
  let generation = 0;
  const look = (): void => {
    const found = text();
    if (found === known) return;
    known = found;
    try {
      current = parseEncryption(found);
      generation++;
    } catch (error) {
      refused(error);
    }
  };
  return {
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
          return generation;
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
 * with the field that is wrong; KMS providers are refused by name.
 */
export function parseEncryption(text: string): Encryption {
  const document: unknown = parse(text, { version: "1.1" });
  if (!isJsonObject(document)) throw new Error("encryption configuration: it must be an object");
  if (document["kind"] !== "EncryptionConfiguration" || document["apiVersion"] !== "apiserver.config.k8s.io/v1")
    throw new Error("encryption configuration: it must be an EncryptionConfiguration of apiserver.config.k8s.io/v1");
  const list = document["resources"];
  if (!Array.isArray(list) || list.length === 0) throw new Error("encryption configuration: resources: Required value");
  const entries = list.map((entry, at) => readEntry(entry, `resources[${at}]`));
  return {
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

function readEntry(entry: unknown, path: string): Entry {
  const { resources, providers } = (isJsonObject(entry) ? entry : {}) as {
    readonly resources?: unknown;
    readonly providers?: unknown;
  };
  if (!Array.isArray(resources) || resources.length === 0 || !resources.every((name) => typeof name === "string"))
    throw new Error(`encryption configuration: ${path}.resources: Required value`);
  if (!Array.isArray(providers) || providers.length === 0)
    throw new Error(`encryption configuration: ${path}.providers: Required value`);
  const made = providers.flatMap((provider, at) => readProvider(provider, `${path}.providers[${at}]`));
  return { names: resources as string[], cipher: cipherOf(made) };
}

function readProvider(provider: unknown, path: string): readonly Provider[] {
  const names = isJsonObject(provider) ? Object.keys(provider) : [];
  const [kind = ""] = names;
  if (names.length !== 1) throw new Error(`encryption configuration: ${path}: exactly one provider is needed`);
  if (kind === "identity") return [plain];
  const maker = MAKERS[kind];
  if (maker === undefined)
    throw new Error(
      `encryption configuration: ${path}.${kind}: not supported; known are ${[...Object.keys(MAKERS), "identity"].join(", ")}`,
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
