import type { KubeList, KubeObject } from "./meta.ts";

/**
 * How a client speaks to an API server, whatever lies between: the same process (no HTTP, no serialisation, objects
 * shared and frozen) or HTTP against a foreign server. Implemented by `apiserver` (through the composition root) and by
 * the HTTP transport of `client`; used by everything above.
 */
export interface Transport {
  /** Carries out one request. Resolves with the object, list or Status; rejects with `ApiError` or a network error. */
  send(request: ResourceRequest): Promise<KubeObject>;
  list(request: ListRequest): Promise<KubeList<KubeObject>>;
  /** Starts a watch at once; events come in revision order, never after `stop` returned. */
  watch(request: WatchRequest, sink: WatchSink): WatchHandle;
  /** Any other path: discovery, version, logs, proxies. Resolves for every HTTP status code. */
  raw(request: RawRequest): Promise<RawResponse>;
}

export type PatchType =
  | "application/json-patch+json"
  | "application/merge-patch+json"
  | "application/strategic-merge-patch+json"
  | "application/apply-patch+yaml"
  | "application/apply-patch+cbor";

export type DryRun = readonly string[];

/** What is addressed. `namespace` is absent for cluster-scoped kinds and for lists over all namespaces. */
export interface ResourceAddress {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespace?: string;
  readonly name?: string;
  /** `status`, `scale`, `eviction`, `token`, … */
  readonly subresource?: string;
}

export interface WriteOptions {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  /** Whether the manager is one that was made up for a client that named none. */
  readonly hasDefaultManager?: boolean;
  readonly fieldValidation?: "Ignore" | "Warn" | "Strict";
  /** Server-side apply only: take fields from other managers. */
  readonly force?: boolean;
  /**
   * Creations, updates and patches in process only: a merge patch of the status that comes true with the rest, in one write. Over
   * HTTP it is left out; whoever asks for it looks at the answer for whether it came true.
   */
  readonly statusPatch?: Readonly<Record<string, unknown>>;
  /**
   * Creations and updates over HTTP only: a success is handed over unread, and the request resolves with what was sent. To
   * read an answer costs as much as to send a small object, and can wait. `read` throws where it is no object after all.
   */
  readonly unread?: (read: () => KubeObject) => void;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
  readonly orphanDependents?: boolean;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
  readonly ignoreStoreReadErrorWithClusterBreakingPotential?: boolean;
}

export interface ListOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "Exact" | "NotOlderThan";
}

interface Sent extends ResourceAddress {
  readonly signal?: AbortSignal;
  /** Called once for every warning the server gives with its answer. */
  readonly onWarning?: (message: string) => void;
}

export type ResourceRequest =
  | (Sent & { readonly verb: "get"; readonly name: string; readonly resourceVersion?: string })
  | (Sent & { readonly verb: "create"; readonly body: KubeObject; readonly options?: WriteOptions })
  | (Sent & {
      readonly verb: "update";
      readonly name: string;
      readonly body: KubeObject;
      readonly options?: WriteOptions;
    })
  | (Sent & {
      readonly verb: "patch";
      readonly name: string;
      readonly patchType: PatchType;
      /** Parsed JSON: an object, or an array of operations for a JSON patch. */
      readonly body: unknown;
      readonly options?: WriteOptions;
    })
  | (Sent & { readonly verb: "delete"; readonly name: string; readonly options?: DeleteOptions })
  | (Sent & { readonly verb: "deletecollection"; readonly selection?: ListOptions; readonly options?: DeleteOptions });

export interface ListRequest extends ResourceAddress, ListOptions {
  readonly signal?: AbortSignal;
}

export interface WatchRequest extends ResourceAddress {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Events after this revision; absent or `0`: the present state as ADDED events first. */
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "NotOlderThan";
  readonly allowWatchBookmarks?: boolean;
  /** Streams the present state and marks its end by a bookmark annotated `k8s.io/initial-events-end: "true"`. */
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
}

export type WatchEventType = "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";

/** Receives a watch. Neither method may throw. `closed` comes exactly once unless `stop` was called before. */
export interface WatchSink {
  event(type: WatchEventType, object: KubeObject): void;
  /** `error` is absent when the server ended the watch in order (time limit, shutdown). */
  closed(error?: Error): void;
}

export interface WatchHandle {
  stop(): void;
}

export interface RawRequest {
  readonly method: string;
  /** Absolute path with query, such as `/apis/apps/v1?timeout=32s`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal?: AbortSignal;
}

export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}
