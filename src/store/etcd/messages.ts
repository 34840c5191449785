import protobuf from "protobufjs";

const bytes = (id: number) => ({ type: "bytes", id });
const long = (id: number) => ({ type: "int64", id });
const flag = (id: number) => ({ type: "bool", id });
const message = (type: string, id: number) => ({ type, id });
const repeated = (type: string, id: number) => ({ rule: "repeated", type, id });

/** The part of etcd's API this driver speaks, by the published field numbers of etcd 3.4 and later. */
const root = protobuf.Root.fromJSON({
  nested: {
    ResponseHeader: { fields: { clusterId: { type: "uint64", id: 1 }, revision: long(3) } },
    KeyValue: {
      fields: {
        key: bytes(1),
        createRevision: long(2),
        modRevision: long(3),
        version: long(4),
        value: bytes(5),
        lease: long(6),
      },
    },
    RangeRequest: {
      fields: { key: bytes(1), rangeEnd: bytes(2), limit: long(3), revision: long(4), countOnly: flag(9) },
    },
    RangeResponse: {
      fields: { header: message("ResponseHeader", 1), kvs: repeated("KeyValue", 2), more: flag(3), count: long(4) },
    },
    PutRequest: { fields: { key: bytes(1), value: bytes(2), lease: long(3) } },
    PutResponse: { fields: { header: message("ResponseHeader", 1) } },
    DeleteRangeRequest: { fields: { key: bytes(1), rangeEnd: bytes(2), prevKv: flag(3) } },
    DeleteRangeResponse: { fields: { header: message("ResponseHeader", 1), deleted: long(2) } },
    RequestOp: {
      oneofs: { request: { oneof: ["requestRange", "requestPut", "requestDeleteRange"] } },
      fields: {
        requestRange: message("RangeRequest", 1),
        requestPut: message("PutRequest", 2),
        requestDeleteRange: message("DeleteRangeRequest", 3),
      },
    },
    ResponseOp: {
      fields: {
        responseRange: message("RangeResponse", 1),
        responsePut: message("PutResponse", 2),
        responseDeleteRange: message("DeleteRangeResponse", 3),
      },
    },
    Compare: {
      oneofs: { targetUnion: { oneof: ["version", "createRevision", "modRevision"] } },
      fields: {
        /** 0: equal. */
        result: { type: "int32", id: 1 },
        /** 0: version, 1: creation, 2: modification. */
        target: { type: "int32", id: 2 },
        key: bytes(3),
        version: long(4),
        createRevision: long(5),
        modRevision: long(6),
      },
    },
    TxnRequest: {
      fields: { compare: repeated("Compare", 1), success: repeated("RequestOp", 2), failure: repeated("RequestOp", 3) },
    },
    TxnResponse: {
      fields: {
        header: message("ResponseHeader", 1),
        succeeded: flag(2),
        responses: repeated("ResponseOp", 3),
      },
    },
    CompactionRequest: { fields: { revision: long(1), physical: flag(2) } },
    CompactionResponse: { fields: { header: message("ResponseHeader", 1) } },
    Event: {
      fields: {
        /** 0: put, 1: delete. */
        type: { type: "int32", id: 1 },
        kv: message("KeyValue", 2),
        prevKv: message("KeyValue", 3),
      },
    },
    WatchCreateRequest: {
      fields: {
        key: bytes(1),
        rangeEnd: bytes(2),
        startRevision: long(3),
        progressNotify: flag(4),
        prevKv: flag(6),
        fragment: flag(8),
      },
    },
    WatchRequest: { fields: { createRequest: message("WatchCreateRequest", 1) } },
    WatchResponse: {
      fields: {
        header: message("ResponseHeader", 1),
        watchId: long(2),
        created: flag(3),
        canceled: flag(4),
        compactRevision: long(5),
        cancelReason: { type: "string", id: 6 },
        fragment: flag(7),
        events: repeated("Event", 11),
      },
    },
    LeaseGrantRequest: { fields: { ttl: long(1), id: long(2) } },
    LeaseGrantResponse: {
      fields: { header: message("ResponseHeader", 1), id: { type: "int64", id: 2 }, ttl: long(3) },
    },
    AuthenticateRequest: { fields: { name: { type: "string", id: 1 }, password: { type: "string", id: 2 } } },
    AuthenticateResponse: { fields: { header: message("ResponseHeader", 1), token: { type: "string", id: 2 } } },
  },
} as protobuf.INamespace);

export interface Header {
  readonly revision?: number;
}

export interface KeyValue {
  readonly key: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value?: Uint8Array;
}

export interface RangeResponse {
  readonly header?: Header;
  readonly kvs?: readonly KeyValue[];
  readonly more?: boolean;
}

export interface TxnResponse {
  readonly header?: Header;
  readonly succeeded?: boolean;
  readonly responses?: readonly { readonly responseRange?: RangeResponse }[];
}

export interface WatchResponse {
  readonly header?: Header;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compactRevision?: number;
  readonly cancelReason?: string;
  readonly fragment?: boolean;
  readonly events?: readonly { readonly type?: number; readonly kv: KeyValue; readonly prevKv?: KeyValue }[];
}

/** Encodes requests and decodes answers of one call. Numbers are exact up to 2^53; lease ids stay as texts. */
export interface Call<Answer> {
  readonly path: string;
  readonly encode: (message: object) => Buffer;
  readonly decode: (bytes: Uint8Array) => Answer;
}

function call<Answer>(path: string, request: string, response: string, longs: typeof Number | typeof String = Number) {
  const asked = root.lookupType(request);
  const answered = root.lookupType(response);
  return {
    path: `/etcdserverpb.${path}`,
    encode: (message) => Buffer.from(asked.encode(asked.create(message)).finish()),
    decode: (encoded) => answered.toObject(answered.decode(encoded), { longs }) as Answer,
  } satisfies Call<Answer>;
}

export const range = call<RangeResponse>("KV/Range", "RangeRequest", "RangeResponse");
export const txn = call<TxnResponse>("KV/Txn", "TxnRequest", "TxnResponse");
export const compact = call<{ readonly header?: Header }>("KV/Compact", "CompactionRequest", "CompactionResponse");
export const watch = call<WatchResponse>("Watch/Watch", "WatchRequest", "WatchResponse");
export const leaseGrant = call<{ readonly id: string; readonly ttl: string }>(
  "Lease/LeaseGrant",
  "LeaseGrantRequest",
  "LeaseGrantResponse",
  String,
);
export const authenticate = call<{ readonly token: string }>(
  "Auth/Authenticate",
  "AuthenticateRequest",
  "AuthenticateResponse",
);
