import { copyWith } from "#base";
import { ApiError, internalError, tooManyRequests } from "#machinery";
import type { Auditor, AuditTrail } from "../audit/auditor.ts";
import { headerOf } from "../authentication/headers.ts";
import type { Attributes } from "../authorization/attributes.ts";
import type { User } from "../definition.ts";
import type { Admitted, FlowControl } from "../flow/flow-control.ts";
import type { ApiServer } from "../server.ts";
import type { FrontOutcome, FrontPieces, FrontRequest, FrontStream } from "./exchange.ts";
import type { RequestFacts, RequestMeasures } from "./measures.ts";

interface PassageParts {
  readonly server: ApiServer;
  readonly flow?: FlowControl;
  readonly audit?: Auditor;
  readonly measures?: RequestMeasures;
}

const silent: AuditTrail = { sent() {}, annotate() {}, started() {}, completed() {} };
const AUDIT_ID_MAX = 64;

/** One request's way through the server: let in by its flow, told to the audit log, measured when it ends. */
export class Passage {
  audit: AuditTrail = silent;
  /** The object of the answer, for the audit log. */
  answered: unknown;
  readonly #request: FrontRequest;
  readonly #parts: PassageParts;
  readonly #id: string;
  readonly #startedMs = performance.now();
  /** What the client should know beside its answer, each thing once. */
  readonly warnings = new Set<string>();
  #facts: RequestFacts;
  #admitted: Admitted | undefined;
  #left: (() => void) | undefined;
  #hasBegun = false;

  constructor(request: FrontRequest, parts: PassageParts) {
    this.#request = request;
    this.#parts = parts;
    const given = headerOf(request.headers, "audit-id");
    this.#id = given !== undefined && given.length <= AUDIT_ID_MAX ? given : parts.server.random.uuid();
    this.#facts = { method: request.method, attributes: undefined, isDryRun: false, isApply: false };
  }

  /** What the request is about is known from here on. Requests within the process are neither audited nor measured. */
  begin(attributes: Attributes, url: URL, impersonator: User | undefined): void {
    if (this.#request.trustedUser !== undefined) return;
    const { headers, method, remoteAddress } = this.#request;
    this.#facts = {
      method,
      attributes,
      isDryRun: url.searchParams.has("dryRun"),
      isApply:
        attributes.verb === "patch" && (headerOf(headers, "content-type") ?? "").startsWith("application/apply-patch"),
    };
    this.#hasBegun = true;
    this.#left = this.#parts.measures?.begin(attributes.verb);
    this.audit =
      this.#parts.audit?.begin({
        id: this.#id,
        receivedMs: this.#parts.server.clock.now(),
        uri: this.#request.url,
        attributes,
        ...(impersonator === undefined ? {} : { impersonator }),
        sourceAddresses: [
          ...(headerOf(headers, "x-forwarded-for") ?? "")
            .split(",")
            .map((part) => part.trim())
            .filter(Boolean),
          ...(remoteAddress === undefined ? [] : [remoteAddress]),
        ],
        userAgent: headerOf(headers, "user-agent") ?? "",
      }) ?? silent;
  }

  /** Waits for a seat where many ask. Throws 429 when there is none in time. */
  async enter(): Promise<void> {
    const { attributes } = this.#facts;
    if (attributes === undefined || this.#parts.flow === undefined) return;
    this.#admitted = await this.#parts.flow.enter(attributes);
    if (this.#admitted === undefined) throw tooManyRequests("Too many requests, please try again later.", 1);
  }

  /** Gives the seat back; a watch needs it only until it has begun. */
  leave(): void {
    this.#admitted?.leave();
    this.#left?.();
  }

  finish(answer: FrontOutcome, error?: unknown): FrontOutcome {
    const headers = { "audit-id": this.#id, ...this.#admitted?.headers };
    if (answer.about !== undefined) this.#facts = { ...this.#facts, attributes: answer.about };
    if (!("status" in answer) && !("stream" in answer)) {
      // What comes of a request that goes on elsewhere is told there.
      this.audit.completed({ code: 200 }, undefined);
      if (this.#hasBegun) this.#parts.measures?.finished(this.#facts, 200, this.#seconds(), undefined);
      return answer;
    }
    if ("stream" in answer)
      return this.#hasBegun
        ? this.#followed(answer, headers)
        : { ...answer, headers: { ...answer.headers, ...headers } };
    if (!this.#hasBegun) return { ...answer, headers: copyWith(answer.headers, headers) };
    if ("pieces" in answer)
      return { ...answer, headers: copyWith(answer.headers, headers), pieces: this.#counted(answer) };
    const { status } =
      error === undefined ? { status: undefined } : error instanceof ApiError ? error : internalError(error);
    this.audit.completed(
      {
        code: answer.status,
        ...(status?.reason === undefined ? {} : { reason: status.reason }),
        ...(status?.message === undefined ? {} : { message: status.message }),
      },
      status ?? this.answered,
    );
    this.#parts.measures?.finished(this.#facts, answer.status, this.#seconds(), answer.body.length);
    return { ...answer, headers: copyWith(answer.headers, headers) };
  }

  /** The pieces of an answer that is complete with the last of them, or with the one after which nobody takes more. */
  *#counted({ status, pieces }: FrontPieces): Generator<Buffer, void> {
    let bytes = 0;
    try {
      for (const piece of pieces) {
        bytes += piece.length;
        yield piece;
      }
    } finally {
      this.audit.completed({ code: status }, this.answered);
      this.#parts.measures?.finished(this.#facts, status, this.#seconds(), bytes);
    }
  }

  #seconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  #followed(answer: FrontStream, headers: Readonly<Record<string, string>>): FrontStream {
    return {
      ...answer,
      headers,
      start: (write, end) => {
        this.audit.started(200);
        const ended = this.#parts.measures?.streaming(this.#facts);
        let isOpen = true;
        const complete = () => {
          if (!isOpen) return;
          isOpen = false;
          ended?.();
          this.audit.completed({ code: 200 }, undefined);
          this.#parts.measures?.finished(this.#facts, 200, this.#seconds(), undefined);
        };
        const handle = answer.start(write, () => {
          complete();
          end();
        });
        return {
          stop() {
            complete();
            handle.stop();
          },
        };
      },
    };
  }
}
