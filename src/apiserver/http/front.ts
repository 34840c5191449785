import { stringify } from "yaml";
import { copyWith, copyWithout } from "#base";
import {
  ApiError,
  apiError,
  apiVersionOf,
  badRequest,
  forbidden,
  internalError,
  methodNotAllowed,
  methodNotSupported,
  notFound,
  objectKey,
  notServed,
  plainFailure,
  type KubeList,
  type ListOptions,
  type KubeObject,
  type PatchType,
  type ResourceRequest,
  type WriteOptions,
} from "#machinery";
import type { Authenticator } from "../authentication/authenticator.ts";
import { headerOf } from "../authentication/headers.ts";
import { impersonationOf } from "../authentication/impersonation.ts";
import { ImpersonationModes } from "../authentication/impersonation-modes.ts";
import type { TokenAuthenticator } from "../authentication/tokens.ts";
import { type Attributes, type Authorizer, type Decision, refusal } from "../authorization/attributes.ts";
import { versionJson } from "../data/generated-version.ts";
import { hasSubresource, type RequestContext, type ResourceDefinition, type User } from "../definition.ts";
import type { DiscoveryDocuments } from "../discovery/discovery.ts";
import type { OpenApiDocuments } from "../openapi/openapi.ts";
import type { Auditor } from "../audit/auditor.ts";
import type { FlowControl } from "../flow/flow-control.ts";
import type { ApiServer } from "../server.ts";
import { encodeProtobuf, hasProtobuf } from "../protobuf/codec.ts";
import { checkListOptions, versionNumber } from "../list-pages.ts";
import { compileFilter } from "../selection.ts";
import { isConnection, refuseConnection } from "./refused-connections.ts";
import { encodeAnswer, encodeStatus, includeObjectOf } from "./answers.ts";
import { attributesOf, urlOf } from "./attributes.ts";
import { readDeleteBody, readObject, readPatch, type SentBody } from "./body.ts";
import type { Connect, FrontAnswer, FrontOutcome, FrontPieces, FrontRequest, FrontStream } from "./exchange.ts";
import type { HealthChecks } from "./health.ts";
import { type AdmissionRequest, admit } from "../admission.ts";
import type { RequestMeasures } from "./measures.ts";
import { type AnswerForm, chooseForm, noStream, notAcceptable, notProduced, parseAccept } from "./negotiation.ts";
import { booleanOf, deleteOptions, listOptions, writeOptions } from "./options.ts";
import { Passage } from "./passage.ts";
import { inLines } from "./pretty.ts";
import { parseResourcePath, type ResourcePath } from "./path.ts";
import { watchWriter } from "./watch-writer.ts";

export interface FrontParts {
  readonly server: ApiServer;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly tokens: TokenAuthenticator;
  readonly health: HealthChecks;
  readonly discovery: DiscoveryDocuments;
  readonly openapi: OpenApiDocuments;
  readonly address: () => string;
  readonly metrics?: () => Promise<string>;
  /** Answers for raw subresources such as `clusters/NAME/proxy` and `pods/NAME/log`. */
  readonly connect?: Connect;
  /** Holds back who asks too much; default nobody. */
  readonly flow?: FlowControl;
  readonly audit?: Auditor;
  readonly measures?: RequestMeasures;
  /** Sends requests for groups of other servers there; `undefined` for what is served here. */
  readonly aggregate?: (request: FrontRequest, url: URL, user: User) => Promise<FrontOutcome | undefined>;
}

const header = (request: FrontRequest, name: string) => headerOf(request.headers, name);

const DISCOVERED =
  /^\/(?:\.well-known\/openid-configuration|openid\/v1\/jwks|api|apis|version|healthz|livez|readyz|metrics|openapi\/v[23])(?:\/|$)/;
const NO_RESOURCE = { group: "", version: "", resource: "", subresource: "", namespace: "", name: "" };

const NO_PAGE = "404 page not found\n";
const HOUR_CACHED = { "cache-control": "public, max-age=3600" };
const NOT_CACHED = { "cache-control": "no-cache, private" };

const json = (
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string | string[]>> = {},
): FrontAnswer => ({
  status,
  headers: { "content-type": "application/json", ...NOT_CACHED, ...headers },
  body: Buffer.from(`${JSON.stringify(value)}\n`),
});

/** What is no object of the API is not written by its encoder: it ends no line, and some of it is set in lines. */
const rawJson = (
  value: unknown,
  headers: Readonly<Record<string, string | string[]>> = {},
  indent?: number,
): FrontAnswer => ({ ...json(200, value, headers), body: Buffer.from(JSON.stringify(value, undefined, indent)) });

const text = (status: number, value: string): FrontAnswer => ({
  status,
  headers: {
    "content-type": "text/plain; charset=utf-8",
    ...NOT_CACHED,
    // Only pages of errors say so.
    ...(status < 400 ? {} : { "x-content-type-options": "nosniff" }),
  },
  body: Buffer.from(value),
});

/** Headers hold bytes: letters beyond ASCII go as those of UTF-8, and what holds controls is left out. */
function warningHeader(warnings: ReadonlySet<string>): Readonly<Record<string, string[]>> {
  const told = [...warnings].map((message) => message.replace(/\s+/g, " ")).filter((text) => !/\p{Cc}/u.test(text));
  if (told.length === 0) return {};
  const quoted = (text: string) => Buffer.from(text.replace(/["\\]/g, "\\$&")).toString("latin1");
  return { warning: told.map((text) => `299 - "${quoted(text)}"`) };
}

const OLD_SCHEMA_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/** Names of the same form: the second is no media type, and still what clients ask for. */
const OLD_SCHEMA_NAMES = new Set([OLD_SCHEMA_PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"]);

const SCHEMA_TYPES = new Set([
  "application/json",
  "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
  "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
]);

/** Whether one of some types is asked for, or any. */
const hasForm = (accept: string | undefined, types: ReadonlySet<string>): boolean =>
  parseAccept(accept).some(({ type }) => types.has(type) || type === "application/*" || type === "*/*");

/** The form of the old schemas that a client wants. */
function oldSchemaForm(accept: string | undefined): "json" | "protobuf" | undefined {
  for (const { type } of parseAccept(accept)) {
    if (OLD_SCHEMA_NAMES.has(type)) return "protobuf";
    if (type === "application/json" || type === "application/*" || type === "*/*") return "json";
  }
  return undefined;
}

/** Who asks. */
interface Asking {
  readonly user: User;
  /** Who asks in the user's name. */
  readonly impersonator?: User;
  /** Why somebody may not ask in the name they gave. */
  readonly refused?: unknown;
}

const NOBODY: Asking = { user: { name: "", groups: [] } };

/** Turns requests into answers: who asks, whether they may, what is asked, and in which form the answer goes. */
export class Front {
  readonly #parts: FrontParts;
  readonly #impersonation: ImpersonationModes;
  readonly #denials = new WeakSet<object>();
  constructor(parts: FrontParts) {
    this.#parts = parts;
    this.#impersonation = new ImpersonationModes(parts.authorizer);
  }

  async handle(request: FrontRequest): Promise<FrontOutcome> {
    const passage = new Passage(request, this.#parts);
    try {
      const url = urlOf(request.url);
      const path = parseResourcePath(url.pathname);
      const attributesBy = (who: User): Attributes =>
        path === undefined
          ? { ...NO_RESOURCE, user: who, verb: request.method.toLowerCase(), path: url.pathname }
          : attributesOf(request, url, path, who);
      const asking = await this.#identify(request, attributesBy);
      const { user } = asking ?? NOBODY;
      const attributes = attributesBy(user);
      passage.begin(attributes, url, asking?.impersonator);
      if (asking === undefined) throw apiError(401, "Unauthorized", "Unauthorized");
      if (asking.refused !== undefined) throw asking.refused;
      await passage.enter();
      const decision = this.#mustBeAllowed(attributes);
      passage.audit.annotate("authorization.k8s.io/decision", "allow");
      passage.audit.annotate("authorization.k8s.io/reason", decision.reason);
      const elsewhere = await this.#parts.aggregate?.(request, url, user);
      if (elsewhere !== undefined) return passage.finish(elsewhere);
      if (path === undefined) return passage.finish(inLines(request, await this.#nonResource(request, url)));
      await this.#admitConnection(url, path, user, passage);
      const connected = path.subresource === undefined ? undefined : await this.#parts.connect?.(request, path, user);
      const answer = connected ?? (await this.#resource(request, url, path, attributes, user, passage));
      return passage.finish(inLines(request, answer));
    } catch (error) {
      const refusal = this.#failure(error, header(request, "accept"), passage.warnings);
      return passage.finish(inLines(request, refusal), error);
    } finally {
      passage.leave();
    }
  }

  /** Webhooks and policies may refuse connections to what an object stands for. */
  async #admitConnection(url: URL, path: ResourcePath, user: User, passage: Passage): Promise<void> {
    const { registry, admission } = this.#parts.server;
    const definition = registry.find(path.group, path.version, path.resource);
    const subresource = definition?.subresources.find(({ name }) => name === path.subresource);
    if (definition === undefined || subresource === undefined || !subresource.kind.kind.endsWith("Options")) return;
    const { group, version, kind } = subresource.kind;
    const asked = Object.fromEntries(
      [...new Set(url.searchParams.keys())].map((key) => {
        const values = url.searchParams.getAll(key);
        return [key, values.length > 1 || key === "command" ? values : values[0]] as const;
      }),
    );
    const object = { ...asked, apiVersion: apiVersionOf({ group, version }), kind, metadata: {} } as KubeObject;
    const connection: AdmissionRequest = {
      operation: "CONNECT",
      definition,
      object,
      oldObject: undefined,
      subresource: path.subresource,
      namespace: path.namespace,
      name: path.name ?? "",
      user,
      isDryRun: false,
      warn: (message) => passage.warnings.add(message),
      annotate: (key, value) => passage.audit.annotate(key, value),
    };
    await admit(
      admission.filter(({ seesConnections }) => seesConnections === true),
      connection,
      (same) => same,
    );
  }

  #failure(error: unknown, accept: string | undefined, warnings: ReadonlySet<string>): FrontAnswer {
    const { status } = error instanceof ApiError ? error : internalError(error);
    if (!(error instanceof ApiError)) this.#parts.server.log.error("request failed", { error });
    const retry = status.details?.retryAfterSeconds;
    const { contentType, body } = encodeStatus(status, chooseForm(accept, true, true));
    return {
      status: status.code ?? 500,
      headers: {
        "content-type": contentType,
        ...warningHeader(warnings),
        ...NOT_CACHED,
        ...(this.#denials.has(error as object) ? { "x-content-type-options": "nosniff" } : {}),
        ...(retry === undefined ? {} : { "retry-after": String(retry) }),
      },
      body,
    };
  }

  /** Who asks, after impersonation; `undefined` when it is nobody. */
  async #identify(request: FrontRequest, attributes: (user: User) => Attributes): Promise<Asking | undefined> {
    if (request.trustedUser !== undefined) return { user: request.trustedUser };
    const user = await this.#parts.authenticator.authenticate(request.headers, request.peer ?? []);
    this.#parts.measures?.authenticated(user !== undefined);
    if (user === undefined) return undefined;
    try {
      const asked = impersonationOf(request.headers);
      if (asked === undefined) return { user };
      return { user: this.#impersonation.mustBeAllowed(user, asked, attributes(user)), impersonator: user };
    } catch (error) {
      return { user, refused: this.#denied(error) };
    }
  }

  /** Refusals of who may ask at all carry a header that those of later checks do not. */
  #denied<E>(error: E): E {
    if (typeof error === "object" && error !== null) this.#denials.add(error);
    return error;
  }

  #mustBeAllowed(attributes: Attributes): Decision {
    const decision = this.#parts.authorizer.authorize(attributes);
    if (decision.isAllowed) return decision;
    const why = refusal(attributes, decision.reason);
    if (attributes.path !== undefined) throw this.#denied(apiError(403, "Forbidden", `forbidden: ${why}`, {}));
    const { group, resource, name } = attributes;
    throw this.#denied(forbidden({ group, resource }, name, why));
  }

  /** An object of the core group, if it is there. */
  async #find(resource: string, namespace: string | undefined, name: string): Promise<KubeObject | undefined> {
    const { server } = this.#parts;
    const definition = server.definition({ group: "", version: "v1", resource });
    const store = server.store(definition);
    await store.load();
    await server.settle();
    return store.get(objectKey(definition.kind.namespaced ? namespace : undefined, name))?.object;
  }

  async #nonResource(request: FrontRequest, url: URL): Promise<FrontAnswer> {
    const { server, discovery, openapi } = this.#parts;
    const path = decodeURIComponent(url.pathname);
    const accept = header(request, "accept");
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (!isRead && path !== "/" && !DISCOVERED.test(path)) return text(404, NO_PAGE);
    if (/^\/(?:healthz|livez|readyz)\/$/.test(path)) return text(404, NO_PAGE);
    const health = await this.#parts.health.answer(path, url.searchParams);
    if (health !== undefined) {
      const page = text(health.status, health.text);
      return /^\/[a-z]+\/?$/.test(path)
        ? { ...page, headers: { ...page.headers, "x-content-type-options": "nosniff" } }
        : page;
    }
    if (path === "/version" || path === "/version/") {
      if (request.method !== "GET") throw methodNotAllowed();
      const refused = notProduced(accept, { canProtobuf: false, isJsonOnly: true });
      if (refused !== undefined) throw refused;
      return rawJson(JSON.parse(versionJson), {}, 2);
    }
    if (path.startsWith("/version/")) throw notServed();
    if (path === "/metrics")
      return {
        status: 200,
        headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", ...NOT_CACHED },
        body: Buffer.from((await this.#parts.metrics?.()) ?? ""),
      };
    if (path === "/")
      return rawJson(
        {
          paths: [
            "/api",
            "/apis",
            "/healthz",
            "/livez",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/readyz",
            "/version",
          ],
        },
        {},
        2,
      );
    if (path === "/openapi/v3") return text(200, JSON.stringify(openapi.index()));
    if (path.startsWith("/openapi/v3/")) {
      const document = path.endsWith("/") ? undefined : openapi.document(path.slice("/openapi/v3/".length));
      if (document === undefined) return { status: 404, headers: NOT_CACHED, body: Buffer.alloc(0) };
      if (!hasForm(accept, SCHEMA_TYPES))
        return { status: 406, headers: { vary: "Accept", ...NOT_CACHED }, body: Buffer.alloc(0) };
      const etag = `"${document.hash}"`;
      if (header(request, "if-none-match") === etag) return { status: 304, headers: { etag }, body: Buffer.alloc(0) };
      return {
        status: 200,
        // Under a name with its hash, a document never changes.
        headers: {
          "content-type": "application/json",
          etag,
          vary: "Accept",
          ...(url.searchParams.has("hash") ? {} : NOT_CACHED),
        },
        body: document.body,
      };
    }
    if (path === "/openapi/v2") {
      const form = oldSchemaForm(accept);
      if (form === undefined)
        return { status: 406, headers: { vary: "Accept-Encoding, Accept", ...NOT_CACHED }, body: Buffer.alloc(0) };
      const document = openapi.v2();
      const etag = `"${document.hash}"`;
      const known = { etag, vary: "Accept-Encoding, Accept", ...NOT_CACHED };
      if (header(request, "if-none-match") === etag) return { status: 304, headers: known, body: Buffer.alloc(0) };
      const type = form === "json" ? "application/json" : OLD_SCHEMA_PROTOBUF;
      return { status: 200, headers: { "content-type": type, ...known }, body: document[form] };
    }
    if (isRead && (path === "/api" || path === "/apis")) {
      const wantsAggregated = parseAccept(accept).find(
        ({ type, parameters }) =>
          (type === "application/json" || type === "application/yaml") &&
          parameters["as"] === "APIGroupDiscoveryList" &&
          parameters["g"] === "apidiscovery.k8s.io" &&
          parameters["v"] === "v2",
      );
      if (wantsAggregated !== undefined) {
        const { body, etag } = discovery.aggregated(path);
        if (header(request, "if-none-match") === etag) return { status: 304, headers: { etag }, body: Buffer.alloc(0) };
        return {
          status: 200,
          headers: {
            "content-type": `${wantsAggregated.type};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList`,
            etag,
            vary: "Accept",
            "cache-control": "public",
          },
          body:
            wantsAggregated.type === "application/yaml"
              ? Buffer.from(stringify(JSON.parse(body.toString("utf8"))))
              : body,
        };
      }
    }
    if (/^\/(?:\.well-known|openid)\//.test(path) && !isRead) throw methodNotAllowed();
    if (path === "/.well-known/openid-configuration")
      return rawJson(this.#parts.tokens.accounts.discovery(this.#parts.address()), HOUR_CACHED);
    if (path === "/openid/v1/jwks")
      return rawJson(await this.#parts.tokens.accounts.keySet(), {
        "content-type": "application/jwk-set+json",
        ...HOUR_CACHED,
      });
    const [, group] = /^\/apis\/([^/]+)\/[^/]+\/?$/.exec(path) ?? [];
    const isOurs =
      /^\/api(?:\/[^/]*)?\/?$/.test(path) ||
      (group !== "" && server.registry.all.some(({ kind, origin }) => kind.group === group && origin !== "custom"));
    const classic = discovery.classic(path, this.#parts.address());
    if (classic !== undefined) {
      // Pages of others than Kubernetes' own groups are given whatever the method.
      if (isOurs && request.method !== "GET") throw methodNotAllowed();
      return discovered(accept, classic, isOurs);
    }
    // Kubernetes' own groups answer for versions they do not have; nobody does for those of custom kinds.
    if (isOurs) throw notServed();
    server.log.debug("no such path", { path });
    return text(404, NO_PAGE);
  }

  /**
   * Whether some part of the server looks after a path. What no kind of Kubernetes' own groups answers for, nobody
   * does unless a custom kind is there, in that version and with that scope; those paths have no page.
   */
  #isKnownPlace(path: ResourcePath, verb: string): boolean {
    const { registry } = this.#parts.server;
    const definition = registry.find(path.group, path.version, path.resource);
    if (definition === undefined)
      return registry.all.some(({ kind, origin }) => kind.group === path.group && origin !== "custom");
    if (definition.origin !== "custom" || definition.kind.namespaced === (path.namespace !== undefined)) return true;
    if (path.name === "" && path.subresource !== undefined) return true;
    return definition.kind.namespaced && (verb === "list" || verb === "watch" || verb === "deletecollection");
  }

  async #resource(
    request: FrontRequest,
    url: URL,
    path: ResourcePath,
    attributes: Attributes,
    user: User,
    passage: Passage,
  ): Promise<FrontAnswer | FrontPieces | FrontStream> {
    const { server } = this.#parts;
    if (!this.#isKnownPlace(path, attributes.verb)) return text(404, NO_PAGE);
    const definition = server.definition(path);
    // Parts of an object without a name are those of all.
    if (
      definition.origin === "custom" &&
      path.name === "" &&
      attributes.verb === "get" &&
      path.subresource !== undefined
    )
      throw hasSubresource(definition, path.subresource)
        ? methodNotSupported(definition.kind, "list")
        : notFound(definition.kind, "");
    if (
      path.subresource !== undefined &&
      definition.origin === "custom" &&
      !hasSubresource(definition, path.subresource)
    )
      throw notFound(definition.kind, path.name ?? "");
    const canProtobuf = definition.origin === "builtin" && hasProtobuf(path.group, path.version, definition.kind.kind);
    if (definition.virtual !== undefined && path.name !== undefined) throw notServed();
    // What stands behind a part of a custom object is not looked at.
    const isWhole = definition.origin === "custom" || path.subresource === "proxy";
    if (path.rest !== undefined && !isWhole) throw notServed();
    mustBeServed(definition, path, attributes.verb, request.method);
    const query = url.searchParams;
    if (isConnection(definition, path.subresource)) {
      if (path.subresource !== "log" && query.has("dryRun")) throw badRequest("dryRun is not supported");
      await refuseConnection(path, query, (resource, namespace, name) => this.#find(resource, namespace, name));
      return { status: 204, headers: NOT_CACHED, body: Buffer.alloc(0) };
    }
    const accept = header(request, "accept");
    const canStream = attributes.verb === "list" || attributes.verb === "watch";
    const refused = definition.origin === "builtin" ? notProduced(accept, { canProtobuf, canStream }) : undefined;
    if (refused !== undefined) throw refused;
    const form = chooseForm(accept, canProtobuf);
    if (form === undefined) throw notAcceptable();
    const { warnings } = passage;
    if (definition.deprecation !== undefined) warnings.add(definition.deprecation);
    let isCreated = false;
    const context: RequestContext = {
      user,
      warn: (message) => warnings.add(message),
      annotate: (key, value) => passage.audit.annotate(key, value),
      tracksFields: true,
      beforeCreateInstead: () => {
        this.#mustBeAllowed({ ...attributes, verb: "create" });
        isCreated = true;
      },
    };
    const agent = header(request, "user-agent");
    const part = definition.subresources.find(({ name: one }) => one === path.subresource);
    const sentKind = (part ?? definition).kind.kind;
    const sentObject = async (): Promise<SentBody> => {
      const validation = query.get("fieldValidation") as WriteOptions["fieldValidation"];
      const sent = readObject(await request.body(), header(request, "content-type"), definition, sentKind, validation);
      passage.audit.sent(sent.value);
      return sent;
    };
    const address = copyWithout(path, "rest", "isWatch");
    if (attributes.verb === "watch") return this.#watch(path, query, form);
    const include = () => includeObjectOf(query);
    const answer = (status: number, object: KubeObject | KubeList): FrontAnswer | FrontPieces => {
      passage.answered = object;
      const encoded = encodeAnswer(definition, form, object, include, server.clock.now());
      const plain = { "content-type": encoded.contentType, ...NOT_CACHED };
      const headers = warnings.size === 0 ? plain : { ...plain, ...warningHeader(warnings) };
      return "pieces" in encoded
        ? { status, headers, pieces: encoded.pieces }
        : { status, headers, body: encoded.body };
    };
    const name = path.name ?? "";
    switch (attributes.verb) {
      case "list":
        return answer(
          200,
          await server.list({ ...address, ...wholeOf(listOptions(query)), ...initialEventsOf(query) }),
        );
      case "get":
        if (booleanOf(query, "export") === true)
          throw badRequest("the export parameter, deprecated since v1.14, is no longer supported");
        return answer(
          200,
          await server.execute(
            {
              verb: "get",
              ...address,
              name,
              resourceVersion: query.get("resourceVersion") || undefined,
            } as ResourceRequest,
            context,
          ),
        );
      case "create": {
        const options = writeOptions(query, "CreateOptions", agent);
        const { value: body, strictErrors } = await sentObject();
        const created = await server.execute(
          { verb: "create", ...address, body, options } as ResourceRequest,
          copyWith(context, { strictErrors }),
        );
        return answer(201, created);
      }
      case "update": {
        const options = writeOptions(query, "UpdateOptions", agent);
        const { value: body, strictErrors } = await sentObject();
        const updated = await server.execute(
          { verb: "update", ...address, name, body, options } as ResourceRequest,
          copyWith(context, { strictErrors }),
        );
        return answer(isCreated ? 201 : 200, updated);
      }
      case "patch": {
        const type = (header(request, "content-type") ?? "").split(";")[0]?.trim() as PatchType;
        const known = PATCH_TYPES.filter(
          (one) => definition.origin === "builtin" || one !== "application/strategic-merge-patch+json",
        );
        if (definition.origin === "custom" && !known.includes(type))
          throw apiError(
            415,
            "UnsupportedMediaType",
            `the body of the request was in an unknown format - accepted media types include: ${known.join(", ")}`,
          );
        if (!known.includes(type)) throw apiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {});
        const isApply = type === "application/apply-patch+yaml";
        const options = writeOptions(query, "PatchOptions", agent, isApply);
        const bytes = await request.body();
        const isExact = definition.origin === "custom" && path.subresource !== "scale";
        const { value: body, strictErrors } = await this.#toWhatIsThere(definition, path, isApply, () =>
          readPatch(bytes, type, options.fieldValidation, isExact),
        );
        passage.audit.sent(body);
        const patched = await server.execute(
          {
            verb: "patch",
            ...address,
            name,
            patchType: type,
            body,
            options,
          } as ResourceRequest,
          copyWith(context, { strictErrors }),
        );
        return answer(isCreated ? 201 : 200, patched);
      }
      case "delete":
      case "deletecollection": {
        const selection = attributes.verb === "deletecollection" ? listOptions(query) : undefined;
        if (selection !== undefined) checkListOptions({ ...selection, ...initialEventsOf(query) });
        if (selection !== undefined) compileFilter(definition, selection.labelSelector, selection.fieldSelector);
        const settled = deleteOptions(query, readDeleteBody(await request.body(), header(request, "content-type")));
        const sent =
          selection === undefined
            ? { verb: "delete", ...address, name, options: settled }
            : { verb: "deletecollection", ...address, selection, options: settled };
        const left = await server.execute(sent as ResourceRequest, context);
        // Whoever wants dependents to go as well is told when it has only begun.
        const isHeld = selection === undefined && isMarked(left) && settled.orphanDependents === false;
        return answer(isHeld ? 202 : 200, left);
      }
      default:
        throw methodNotAllowed();
    }
  }

  /** Reads a patch. What it is for is looked for before it is read, unless it may be made. */
  async #toWhatIsThere(
    definition: ResourceDefinition,
    { namespace, name = "" }: ResourcePath,
    isApply: boolean,
    read: () => SentBody,
  ): Promise<SentBody> {
    try {
      return read();
    } catch (error) {
      if (isApply) throw error;
      const { server } = this.#parts;
      const store = server.store(definition);
      await store.load();
      await server.settle();
      const isThere = store.get(objectKey(definition.kind.namespaced ? namespace : undefined, name)) !== undefined;
      throw isThere ? error : notFound(definition.kind, name);
    }
  }

  #watch(path: ResourcePath, query: URLSearchParams, form: AnswerForm): FrontStream {
    const { server } = this.#parts;
    const definition = server.definition(path);
    if (form.encoding === "yaml") throw noStream();
    const include = form.as === "Table" ? includeObjectOf(query) : "None";
    // What is wrong with the request is told before a stream begins.
    const options = { ...listOptions(query), ...initialEventsOf(query) };
    // Who asks for what is there now, and for no more, is told when all of it was sent.
    const { resourceVersion = "0", resourceVersionMatch, sendInitialEvents } = options;
    const asks = resourceVersionMatch !== undefined || sendInitialEvents !== undefined;
    if (booleanOf(query, "watch") === true && resourceVersion === "0" && !asks)
      Object.assign(options, { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" });
    checkListOptions(options, true);
    compileFilter(definition, options.labelSelector, options.fieldSelector, path.name);
    versionNumber(options.resourceVersion, plainFailure);
    const address = copyWithout(path, "rest", "isWatch");
    const seconds = options.timeoutSeconds || 1800 + server.random.below(1800);
    return {
      stream: true,
      contentType:
        form.encoding === "protobuf" ? "application/vnd.kubernetes.protobuf;stream=watch" : "application/json",
      start: (write, end) => {
        const counted = this.#parts.measures?.watched(definition.kind);
        const sink = watchWriter({ definition, form, include, clock: server.clock, counted }, write, end);
        return server.watch(
          {
            ...address,
            ...options,
            allowWatchBookmarks: booleanOf(query, "allowWatchBookmarks") ?? false,
            timeoutSeconds: seconds,
          } as Parameters<ApiServer["watch"]>[0],
          sink,
        );
      },
    };
  }
}

const PATCH_TYPES: readonly PatchType[] = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
];

/** Refuses paths and methods that no handler is there for, before anything is read. */
function mustBeServed(definition: ResourceDefinition, path: ResourcePath, verb: string, method: string): void {
  const { namespaced } = definition.kind;
  const { name, namespace, subresource } = path;
  const isCustom = definition.origin === "custom";
  if (namespace !== undefined && !namespaced) throw notServed();
  if (namespaced && namespace === undefined && name !== undefined) throw notServed();
  if (path.isWatch === true && !isCustom && method !== "GET") throw methodNotAllowed();
  const known = definition.subresources.find((candidate) => candidate.name === subresource);
  if (subresource !== undefined && known === undefined) throw notServed();
  // Only what other servers answer for, and handlers that look at no method, answer without a body.
  if (method === "HEAD" && !isCustom && subresource !== "proxy") throw methodNotAllowed();
  if (known !== undefined) {
    if (known.verbs.includes(verb) || subresource === "proxy") return;
    throw isCustom ? methodNotSupported(definition.kind, method === "OPTIONS" ? "" : verb) : methodNotAllowed();
  }
  if (isCustom && method === "OPTIONS") throw methodNotSupported(definition.kind, "");
  const needsName = verb === "update" || verb === "patch" || verb === "get" || verb === "delete";
  // The server of custom objects makes the one in the body, whatever the path calls it.
  const isNameLeft = verb === "watch" || (isCustom && verb === "create");
  if (needsName !== (name !== undefined) && !isNameLeft) throw methodNotAllowed();
  if (!definition.verbs.includes(verb)) throw methodNotAllowed();
  if (namespaced && namespace === undefined && verb !== "list" && verb !== "watch") throw methodNotAllowed();
}

/** Whether an object is there still, to be deleted when nothing holds it any more. */
function isMarked(answer: KubeObject | KubeList): boolean {
  const {
    deletionTimestamp,
    finalizers = [],
    deletionGracePeriodSeconds = 0,
  } = answer.metadata as KubeObject["metadata"];
  return deletionTimestamp !== undefined && (finalizers.length > 0 || deletionGracePeriodSeconds > 0);
}

/** Who asks for whatever is known gets all of it at once. */
const wholeOf = (options: ListOptions): ListOptions =>
  options.resourceVersion === "0" && options.continue === undefined ? copyWithout(options, "limit") : options;

function initialEventsOf(query: URLSearchParams): { readonly sendInitialEvents?: boolean } {
  const sendInitialEvents = booleanOf(query, "sendInitialEvents");
  return sendInitialEvents === undefined ? {} : { sendInitialEvents };
}

/** A page as messages have it: verbs are a message of their own, and an old page has no version. */
function packable(page: KubeObject): KubeObject {
  const { resources } = page as { readonly resources?: readonly { readonly verbs: readonly string[] }[] };
  return {
    ...page,
    apiVersion: (page as { readonly apiVersion?: string }).apiVersion ?? "",
    ...(resources === undefined
      ? {}
      : { resources: resources.map((resource) => ({ ...resource, verbs: { items: resource.verbs } })) }),
  };
}

/** A page of discovery in the form a client asks for. */
function discovered(accept: string | undefined, page: unknown, isOurs: boolean): FrontAnswer {
  const refused = isOurs ? notProduced(accept, { canProtobuf: true }) : undefined;
  if (refused !== undefined) throw refused;
  const form = chooseForm(accept, true, true);
  if (form === undefined) throw notAcceptable();
  const packed = form.encoding === "protobuf" ? encodeProtobuf(packable(page as KubeObject)) : undefined;
  if (packed !== undefined)
    return {
      status: 200,
      headers: { "content-type": "application/vnd.kubernetes.protobuf", ...NOT_CACHED },
      body: packed,
    };
  if (form.encoding !== "yaml") return json(200, page);
  return {
    status: 200,
    headers: { "content-type": "application/yaml", ...NOT_CACHED },
    body: Buffer.from(stringify(page)),
  };
}
