/**
 * What can be done at which path, as kube-apiserver's OpenAPI documents say it: with operation ids, parameters, bodies and
 * answers. Parameters that every operation of a path has stand at the path.
 */
import type { ResourceDefinition, SubresourceDefinition } from "../definition.ts";

export interface Parameter {
  readonly name: string;
  readonly in: "query" | "path";
  readonly required?: true;
  readonly schema: { readonly type: string; readonly uniqueItems: true };
}

export interface Operation {
  readonly tags: readonly string[];
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, unknown>>;
  readonly "x-kubernetes-action"?: string;
  readonly "x-kubernetes-group-version-kind"?: unknown;
}

/** Operations by method, and the parameters all of them have. */
export type PathItem = Readonly<Record<string, Operation | readonly Parameter[]>>;

/** Names the schema of a kind, so that it is there. */
type Refer = (group: string, version: string, kind: string) => { readonly $ref: string };

const JSON_FORM = "application/json";
const YAML_FORM = "application/yaml";
const PROTOBUF_FORM = "application/vnd.kubernetes.protobuf";
const PATCHES = [
  "application/apply-patch+yaml",
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
];

const parameter = (name: string, type: string, place: "query" | "path" = "query"): Parameter => ({
  name,
  in: place,
  ...(place === "path" ? { required: true as const } : {}),
  schema: { type, uniqueItems: true },
});
const PRETTY = parameter("pretty", "string");
const WRITING = ["dryRun", "fieldManager", "fieldValidation"].map((name) => parameter(name, "string"));
const DELETING = [
  parameter("dryRun", "string"),
  parameter("gracePeriodSeconds", "integer"),
  parameter("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
  parameter("orphanDependents", "boolean"),
  parameter("propagationPolicy", "string"),
];
const CHOOSING = [
  parameter("continue", "string"),
  parameter("fieldSelector", "string"),
  parameter("labelSelector", "string"),
  parameter("limit", "integer"),
  parameter("resourceVersion", "string"),
  parameter("resourceVersionMatch", "string"),
  parameter("sendInitialEvents", "boolean"),
  parameter("shardSelector", "string"),
  parameter("timeoutSeconds", "integer"),
];
const LISTING = [parameter("allowWatchBookmarks", "boolean"), ...CHOOSING, parameter("watch", "boolean")];

/** What connections take, by the kind of their options. */
const CONNECTING: Readonly<Record<string, readonly Parameter[]>> = {
  PodAttachOptions: streams("container"),
  PodExecOptions: streams("command", "container"),
  PodPortForwardOptions: [parameter("ports", "integer")],
  NodeProxyOptions: [parameter("path", "string")],
  PodProxyOptions: [parameter("path", "string")],
  ServiceProxyOptions: [parameter("path", "string")],
};
const METHODS = ["get", "put", "post", "delete", "options", "head", "patch"];
const LOG = [
  parameter("container", "string"),
  parameter("follow", "boolean"),
  parameter("insecureSkipTLSVerifyBackend", "boolean"),
  parameter("limitBytes", "integer"),
  parameter("previous", "boolean"),
  parameter("sinceSeconds", "integer"),
  parameter("stream", "string"),
  parameter("tailLines", "integer"),
  parameter("timestamps", "boolean"),
];

function streams(...texts: readonly string[]): readonly Parameter[] {
  return [
    ...texts.map((name) => parameter(name, "string")),
    ...["stderr", "stdin", "stdout", "tty"].map((name) => parameter(name, "boolean")),
  ];
}

const byName = (one: Parameter, other: Parameter) =>
  one.name < other.name ? -1 : one.name > other.name ? 1 : one.in < other.in ? -1 : 1;

/** A path's operations: what all of them take is said once. */
function item(inPath: readonly Parameter[], operations: Readonly<Record<string, Operation | undefined>>): PathItem {
  const present = Object.entries(operations).flatMap(([method, one]) =>
    one === undefined ? [] : [[method, one] as const],
  );
  const isShared = (wanted: Parameter) =>
    present.every(([, { parameters = [] }]) => parameters.some(({ name }) => name === wanted.name));
  const shared = (present[0]?.[1].parameters ?? []).filter(isShared);
  const names = new Set(shared.map(({ name }) => name));
  const own = present.map(([method, { parameters = [], ...rest }]) => {
    const others = parameters.filter(({ name }) => !names.has(name)).sort(byName);
    return [method, others.length === 0 ? rest : { ...rest, parameters: others }] as const;
  });
  const all = [...inPath, ...shared].sort(byName);
  return { ...Object.fromEntries(own), ...(all.length === 0 ? {} : { parameters: all }) };
}

const titled = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** A group as operation ids name it: `rbac.authorization.k8s.io` is `RbacAuthorization`. */
const groupWord = (group: string) =>
  group === ""
    ? "Core"
    : group
        .replace(/\.k8s\.io$/, "")
        .split(/[.-]/)
        .map(titled)
        .join("");

const tagOf = (group: string, version: string) => {
  const word = groupWord(group);
  return `${word.charAt(0).toLowerCase()}${word.slice(1)}_${version}`;
};

/** Every path of a group's version. */
export function pathsOf(
  group: string,
  version: string,
  definitions: readonly ResourceDefinition[],
  refer: Refer,
): Readonly<Record<string, PathItem>> {
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const tags = [tagOf(group, version)];
  const head = `${groupWord(group)}${titled(version)}`;
  const paths: Record<string, PathItem> = {
    [`${root}/`]: item([], {
      get: {
        tags,
        operationId: `get${head}APIResources`,
        responses: answers([JSON_FORM, PROTOBUF_FORM, YAML_FORM], refer("", "v1", "APIResourceList"), "200"),
      },
    }),
  };
  for (const definition of definitions) Object.assign(paths, resourcePaths(root, tags, head, definition, refer));
  return paths;
}

function answers(forms: readonly string[], schema: unknown, ...codes: readonly string[]) {
  const content = Object.fromEntries(forms.map((form) => [form, { schema }]));
  const told: Readonly<Record<string, string>> = { "200": "OK", "201": "Created", "202": "Accepted" };
  return {
    ...Object.fromEntries(codes.map((code) => [code, { description: told[code] ?? "", content }])),
    "401": { description: "Unauthorized" },
  };
}

function resourcePaths(
  root: string,
  tags: readonly string[],
  head: string,
  definition: ResourceDefinition,
  refer: Refer,
): Readonly<Record<string, PathItem>> {
  const { group, version, kind, resource, namespaced } = definition.kind;
  const isCustom = definition.origin === "custom";
  const forms = isCustom ? [JSON_FORM, YAML_FORM] : [JSON_FORM, PROTOBUF_FORM, YAML_FORM];
  const streamed = isCustom
    ? forms
    : [JSON_FORM, `${JSON_FORM};stream=watch`, PROTOBUF_FORM, `${PROTOBUF_FORM};stream=watch`, YAML_FORM];
  const scope = namespaced ? "Namespaced" : "";
  const can = (verb: string) => definition.verbs.includes(verb);
  const own = { group, version, kind };
  const schema = refer(group, version, kind);
  const status = () => refer("", "v1", "Status");
  const sent = (what: unknown) => ({ content: { "*/*": { schema: what } }, required: true });
  const deletion = () => ({ content: { "*/*": { schema: refer("", "v1", "DeleteOptions") } } });
  const patch = () => ({
    content: Object.fromEntries(
      PATCHES.filter((form) => !isCustom || !form.includes("strategic")).map((form) => [
        form,
        { schema: refer("", "v1", "Patch") },
      ]),
    ),
    required: true,
  });
  const operation = (
    verb: string,
    name: string,
    action: string,
    parameters: readonly Parameter[],
    responses: Operation["responses"],
    more: Partial<Operation> & { readonly of?: unknown } = {},
  ): Operation => {
    const { of = own, ...rest } = more;
    return {
      tags,
      operationId: `${verb}${head}${name}`,
      parameters: [...parameters, PRETTY],
      ...rest,
      responses,
      "x-kubernetes-action": action,
      "x-kubernetes-group-version-kind": of,
    };
  };
  const listed = () => answers(streamed, refer(group, version, `${kind}List`), "200");
  const watched = () => answers(streamed, refer("", "v1", "WatchEvent"), "200");
  const inNamespace = namespaced ? [parameter("namespace", "string", "path")] : [];
  const named = [parameter("name", "string", "path"), ...inNamespace];
  const place = `${namespaced ? "/namespaces/{namespace}" : ""}/${resource}`;
  const paths: Record<string, PathItem> = {};
  paths[root + place] = item(inNamespace, {
    get: can("list") ? operation("list", `${scope}${kind}`, "list", LISTING, listed()) : undefined,
    post: can("create")
      ? operation("create", `${scope}${kind}`, "post", WRITING, answers(forms, schema, "200", "201", "202"), {
          requestBody: sent(schema),
        })
      : undefined,
    delete: can("deletecollection")
      ? operation(
          "delete",
          `Collection${scope}${kind}`,
          "deletecollection",
          [...CHOOSING, ...DELETING],
          answers(forms, status(), "200"),
          { requestBody: deletion() },
        )
      : undefined,
  });
  const isAddressed = can("get") || can("update") || can("delete") || can("patch");
  if (isAddressed)
    paths[`${root}${place}/{name}`] = item(named, {
      get: can("get") ? operation("read", `${scope}${kind}`, "get", [], answers(forms, schema, "200")) : undefined,
      put: can("update")
        ? operation("replace", `${scope}${kind}`, "put", WRITING, answers(forms, schema, "200", "201"), {
            requestBody: sent(schema),
          })
        : undefined,
      delete: can("delete")
        ? operation(
            "delete",
            `${scope}${kind}`,
            "delete",
            DELETING,
            answers(forms, definition.strategy.returnsDeleted === true ? schema : status(), "200", "202"),
            { requestBody: deletion() },
          )
        : undefined,
      patch: can("patch")
        ? operation(
            "patch",
            `${scope}${kind}`,
            "patch",
            [...WRITING, parameter("force", "boolean")],
            answers(forms, schema, "200", "201"),
            { requestBody: patch() },
          )
        : undefined,
    });
  for (const subresource of definition.subresources)
    Object.assign(paths, subresourcePaths(`${root}${place}/{name}/${subresource.name}`, subresource));
  if (namespaced && can("list"))
    paths[`${root}/${resource}`] = item([], {
      get: operation("list", `${kind}ForAllNamespaces`, "list", LISTING, listed()),
    });
  if (can("watch") && !isCustom) {
    paths[`${root}/watch${place}`] = item(inNamespace, {
      get: operation("watch", `${scope}${kind}List`, "watchlist", LISTING, watched()),
    });
    paths[`${root}/watch${place}/{name}`] = item(named, {
      get: operation("watch", `${scope}${kind}`, "watch", LISTING, watched()),
    });
    if (namespaced)
      paths[`${root}/watch/${resource}`] = item([], {
        get: operation("watch", `${kind}ListForAllNamespaces`, "watchlist", LISTING, watched()),
      });
  }
  return paths;

  function subresourcePaths(path: string, subresource: SubresourceDefinition): Readonly<Record<string, PathItem>> {
    const { name, verbs } = subresource;
    const of = {
      group: subresource.kind.group || (subresource.kind.version ? "" : group),
      version: subresource.kind.version || version,
      kind: subresource.kind.kind,
    };
    const part = `${scope}${kind}${titled(name)}`;
    const connecting = CONNECTING[of.kind];
    if (connecting !== undefined && !isCustom) return connections(path, part, name === "proxy", connecting, of);
    if (name === "log" && !isCustom)
      return {
        [path]: item(named, {
          get: operation("read", part, "get", LOG, answers([...forms, "text/plain"], { type: "string" }, "200")),
        }),
      };
    const its = refer(of.group, of.version, of.kind);
    const allows = (verb: string) => verbs.includes(verb);
    return {
      [path]: item(named, {
        get: allows("get") ? operation("read", part, "get", [], answers(forms, its, "200"), { of }) : undefined,
        put: allows("update")
          ? operation("replace", part, "put", WRITING, answers(forms, its, "200", "201"), {
              of,
              requestBody: sent(its),
            })
          : undefined,
        post: allows("create")
          ? operation("create", part, "post", WRITING, answers(forms, its, "200", "201", "202"), {
              of,
              requestBody: sent(its),
            })
          : undefined,
        patch: allows("patch")
          ? operation(
              "patch",
              part,
              "patch",
              [...WRITING, parameter("force", "boolean")],
              answers(forms, its, "200", "201"),
              { of, requestBody: patch() },
            )
          : undefined,
      }),
    };
  }

  /** Connections to something that runs; those of proxies by any method, and to paths behind it. */
  function connections(
    path: string,
    part: string,
    isProxy: boolean,
    parameters: readonly Parameter[],
    of: unknown,
  ): Readonly<Record<string, PathItem>> {
    const methods = isProxy ? METHODS : ["get", "post"];
    const at = (suffix: string, inPath: readonly Parameter[]) =>
      item(
        inPath,
        Object.fromEntries(
          methods.map((method) => [
            method,
            {
              tags,
              operationId: `connect${head}${titled(method)}${part}${suffix}`,
              parameters,
              responses: answers(["*/*"], { type: "string" }, "200"),
              "x-kubernetes-action": "connect",
              "x-kubernetes-group-version-kind": of,
            },
          ]),
        ),
      );
    return {
      [path]: at("", named),
      ...(isProxy ? { [`${path}/{path}`]: at("WithPath", [...named, parameter("path", "string", "path")]) } : {}),
    };
  }
}
