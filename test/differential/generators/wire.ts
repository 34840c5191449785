/** What is around a request: the forms of bodies and answers, paths and methods, parts of objects, and who asks. */
import fc from "fast-check";
import { encodeProtobuf } from "#apiserver";
import {
  CABLE,
  CLUSTER_ROLE,
  CONFIG_MAP,
  DEPLOYMENT,
  json,
  type Lines,
  mostly,
  NAMESPACE,
  POD,
  posted,
  raw,
  SERVICE,
  text,
  type Thing,
  WIRE,
} from "./common.ts";

const things = fc.constantFrom(CONFIG_MAP, CONFIG_MAP, DEPLOYMENT, WIRE, WIRE, NAMESPACE, CABLE);

// Forms of answers.

const media = text(
  "application/json",
  "application/json",
  "application/json",
  "application/yaml",
  "application/vnd.kubernetes.protobuf",
  "application/vnd.kubernetes.protobuf",
  "*/*",
  "application/*",
  "text/*",
  "text/plain",
  "text/html",
  "application/xml",
  "APPLICATION/JSON",
  "application",
  "/",
  "json",
  "",
  "application/cbor",
  "application/json-seq",
  "application/apply-patch+yaml",
);
const parameter = mostly(
  text(
    "q=1",
    "q=0.5",
    "q=0.1",
    "as=Table;v=v1;g=meta.k8s.io",
    "as=Table;v=v1beta1;g=meta.k8s.io",
    "as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io",
    "as=PartialObjectMetadataList;v=v1beta1;g=meta.k8s.io",
    "stream=watch",
    "pretty=1",
    "charset=utf-8",
  ),
  text(
    "q=0",
    "q=2",
    "q=x",
    "q=",
    "as=Table",
    "as=Table;v=v1",
    "as=Table;g=meta.k8s.io;v=v2",
    "as=Table;g=x;v=v1",
    "as=x;g=meta.k8s.io;v=v1",
    "as=",
    "v=v1",
    "g=meta.k8s.io",
    "v=v9",
    "pretty=0",
    "pretty=true",
    "profile=nested",
    "x=y",
    "x",
    "stream=x",
    "export=1",
    "as=Status;g=;v=v1",
    "as=Node;v=v1;g=",
    "as=ConfigMap;v=v1;g=",
  ),
);
const range = fc.tuple(media, fc.array(parameter, { maxLength: 2 })).map((parts) => parts.flat().join(";"));
const accept = fc
  .array(range, { minLength: 1, maxLength: 3 })
  .chain((ranges) => text(",", ", ", " ,").map((comma) => ranges.join(comma)));

const forms: Lines = fc
  .tuple(
    things,
    fc.array(accept, { minLength: 1, maxLength: 2 }),
    text("get", "list", "list", "watch", "error", "create", "wrong", "delete"),
    text("", "", "", "includeObject=Object", "includeObject=None", "includeObject=x", "pretty=true"),
  )
  .map(([thing, headers, way, query]) => [
    posted(thing),
    ...headers.map((header) => {
      const one = `${thing.path}/${thing.name}?${query}`;
      const shown = `Accept: ${header}`;
      switch (way) {
        case "get":
          return `GET ${one} | ${shown}`;
        case "list":
          return `GET ${thing.path}?fieldSelector=metadata.name%3D${thing.name}&${query} | ${shown}`;
        case "watch":
          return `GET ${thing.path}?fieldSelector=metadata.name%3D${thing.name}&watch=1&timeoutSeconds=1&${query} | ${shown}`;
        case "error":
          return `GET ${thing.path}/nope?${query} | ${shown}`;
        case "create":
          return `POST ${thing.path}?dryRun=All&${query} | ${shown} | ${json({ ...thing.object, metadata: { name: `${thing.name}2` } })}`;
        case "wrong":
          return `POST ${thing.path}?${query} | ${shown} | ${json({ ...thing.object, metadata: { name: "A_B" } })}`;
        default:
          return `DELETE ${one}&dryRun=All | ${shown}`;
      }
    }),
  ]);

const pageForms: Lines = fc
  .tuple(
    text(
      "/api",
      "/apis",
      "/apis/apps",
      "/apis/apps/v1",
      "/apis/wire.example.com",
      "/apis/wire.example.com/v1",
      "/version",
      "/openapi/v2",
      "/openapi/v3",
      "/openapi/v3/api/v1",
      "/healthz",
      "/metrics",
      "/nope",
      "/apis/apps/v9",
    ),
    mostly(
      accept,
      text(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;as=APIGroupDiscoveryList;v=v3;g=apidiscovery.k8s.io,application/json",
        "application/json, application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
      ),
    ),
    text("GET", "GET", "GET", "GET", "HEAD"),
  )
  // What the core group has is not the same on purpose.
  .filter(([path, header]) => path !== "/api" || !header.includes("APIGroupDiscoveryList"))
  // The documents themselves are looked at elsewhere; here it counts in which form they come.
  .map(([path, header, method]) => [
    `${/^\/(?:openapi|metrics)/.test(path) ? "HEAD" : method} ${path} | Accept: ${header}`,
  ]);

// Forms of bodies.

const contentType = mostly(
  text("application/json", "application/yaml", "application/vnd.kubernetes.protobuf"),
  text(
    "",
    "application/json; charset=utf-8",
    "APPLICATION/JSON",
    "application/json;stream=watch",
    "text/plain",
    "text/yaml",
    "application/x-yaml",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
    "application/cbor",
    "application/*",
    "*/*",
    "json",
    ";",
    "application/json, application/yaml",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/json;",
    "application/json;;",
    "application/json; x",
    "a/b/c",
  ),
  1,
);

/** A body as text, and what may become of it on its way. */
const damage = fc.tuple(
  text(
    "none",
    "none",
    "none",
    "cut",
    "behind",
    "twice",
    "comment",
    "quotes",
    "space",
    "empty",
    "null",
    "list",
    "number",
    "string",
    "true",
    "word",
    "deep",
    "bom",
    "utf8",
    "nul",
  ),
  fc.nat(400),
);

/** Damages after which a text is still YAML. */
const READABLE = new Set(["none", "twice", "comment", "quotes", "null", "list", "number", "string", "true"]);

function damaged(whole: string, [how, at]: readonly [string, number]): string {
  switch (how) {
    case "cut":
      return raw(whole.slice(0, at % whole.length));
    case "behind":
      return raw(`${whole}${["}", "{}", " x", "\n---\n{}", ",", "\u0000"][at % 6]}`);
    case "twice":
      return raw(whole.replace('"metadata":', `"metadata":{"name":"b"},"metadata":`));
    case "comment":
      return raw(`# a\n${whole}`);
    case "quotes":
      return raw(whole.replaceAll('"', "'"));
    case "space":
      return raw(`\n\t  ${whole}\r\n\n`);
    case "empty":
      return "text:";
    case "null":
      return "text:null";
    case "list":
      return raw(`[${whole}]`);
    case "number":
      return "text:12";
    case "string":
      return 'text:"x"';
    case "true":
      return "text:true";
    case "word":
      return raw(
        [
          "x",
          "{",
          "}",
          "[",
          "---",
          "-",
          "a: b",
          "{a: b}",
          '"',
          '{"a"}',
          "{,}",
          '{"a":1,}',
          "nul",
          "NaN",
          '{"kind":"ConfigMap"}',
          '{"apiVersion":"v1"}',
        ][at % 16] as string,
      );
    case "deep":
      return raw(`${'{"a":'.repeat(at)}1${"}".repeat(at)}`);
    case "bom":
      return raw(`\ufeff${whole}`);
    case "utf8":
      return raw(
        Buffer.concat([Buffer.from(whole.slice(0, -1)), Buffer.from([0x2c, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])]),
      );
    case "nul":
      return raw(whole.replace('"name":"', '"name":"\\u0000'));
    default:
      return raw(whole);
  }
}

const bodies: Lines = fc
  .tuple(
    fc.constantFrom(CONFIG_MAP, DEPLOYMENT, WIRE),
    text("POST", "POST", "PUT", "PATCH", "DELETE"),
    contentType,
    damage,
    text("", "", "fieldValidation=Strict", "fieldValidation=Ignore"),
  )
  .map(([thing, method, type, how, query]) => {
    const whole =
      method === "DELETE"
        ? json({ kind: "DeleteOptions", apiVersion: "v1", propagationPolicy: "Background" })
        : method === "PATCH"
          ? json({ metadata: { labels: { y: "z" } } })
          : json(thing.object);
    const sent = { ...thing.object, ...(method === "DELETE" ? { kind: "DeleteOptions", apiVersion: "v1" } : {}) } as {
      apiVersion: string;
      kind: string;
    };
    const packed =
      type.includes("protobuf") && how[0] === "none" && method !== "PATCH"
        ? encodeProtobuf(method === "DELETE" ? { apiVersion: "v1", kind: "DeleteOptions" } : sent)
        : undefined;
    // What a reader of YAML says of a text that is none is its own matter.
    const isText = !/yaml/.test(type) || READABLE.has(how[0]);
    const body = packed === undefined ? damaged(whole, isText ? how : ["none", 0]) : raw(packed);
    return [
      ...(method === "POST" ? [] : [posted(thing)]),
      `${method} ${thing.path}${method === "POST" ? "" : `/${thing.name}`}?${query} | Content-Type: ${type} | ${body}`,
    ];
  });

// Members nobody knows, members twice, and values of other types.

/** Numbers are shown as they are read, not as they are written; those that differ then are left out. */
const value = fc.constantFrom(
  "null",
  "1",
  "-1",
  "1.5",
  "100",
  '"1"',
  '"x"',
  '""',
  "true",
  '"true"',
  "[]",
  "{}",
  "[null]",
  "01",
  "+1",
  ".5",
  "1.",
  "NaN",
  "0x1",
  '"a\tb"',
  "'x'",
  "9007199254740992",
);
const member = text(
  "metadata",
  "name",
  "namespace",
  "labels",
  "annotations",
  "generateName",
  "finalizers",
  "data",
  "spec",
  "replicas",
  "template",
  "containers",
  "image",
  "kind",
  "apiVersion",
  "nonsense",
  "Name",
  "paused",
  "text",
  "items",
  "status",
  "port",
  "level",
  "open",
  "revisionHistoryLimit",
  "a",
  "x",
);

/** Puts a member into the text of an object behind the n-th opening brace; what is there already is there twice then. */
function withMember(whole: string, at: number, name: string, what: string): string {
  const opened = [...whole.matchAll(/\{/g)].map(({ index }) => index);
  const index = opened[at % opened.length] ?? 0;
  // A member that was there before is read twice by Go, and may be of a wrong type only once here.
  const isThere = whole.slice(index).startsWith(`{${json(name)}:`) || whole.slice(index).includes(`,${json(name)}:`);
  return `${whole.slice(0, index + 1)}${json(name)}:${isThere ? "null" : what}${whole[index + 1] === "}" ? "" : ","}${whole.slice(index + 1)}`;
}

const members: Lines = fc
  .tuple(
    fc.constantFrom(CONFIG_MAP, DEPLOYMENT, DEPLOYMENT, WIRE, WIRE, SERVICE),
    fc.array(fc.tuple(fc.nat(12), member, value), { minLength: 1, maxLength: 2 }),
    text("", "fieldValidation=Strict", "fieldValidation=Warn", "fieldValidation=Ignore"),
    text("POST", "POST", "PUT", "MERGE", "APPLY", "STRATEGIC"),
    text("application/json", "application/json", "application/yaml"),
  )
  .map(([thing, added, query, method, type]) => {
    let whole = json(thing.object);
    // Several mistakes are told in no order where a type is applied.
    for (const [at, name, what] of method === "APPLY" || type === "application/yaml" ? added.slice(0, 1) : added)
      whole = withMember(whole, at, name, what);
    const header = method === "POST" || method === "PUT" ? ` | Content-Type: ${type}` : "";
    const manager = method === "APPLY" ? "&fieldManager=m&force=true" : "";
    return [
      ...(method === "POST" ? [] : [posted(thing)]),
      `${method} ${thing.path}${method === "POST" ? "" : `/${thing.name}`}?${query}${manager}${header} | ${raw(whole)}`,
    ];
  });

// Parts of objects.

const PARTS: readonly (readonly [Thing, string])[] = [
  ...[
    "status",
    "log",
    "exec",
    "attach",
    "portforward",
    "proxy",
    "binding",
    "eviction",
    "ephemeralcontainers",
    "resize",
  ].map((part) => [POD, part] as const),
  ...["status", "scale"].flatMap((part) => [[DEPLOYMENT, part] as const, [WIRE, part] as const]),
  ...["status", "proxy"].map((part) => [SERVICE, part] as const),
  ...["status", "finalize"].map((part) => [NAMESPACE, part] as const),
];
const ACCOUNT: Thing = {
  path: "/api/v1/namespaces/$ns/serviceaccounts",
  name: "a",
  object: { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "a" } },
};
const VOLUME: Thing = {
  path: "/api/v1/persistentvolumes",
  name: "v-$id",
  object: {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "v-$id" },
    spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/x" } },
  },
};
const part = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...PARTS, [ACCOUNT, "token"] as const) },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constantFrom(CONFIG_MAP, POD, DEPLOYMENT, WIRE, NAMESPACE, ACCOUNT, VOLUME, CLUSTER_ROLE),
      text("status", "scale", "proxy", "token", "nope", "finalize", "approval", "log", "Status"),
    ),
  },
);
const method = text(
  "GET",
  "GET",
  "PUT",
  "POST",
  "MERGE",
  "DELETE",
  "JSON-PATCH",
  "APPLY",
  "STRATEGIC",
  "HEAD",
  "OPTIONS",
);

function partBody(thing: Thing, subresource: string): object {
  const metadata = { name: thing.name };
  switch (subresource) {
    case "scale":
      return { apiVersion: "autoscaling/v1", kind: "Scale", metadata, spec: { replicas: 3 } };
    case "token":
      return {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: { audiences: ["a"], expirationSeconds: 10 },
      };
    case "eviction":
      return { apiVersion: "policy/v1", kind: "Eviction", metadata, deleteOptions: { dryRun: ["All"] } };
    case "binding":
      return { apiVersion: "v1", kind: "Binding", metadata, target: { kind: "Node", name: "n" } };
    case "status":
      return { ...thing.object, status: { replicas: 1, phase: "Running" } };
    default:
      return thing.object;
  }
}

const parts: Lines = fc
  .tuple(
    part,
    method,
    fc.constantFrom("same", "same", "same", "none", "other", "empty", "name"),
    fc.boolean(),
    fc.boolean(),
    text("", "", "", "", "/more", "/", "?dryRun=All"),
  )
  .map(([[thing, subresource], how, body, isThere, isAll, tail]) => {
    const path = `${thing.path}/${thing.name}/${subresource}${tail}`;
    const right = partBody(thing, subresource);
    const sent =
      how === "GET" || how === "HEAD" || how === "OPTIONS" || body === "none"
        ? ""
        : how === "JSON-PATCH"
          ? ` | ${json([{ op: "add", path: "/metadata/labels", value: { y: "z" } }])}`
          : body === "empty"
            ? " | {}"
            : body === "other"
              ? ` | ${json(CONFIG_MAP.object)}`
              : body === "name"
                ? ` | ${json({ ...right, metadata: { name: "other" } })}`
                : ` | ${json(right)}`;
    const query = how === "APPLY" ? `${path.includes("?") ? "&" : "?"}fieldManager=m` : "";
    return [
      ...(isThere || isAll ? [posted(thing)] : []),
      `${how} ${path}${query}${sent}`,
      ...(isThere ? [`GET ${thing.path}/${thing.name}`] : []),
    ];
  });

// Paths.

const segment = text(
  "api",
  "apis",
  "v1",
  "v2",
  "apps",
  "wire.example.com",
  "cable.example.com",
  "v1beta1",
  "v1alpha1",
  "namespaces",
  "$ns",
  "default",
  "configmaps",
  "pods",
  "deployments",
  "wires",
  "cables",
  "nodes",
  "a",
  "status",
  "scale",
  "log",
  "watch",
  "proxy",
  "",
  "%2F",
  "a%2Fb",
  "%20",
  "A",
  "nope",
  "ConfigMap",
  "batch",
  "version",
  "healthz",
  "finalize",
  "%00",
  "%C3%A4",
  "namespaces%2F$ns",
  "-",
  "*",
);
const knownPath = text(
  "/api/v1/namespaces/$ns/configmaps",
  "/api/v1/namespaces/$ns/configmaps/a",
  "/api/v1/configmaps/a",
  "/api/v1/namespaces/$ns/nodes",
  "/api/v1/namespaces/$ns/nodes/n",
  "/api/v1/namespaces/$ns/namespaces/x",
  "/apis/apps/v1/namespaces/$ns/deployments/a",
  "/apis/apps/v1/namespaces/$ns/deployments/a/status",
  "/apis/wire.example.com/v1/namespaces/$ns/wires/a",
  "/apis/cable.example.com/v1/namespaces/$ns/cables",
  "/apis/wire.example.com/v1/wires/a",
  "/apis/cable.example.com/v1/cables/a",
  "/api/v1/watch/namespaces/$ns/configmaps?timeoutSeconds=1",
  "/api/v1/watch/namespaces/$ns/configmaps/a?timeoutSeconds=1",
  "/apis/wire.example.com/v1/watch/namespaces/$ns/wires?timeoutSeconds=1",
  "/api/v1/namespaces/$ns",
  "/api/v1/namespaces/$ns/status",
  "/api/v1/nodes/n/proxy",
  "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
  "/apis/authorization.k8s.io/v1/namespaces/$ns/localsubjectaccessreviews",
  "/apis/authentication.k8s.io/v1/tokenreviews/x",
  "/version",
  "/healthz/ping",
  "/readyz/nope",
  "/livez",
  "/logs",
  "/metrics",
  "/apis/apps/v1",
  "/apis/wire.example.com/v1",
  "/openapi/v3/apis/apps/v1",
  "/debug/pprof",
);
const edit = fc.tuple(text("double", "trail", "drop", "add", "replace", "upper", "escape", "none"), fc.nat(9), segment);
const editedPath = fc.tuple(knownPath, fc.array(edit, { maxLength: 2 })).map(([path, edits]) => {
  const [before = "", query] = path.split("?");
  let segments = before.split("/").slice(1);
  for (const [how, place, other] of edits) {
    const at = place % segments.length;
    const old = segments[at] ?? "";
    if (how === "double") segments = segments.toSpliced(at, 0, "");
    else if (how === "trail") segments = [...segments, ""];
    else if (how === "drop" && segments.length > 1) segments = segments.toSpliced(at, 1);
    else if (how === "add") segments = segments.toSpliced(at + 1, 0, other);
    else if (how === "replace") segments = segments.with(at, other);
    else if (how === "upper" && !old.startsWith("$")) segments = segments.with(at, old.toUpperCase());
    else if (how === "escape" && !old.startsWith("$") && old !== "")
      segments = segments.with(at, `%${old.charCodeAt(0).toString(16)}${old.slice(1)}`);
  }
  return `/${segments.join("/")}${query === undefined ? "" : `?${query}`}`;
});
const chancePath = fc.array(segment, { minLength: 1, maxLength: 6 }).map((segments) => `/${segments.join("/")}`);
/** What would be asked of everybody's objects, wait for long, or is answered by documents. */
const BEYOND =
  /^\/+(?:api\/+v1|apis\/+[^/]+\/+[^/]+)\/+(?:watch\/+)?[^/?]*\/*(?:\?|$)|^\/+(?:openapi|metrics|logs)?(?:[/?]|$)|^\/*$/;
const unescaped = (path: string): string =>
  path.replace(/%([2-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
const places: Lines = fc
  .tuple(
    mostly(editedPath, chancePath, 4),
    text("GET", "GET", "GET", "POST", "PUT", "DELETE", "MERGE", "HEAD", "OPTIONS"),
  )
  .filter(([path, how]) => !/\/watch(?!.*timeoutSeconds)/.test(path) && (!/openapi/.test(path) || how === "HEAD"))
  .filter(([path, how]) => how !== "DELETE" || !/namespaces(?:%2[fF]|\/+)(?:default|\$ns)?\/*$/.test(path))
  .map(([path, how]) => {
    const isBeyond = BEYOND.test(path);
    // Documents are compared elsewhere, and some are given whatever the method.
    const isDocument = /^\/*(?:metrics|openapi|logs)?(?:[/?]|$)/.test(unescaped(path));
    const asked = isDocument ? "HEAD" : isBeyond ? (how === "GET" ? "HEAD" : how === "DELETE" ? "OPTIONS" : how) : how;
    const body =
      asked === "POST" || asked === "PUT"
        ? ` | ${json(CONFIG_MAP.object)}`
        : asked === "MERGE"
          ? ' | {"metadata": {"labels": {"y": "z"}}}'
          : "";
    return [posted(CONFIG_MAP), `${asked} ${path}${body}`];
  });

// Who asks.

const who = text(
  "nobody",
  "",
  "system:anonymous",
  "system:admin",
  "system:serviceaccount:$ns:x",
  "system:serviceaccount:x",
  "system:serviceaccount:a:b:c",
  "system:node:n",
  "system:masters",
  "a b",
  "%20",
  "kubernetes-admin",
);
const groupName = text(
  "system:masters",
  "system:authenticated",
  "system:unauthenticated",
  "g",
  "",
  "system:serviceaccounts",
  "system:nodes",
);
const impersonated = fc
  .record(
    {
      "Impersonate-User": who,
      "Impersonate-Group": groupName,
      "Impersonate-Uid": text("u", ""),
      "Impersonate-Extra-Scopes": text("a", ""),
      "Impersonate-Extra-Example.com%2fKey": text("b"),
      "Impersonate-Extra-": text("c"),
      "Impersonate-Extra-%zz": text("d"),
      "Impersonate-Nonsense": text("x"),
    },
    { requiredKeys: [] },
  )
  .map((headers) => Object.entries(headers).map(([name, one]) => ` | ${name.replaceAll("%", "%")}: ${one}`));
const REVIEW = `POST /apis/authentication.k8s.io/v1/selfsubjectreviews | {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}`;
const request = text(
  `GET ${CONFIG_MAP.path}`,
  `GET ${CONFIG_MAP.path}/a`,
  "GET /version",
  "GET /nope",
  `DELETE ${CONFIG_MAP.path}/a`,
  "GET /api/v1/nodes/nope",
  "REVIEW",
  "REVIEW",
  "REVIEW",
  `POST ${CONFIG_MAP.path} | {"metadata":{"name":"b"}}`,
);
const withHeaders = (line: string, headers: readonly string[]) => {
  const [first, ...rest] = line.split(" | ");
  return [`${first}${headers.join("")}`, ...rest].join(" | ");
};
const rule = fc.record({
  apiGroups: fc.constantFrom([""], ["authentication.k8s.io"], ["*"]),
  resources: fc.subarray(["users", "groups", "serviceaccounts", "uids", "userextras/scopes", "userextras"], {
    minLength: 1,
  }),
  verbs: fc.constantFrom(["impersonate"], ["*"], ["impersonate:user-info"]),
});
/** Somebody with a few rights to impersonate asks in other names. A header cannot stand twice; those who may are asked by a certificate. */
const identities: Lines = fc
  .tuple(impersonated, request, fc.option(rule, { freq: 4 }))
  .map(([headers, asked]) => [posted(CONFIG_MAP), withHeaders(asked === "REVIEW" ? REVIEW : asked, headers)]);

export const surroundings: Readonly<Record<string, Lines>> = {
  "forms of answers": forms,
  "forms of pages": pageForms,
  "forms of bodies": bodies,
  "members and their values": members,
  "parts of objects": parts,
  paths: places,
  "in other names": identities,
};
