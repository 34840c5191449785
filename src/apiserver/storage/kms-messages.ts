import protobuf from "protobufjs";

/** The service a key manager offers (wire): `v2.KeyManagementService`. */
const SERVICE = "v2.KeyManagementService";

const text = (id: number) => ({ type: "string", id });
const bytes = (id: number) => ({ type: "bytes", id });
const annotations = (id: number) => ({ keyType: "string", type: "bytes", id });

const root = protobuf.Root.fromJSON({
  nested: {
    StatusRequest: { fields: {} },
    StatusResponse: { fields: { version: text(1), healthz: text(2), keyId: text(3) } },
    DecryptRequest: { fields: { ciphertext: bytes(1), uid: text(2), keyId: text(3), annotations: annotations(4) } },
    DecryptResponse: { fields: { plaintext: bytes(1) } },
    EncryptRequest: { fields: { plaintext: bytes(1), uid: text(2) } },
    EncryptResponse: { fields: { ciphertext: bytes(1), keyId: text(2), annotations: annotations(3) } },
    EncryptedObject: {
      fields: {
        encryptedData: bytes(1),
        keyId: text(2),
        encryptedDekSource: bytes(3),
        annotations: annotations(4),
        encryptedDekSourceType: { type: "int32", id: 5 },
      },
    },
  },
});

interface Codec<T> {
  encode(value: T): Buffer;
  decode(bytes: Uint8Array): T;
}

/** Absent members read as their types' zero values. */
function codec<T extends object>(name: string): Codec<T> {
  const type = root.lookupType(name);
  return {
    encode: (value) => Buffer.from(type.encode(type.fromObject(value)).finish()),
    decode: (data) => type.toObject(type.decode(data), { defaults: true, bytes: Buffer, objects: true }) as T,
  };
}

export interface StatusResponse {
  readonly version: string;
  readonly healthz: string;
  readonly keyId: string;
}

export interface EncryptResponse {
  readonly ciphertext: Buffer;
  readonly keyId: string;
  readonly annotations: Readonly<Record<string, Buffer>>;
}

export interface DecryptRequest extends EncryptResponse {
  readonly uid: string;
}

/** How a value lies in the store: sealed with a data key that lies beside it, sealed by the key manager. */
export interface EncryptedObject {
  readonly encryptedData: Buffer;
  readonly keyId: string;
  readonly encryptedDekSource: Buffer;
  readonly annotations: Readonly<Record<string, Buffer>>;
  /** 0: the source is an AES-GCM key; 1: it is a seed from which each value's key is derived. */
  readonly encryptedDekSourceType: number;
}

export const encryptedObject = codec<EncryptedObject>("EncryptedObject");

/** The methods of the service, with how their messages are written. */
export const kmsMethods = {
  Status: method<object, StatusResponse>("Status"),
  Encrypt: method<{ readonly plaintext: Buffer; readonly uid: string }, EncryptResponse>("Encrypt"),
  Decrypt: method<DecryptRequest, { readonly plaintext: Buffer }>("Decrypt"),
};

function method<Q extends object, A extends object>(name: string) {
  const [question, answer] = [codec<Q>(`${name}Request`), codec<A>(`${name}Response`)];
  return {
    path: `/${SERVICE}/${name}`,
    requestStream: false as const,
    responseStream: false as const,
    requestSerialize: (value: Q) => question.encode(value),
    requestDeserialize: (data: Buffer) => question.decode(data),
    responseSerialize: (value: A) => answer.encode(value),
    responseDeserialize: (data: Buffer) => answer.decode(data),
  };
}
