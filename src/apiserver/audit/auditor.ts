import { formatMicroTime, type KubeObject, withMetadata } from "#machinery";
import type { Attributes } from "../authorization/attributes.ts";
import type { User } from "../definition.ts";
import type { AuditSink } from "./log-file.ts";
import type { AuditPolicy, AuditStage } from "./policy.ts";

/** What is known of a request when it comes in. */
export interface AuditedRequest {
  readonly id: string;
  readonly receivedMs: number;
  readonly uri: string;
  readonly attributes: Attributes;
  /** Who really asked, where the request is made in another's name. */
  readonly impersonator?: User;
  readonly sourceAddresses: readonly string[];
  readonly userAgent: string;
}

/** How a request ended. */
export interface AuditedAnswer {
  readonly code: number;
  readonly reason?: string;
  readonly message?: string;
}

/** Follows one request through its stages. */
export interface AuditTrail {
  /** The object the client sent. */
  sent(object: unknown): void;
  annotate(key: string, value: string): void;
  started(code: number): void;
  completed(answer: AuditedAnswer, object: unknown): void;
}

const silent: AuditTrail = { sent() {}, annotate() {}, started() {}, completed() {} };

const userOf = ({ name, uid, groups, extra }: User) => ({
  username: name,
  ...(uid === undefined ? {} : { uid }),
  groups,
  ...(extra === undefined ? {} : { extra }),
});

/** Tells who did what, as an audit policy asks for it, in events of audit.k8s.io/v1. */
export class Auditor {
  readonly #policy: AuditPolicy;
  readonly #sink: AuditSink;
  readonly #now: () => number;

  constructor(policy: AuditPolicy, sink: AuditSink, now: () => number) {
    this.#policy = policy;
    this.#sink = sink;
    this.#now = now;
  }

  /** Begins with the stage `RequestReceived`. */
  begin(request: AuditedRequest): AuditTrail {
    const { level, omitStages, omitManagedFields } = this.#policy.decide(request.attributes);
    if (level === "None") return silent;
    const annotations: Record<string, string> = {};
    let sent: unknown;
    const shown = (object: unknown): unknown =>
      omitManagedFields && isObject(object) ? withMetadata(object, { managedFields: undefined }) : object;
    const emit = (stage: AuditStage, more: object) => {
      if (omitStages.has(stage)) return;
      this.#sink.write(
        JSON.stringify({
          kind: "Event",
          apiVersion: "audit.k8s.io/v1",
          level,
          auditID: request.id,
          stage,
          ...factsOf(request),
          ...more,
          requestReceivedTimestamp: formatMicroTime(request.receivedMs),
          stageTimestamp: formatMicroTime(this.#now()),
          ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
        }),
      );
    };
    const bodies = level === "Request" || level === "RequestResponse";
    const requestObject = () => (bodies && sent !== undefined ? { requestObject: shown(sent) } : {});
    emit("RequestReceived", {});
    return {
      sent(object) {
        sent = object;
      },
      annotate(key, value) {
        annotations[key] = value;
      },
      started: (code) => emit("ResponseStarted", { responseStatus: { metadata: {}, code }, ...requestObject() }),
      completed: ({ code, reason, message }, object) =>
        emit("ResponseComplete", {
          responseStatus: {
            metadata: {},
            ...(reason === undefined ? {} : { status: "Failure", reason }),
            ...(message === undefined ? {} : { message }),
            code,
          },
          ...requestObject(),
          ...(level === "RequestResponse" && object !== undefined ? { responseObject: shown(object) } : {}),
        }),
    };
  }

  close(): Promise<void> {
    return this.#sink.close();
  }
}

const isObject = (value: unknown): value is KubeObject =>
  typeof value === "object" && value !== null && "metadata" in value && "kind" in value;

function factsOf({ uri, attributes, impersonator, sourceAddresses, userAgent }: AuditedRequest) {
  const { verb, user, path, resource, namespace, name, group, version, subresource } = attributes;
  const filled = (values: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
  return {
    requestURI: uri,
    verb,
    user: userOf(impersonator ?? user),
    ...(impersonator === undefined ? {} : { impersonatedUser: userOf(user) }),
    sourceIPs: sourceAddresses,
    userAgent,
    ...(path !== undefined
      ? {}
      : { objectRef: filled({ resource, namespace, name, apiGroup: group, apiVersion: version, subresource }) }),
  };
}
