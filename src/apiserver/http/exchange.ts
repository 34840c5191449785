import type { IncomingMessage } from "node:http";
import type { Duplex, Transform } from "node:stream";
import type { WatchHandle } from "#machinery";
import type { ForwardTarget } from "#network";
import type { PeerChain } from "../authentication/certificates.ts";
import type { Attributes } from "../authorization/attributes.ts";
import type { Headers } from "../authentication/headers.ts";
import type { User } from "../definition.ts";
import type { ResourcePath } from "./path.ts";

/** One request, whatever carried it. */
export interface FrontRequest {
  readonly method: string;
  /** Path with query. */
  readonly url: string;
  readonly headers: Headers;
  readonly body: () => Promise<Buffer>;
  /** The certificates the client showed; default none. */
  readonly peer?: PeerChain;
  /** Set for requests inside the process. */
  readonly trustedUser?: User;
  /** Address the request came from. */
  readonly remoteAddress?: string;
  /** Whether the connection asks to change its protocol. */
  readonly isUpgrade?: boolean;
}

export interface FrontAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Buffer;
}

/** A long answer, whose pieces are made as they are taken: whoever carries it takes all of them or ends the iteration. */
export interface FrontPieces {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly pieces: Iterable<Buffer>;
}

/** The body of an answer in one piece. */
export const wholeBody = (answer: FrontAnswer | FrontPieces): Buffer =>
  "pieces" in answer ? Buffer.concat([...answer.pieces]) : answer.body;

/** A watch: frames are written until either side ends it. */
export interface FrontStream {
  readonly stream: true;
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
  start(write: (frame: Buffer) => void, end: () => void): WatchHandle;
}

/** The request goes on to another server; whoever carries it pipes both ways. */
export interface FrontForward {
  readonly forward: ForwardTarget;
  /** What is sent on when the request's body was read already; default what the client sends. */
  readonly sent?: Buffer;
  /** Reads over the answer on its way back; it keeps the length. */
  readonly rewrite?: Transform;
}

/** A protocol upgrade that is answered here: the connection changes hands. */
export interface FrontUpgrade {
  accept(request: UpgradeRequest, socket: Duplex, head: Buffer): void;
}

/** The upgrade request as Node gave it. */
export type UpgradeRequest = IncomingMessage;

/** Answers requests, whatever carries them. */
export interface Handler {
  handle(request: FrontRequest): Promise<FrontOutcome>;
}

/** Whatever comes of a request. `about` says what it was about where that stands behind an address: measures count it as that. */
export type FrontOutcome = (FrontAnswer | FrontPieces | FrontStream | FrontForward | FrontUpgrade) & {
  readonly about?: Attributes;
};

/** Answers paths that are no verbs on stored objects; `undefined` to go on as usual. */
export type Connect = (request: FrontRequest, path: ResourcePath, user: User) => Promise<FrontOutcome | undefined>;
