/**
 * A server of webhooks that both API servers ask. What it answers stands in the path it is asked by: `/answer/deny` and so
 * on. It tells what it was asked within its answers, so that the questions are compared as well.
 */
import { createServer } from "node:https";

export interface Hooks {
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  stop(): Promise<void>;
}

interface Question {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly request?: Readonly<Record<string, unknown>> & {
    readonly uid?: string;
    readonly objects?: readonly unknown[];
  };
}

const patch = (...operations: readonly unknown[]) => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});
const label = (key: string, value = "yes") => ({
  op: "add",
  path: "/metadata/annotations",
  value: { [key]: value },
});

/** The `response` of an answer, by its name in the path. */
const RESPONSES: Readonly<Record<string, (request: Readonly<Record<string, unknown>>) => unknown>> = {
  allow: () => ({ allowed: true }),
  deny: () => ({ allowed: false }),
  message: () => ({ allowed: false, status: { message: "not like this" } }),
  code: () => ({ allowed: false, status: { message: "gone away", code: 410, reason: "Gone" } }),
  reason: () => ({ allowed: false, status: { reason: "Because" } }),
  details: () => ({
    allowed: false,
    status: {
      code: 422,
      message: "look at the causes",
      details: {
        name: "n",
        causes: [{ reason: "FieldValueInvalid", message: "m", field: "data.a" }],
        retryAfterSeconds: 7,
      },
    },
  }),
  success: () => ({ allowed: false, status: { status: "Success", code: 200, message: "fine" } }),
  warn: () => ({ allowed: true, warnings: ["look out", 'twice "quoted"', "", "a\nb", "é", "x".repeat(300)] }),
  warndeny: () => ({ allowed: false, warnings: ["denied anyway"], status: { message: "no" } }),
  audit: () => ({ allowed: true, auditAnnotations: { a: "b", "bad key/": "c" } }),
  patch: () => patch(label("hooked")),
  data: () => patch({ op: "add", path: "/data", value: { from: "hook" } }),
  badpath: () => patch({ op: "replace", path: "/nope/deep", value: 1 }),
  badtest: () => patch({ op: "test", path: "/metadata/name", value: "other" }),
  badop: () => patch({ op: "nope", path: "/data" }),
  badtype: () => patch({ op: "add", path: "/data", value: 5 }),
  badname: () => patch({ op: "replace", path: "/metadata/name", value: "renamed" }),
  badkind: () => patch({ op: "replace", path: "/kind", value: "Secret" }),
  invalid: () => patch({ op: "add", path: "/data", value: { "not a key": "x" } }),
  unknown: () => patch({ op: "add", path: "/zzz", value: 1 }),
  nopatch: () => ({ allowed: true, patchType: "JSONPatch", patch: Buffer.from("nope").toString("base64") }),
  notype: () => ({ ...patch(label("hooked")), patchType: undefined }),
  othertype: () => ({ ...patch(label("hooked")), patchType: "Merge" }),
  onlytype: () => ({ allowed: true, patchType: "JSONPatch" }),
  empty: () => patch(),
  deniedpatch: () => ({ ...patch(label("hooked")), allowed: false, status: { message: "patched and denied" } }),
  uid: () => ({ uid: "another", allowed: true }),
  echo: ({ uid: _, object, oldObject, userInfo, ...rest }) =>
    patch({
      op: "add",
      path: "/metadata/annotations",
      value: {
        rest: JSON.stringify(rest, Object.keys(flat(rest)).sort()),
        user: JSON.stringify(userInfo),
        object: JSON.stringify(object, Object.keys(flat(object)).sort()),
        old: JSON.stringify(oldObject, Object.keys(flat(oldObject)).sort()),
      },
    }),
  tell: ({ uid: _, ...request }) => ({
    allowed: false,
    status: { message: JSON.stringify(request, Object.keys(flat(request)).sort()) },
  }),
};

/** All keys at any depth, for JSON in one order. */
function flat(value: unknown, keys: Record<string, true> = {}): Record<string, true> {
  if (Array.isArray(value)) for (const item of value) flat(item, keys);
  else if (typeof value === "object" && value !== null)
    for (const [key, item] of Object.entries(value)) {
      if (key !== "managedFields") keys[key] = true;
      flat(item, keys);
    }
  return keys;
}

/** Objects in another version, by the name of the conversion. */
const CONVERSIONS: Readonly<Record<string, (objects: readonly Thing[], version: string) => unknown>> = {
  right: (objects, version) => ({ result: { status: "Success" }, convertedObjects: objects.map(to(version)) }),
  failed: () => ({ result: { status: "Failure", message: "cannot convert", reason: "Nope", code: 418 } }),
  silent: () => ({ result: { status: "Failure" } }),
  fewer: () => ({ result: { status: "Success" }, convertedObjects: [] }),
  same: (objects) => ({ result: { status: "Success" }, convertedObjects: objects }),
  renamed: (objects, version) => ({
    result: { status: "Success" },
    convertedObjects: objects.map(to(version)).map((one) => ({ ...one, metadata: { ...one.metadata, name: "other" } })),
  }),
  labels: (objects, version) => ({
    result: { status: "Success" },
    convertedObjects: objects
      .map(to(version))
      .map((one) => ({ ...one, metadata: { ...one.metadata, labels: { by: "hook" }, annotations: { by: "hook" } } })),
  }),
  kinds: (objects, version) => ({
    result: { status: "Success" },
    convertedObjects: objects.map(to(version)).map((one) => ({ ...one, kind: "Other" })),
  }),
  uids: (objects, version) => ({
    result: { status: "Success" },
    convertedObjects: objects.map(to(version)).map((one) => ({ ...one, metadata: { ...one.metadata, uid: "x" } })),
  }),
  none: () => ({}),
};

interface Thing {
  readonly apiVersion: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** v1 has `spec.a`, all others `spec.b`. */
const to =
  (version: string) =>
  ({ spec = {}, ...rest }: Thing): Thing => {
    const { a, b, ...others } = spec;
    const value = a ?? b;
    return {
      ...rest,
      apiVersion: version,
      spec: { ...others, ...(value === undefined ? {} : { [/\/v1$/.test(version) ? "a" : "b"]: value }) },
    };
  };

/** Whole answers that are none. */
const BODIES: Readonly<Record<string, { readonly status: number; readonly text: (question: Question) => string }>> = {
  "500": { status: 500, text: () => "broken" },
  "404": { status: 404, text: () => "" },
  "200": { status: 200, text: () => "" },
  text: { status: 200, text: () => "not json" },
  list: { status: 200, text: () => "[]" },
  kind: {
    status: 200,
    text: ({ request }) =>
      JSON.stringify({ apiVersion: "v1", kind: "Pod", response: { uid: request?.uid, allowed: true } }),
  },
  version: {
    status: 200,
    text: ({ kind, request }) =>
      JSON.stringify({ apiVersion: "admission.k8s.io/v9", kind, response: { uid: request?.uid, allowed: true } }),
  },
  old: {
    status: 200,
    text: ({ kind, request }) =>
      JSON.stringify({ apiVersion: "admission.k8s.io/v1beta1", kind, response: { uid: request?.uid, allowed: true } }),
  },
  bare: { status: 200, text: ({ request }) => JSON.stringify({ response: { uid: request?.uid, allowed: true } }) },
  none: { status: 200, text: ({ apiVersion, kind }) => JSON.stringify({ apiVersion, kind }) },
  wrong: {
    status: 200,
    text: ({ apiVersion, kind, request }) =>
      JSON.stringify({ apiVersion, kind, response: { uid: request?.uid, allowed: "yes" } }),
  },
  status: {
    status: 200,
    text: () => JSON.stringify({ apiVersion: "v1", kind: "Status", status: "Failure", message: "a status" }),
  },
};

/** Starts the server with a certificate for 127.0.0.1. */
export async function startHooks(certificate: string, key: string): Promise<Hooks> {
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const question = parse(Buffer.concat(chunks).toString("utf8"));
      const [, what = "", name = ""] = (request.url ?? "").split("?")[0]?.split("/") ?? [];
      const send = (status: number, text: string) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(text);
      };
      const body = what === "body" ? BODIES[name] : undefined;
      const asked = question.request ?? {};
      if (body !== undefined) return send(body.status, body.text(question));
      // Never answered: what asks has a limit of its own, and the connection ends with it.
      if (what === "silence") return;
      const { apiVersion, kind } = question;
      const given =
        what === "answer"
          ? RESPONSES[name]?.(asked)
          : what === "convert"
            ? CONVERSIONS[name]?.((asked.objects ?? []) as readonly Thing[], String(asked["desiredAPIVersion"]))
            : undefined;
      if (given === undefined) return send(404, `there is no ${request.url}`);
      send(200, JSON.stringify({ apiVersion, kind, response: { uid: asked.uid, ...(given as object) } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server of webhooks has no port");
  return {
    url: `https://127.0.0.1:${address.port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function parse(text: string): Question {
  try {
    return JSON.parse(text) as Question;
  } catch {
    return {};
  }
}
