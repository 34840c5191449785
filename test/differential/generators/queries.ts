/** Questions: every verb with parameters that are right, wrong, doubled or meant for another verb, and options of deletions. */
import fc from "fast-check";
import { encodeProtobuf } from "#apiserver";
import {
  CABLE,
  CONFIG_MAP,
  DEPLOYMENT,
  json,
  type Lines,
  mostly,
  NAMESPACE,
  POD,
  posted,
  text,
  type Thing,
  WIRE,
} from "./common.ts";

const integer = text(
  "0",
  "1",
  "2",
  "-1",
  "+1",
  "01",
  "1.5",
  "abc",
  "",
  "1e3",
  "9223372036854775807",
  "9223372036854775808",
  "0x10",
);
const boolean = text("true", "false", "1", "0", "", "T", "f", "TRUE", "False", "yes", "null");
const version = text("", "0", "abc", "-1", "1.5", "00", "${1.metadata.resourceVersion}", "18446744073709551616");

/** Parameters that some verb knows, with what may stand there. Watches that would wait for long are not asked for. */
const PARAMETERS: Readonly<Record<string, fc.Arbitrary<string>>> = {
  limit: integer,
  continue: text("", "x", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYVx1MDAwMCJ9"),
  resourceVersion: version,
  resourceVersionMatch: text("", "Exact", "NotOlderThan", "exact", "Nonsense"),
  fieldSelector: text(
    "",
    "metadata.name=a",
    "metadata.name!=a",
    "metadata.name",
    "metadata.namespace=$ns",
    "spec.text=t",
    "nope=1",
    "=",
    "metadata.name=a,metadata.name=b",
    "metadata.name=a,",
    "metadata.name==a",
    "metadata.name=%5C",
    "spec.nodeName=",
  ),
  labelSelector: text(
    "",
    "x=one",
    "x",
    "!x",
    "x%20in%20(one)",
    "x%20notin%20(one,two)",
    "x=one,y",
    "x=",
    "=",
    "x%3E1",
    "a b",
    "x=%2F",
    "X/Y/Z=1",
  ).map((one) => one.replace(" ", "%20")),
  dryRun: text("All", "", "all", "None", "All,All"),
  fieldValidation: text("", "Ignore", "Warn", "Strict", "strict", "x"),
  fieldManager: text("", "me", "a%20b", "a/b", "%C3%A4", "a".repeat(128), "a".repeat(129), "%01", "%0A"),
  force: boolean,
  propagationPolicy: text("", "Foreground", "Background", "Orphan", "orphan", "x"),
  gracePeriodSeconds: integer,
  orphanDependents: boolean,
  ignoreStoreReadErrorWithClusterBreakingPotential: boolean,
  pretty: text("true", "false", "1", "0", "", "x"),
  sendInitialEvents: boolean,
  allowWatchBookmarks: boolean,
  includeObject: text("", "Object", "None", "x"),
  watch: text("false", "0", "False"),
  kind: text("x"),
  apiVersion: text("x"),
  shardSelector: text("", "x"),
  export: boolean,
  nonsense: text("", "1"),
};

const OWN: Readonly<Record<string, readonly string[]>> = {
  list: [
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "fieldSelector",
    "labelSelector",
    "sendInitialEvents",
    "watch",
    "pretty",
  ],
  watch: [
    "resourceVersion",
    "resourceVersionMatch",
    "fieldSelector",
    "labelSelector",
    "sendInitialEvents",
    "allowWatchBookmarks",
    "limit",
    "continue",
  ],
  get: ["resourceVersion", "pretty", "resourceVersionMatch"],
  create: ["dryRun", "fieldValidation", "fieldManager", "pretty"],
  update: ["dryRun", "fieldValidation", "fieldManager", "pretty"],
  patch: ["dryRun", "fieldValidation", "fieldManager", "force", "pretty"],
  delete: [
    "gracePeriodSeconds",
    "propagationPolicy",
    "orphanDependents",
    "dryRun",
    "pretty",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
  ],
  deletecollection: [
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "gracePeriodSeconds",
    "propagationPolicy",
    "orphanDependents",
    "dryRun",
  ],
};

const pairsOf = (names: readonly string[]): fc.Arbitrary<string> =>
  fc
    .constantFrom(...names)
    .chain((name) => (PARAMETERS[name] as fc.Arbitrary<string>).map((value) => `${name}=${value}`));

const queryOf = (verb: string): fc.Arbitrary<string> =>
  fc
    .array(mostly(pairsOf(OWN[verb] as readonly string[]), pairsOf(Object.keys(PARAMETERS))), {
      minLength: 1,
      maxLength: 3,
    })
    .map((pairs) => pairs.join("&"));

const changed = ({ object }: Thing): string =>
  json({ ...object, metadata: { ...(object["metadata"] as object), annotations: { changed: "yes" } }, nonsense: 1 });

function asked(thing: Thing, verb: string, query: string): string {
  const one = `${thing.path}/${thing.name}?${query}`;
  const all = `${thing.path}?${query}`;
  switch (verb) {
    case "list":
      return `GET ${all}`;
    case "watch":
      return `GET ${thing.path}?watch=true&timeoutSeconds=1&${query}`;
    case "get":
      return `GET ${one}`;
    case "create":
      return `POST ${all} | ${changed({ ...thing, object: { ...thing.object, metadata: { name: `${thing.name}2` } } })}`;
    case "update":
      return `PUT ${one} | ${changed(thing)}`;
    case "patch":
      return `MERGE ${one} | ${json({ metadata: { labels: { y: "z" } }, nonsense: 1 })}`;
    case "delete":
      return `DELETE ${one}`;
    default:
      return `DELETE ${all}`;
  }
}

const namespaced = fc.constantFrom(CONFIG_MAP, DEPLOYMENT, POD, WIRE);
const things = mostly(namespaced, fc.constantFrom(NAMESPACE, CABLE), 5);

/** Objects whose versions and pages may be asked about: the first answer is that of the object itself. */
const asking = (verbs: readonly string[], among: fc.Arbitrary<Thing>): Lines =>
  fc
    .tuple(among, fc.constantFrom(...verbs))
    .chain(([thing, verb]) => queryOf(verb).map((query) => [posted(thing), asked(thing, verb, query)]));

/** A page and the next one, with one parameter changed on the way. */
const pages: Lines = fc
  .tuple(
    namespaced,
    text("1", "2"),
    fc.array(pairsOf(["limit", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch"]), {
      maxLength: 1,
    }),
    fc.array(pairsOf(["labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch"]), { maxLength: 1 }),
  )
  .map(([thing, limit, first, next]) => [
    posted(thing),
    ...["b", "c"].map((name) =>
      posted({ ...thing, object: { ...thing.object, metadata: { name, labels: { x: "one" } } } }),
    ),
    `GET ${thing.path}?${[`limit=${limit}`, ...first].join("&")}`,
    `GET ${thing.path}?${["continue=${4.metadata.continue}", `limit=${limit}`, ...next].join("&")}`,
  ]);

// Options of deletions.

const option = fc.record(
  {
    apiVersion: text("v1", "v1", "meta.k8s.io/v1", "apps/v1", "v2", ""),
    kind: text("DeleteOptions", "DeleteOptions", "DeleteOptions", "Pod", "x", ""),
    gracePeriodSeconds: fc.constantFrom<unknown>(0, 1, 30, -1, 1.5, "1", null, 1e20, -1e19, true, {}),
    propagationPolicy: fc.constantFrom<unknown>("Foreground", "Background", "Orphan", "", "x", null, 1, []),
    orphanDependents: fc.constantFrom<unknown>(true, false, null, "true", 1),
    preconditions: fc.constantFrom<unknown>(
      { uid: "${1.metadata.uid}" },
      { uid: "x" },
      { uid: "" },
      { resourceVersion: "${1.metadata.resourceVersion}" },
      { resourceVersion: "1" },
      { resourceVersion: 1 },
      { uid: "${1.metadata.uid}", resourceVersion: "1" },
      {},
      null,
      [],
      "x",
      { uid: null, nonsense: 1 },
    ),
    dryRun: fc.constantFrom<unknown>(["All"], [], ["All", "All"], ["x"], ["All", "x"], "All", null, [1], [""], [null]),
    ignoreStoreReadErrorWithClusterBreakingPotential: fc.constantFrom<unknown>(true, false, null, "x"),
    nonsense: fc.constantFrom<unknown>(1, null),
  },
  { requiredKeys: [] },
);
const few = option.chain((all) =>
  fc
    .subarray(Object.keys(all), { maxLength: 3 })
    .map((kept) => Object.fromEntries(Object.entries(all).filter(([key]) => kept.includes(key)))),
);

const yaml = (value: object): string =>
  `text:${Object.entries(value)
    .map(([key, one]) => `${key}: ${json(one)}`)
    .join("\\n")}`;

const PACKED = new Set(["gracePeriodSeconds", "propagationPolicy", "orphanDependents", "preconditions", "dryRun"]);
/** Options as bytes: what is of a wrong type has none. */
function packed(value: Readonly<Record<string, unknown>>): string {
  const fitting = {
    apiVersion: "v1",
    kind: "DeleteOptions",
    ...(Number.isInteger(value["gracePeriodSeconds"]) ? { gracePeriodSeconds: value["gracePeriodSeconds"] } : {}),
    ...(typeof value["propagationPolicy"] === "string" ? { propagationPolicy: value["propagationPolicy"] } : {}),
    ...(typeof value["orphanDependents"] === "boolean" ? { orphanDependents: value["orphanDependents"] } : {}),
    ...(PACKED.has("dryRun") &&
    Array.isArray(value["dryRun"]) &&
    value["dryRun"].every((one) => typeof one === "string")
      ? { dryRun: value["dryRun"] }
      : {}),
    ...(value["preconditions"] === undefined ? {} : { preconditions: { uid: "x" } }),
  };
  return `base64:${encodeProtobuf(fitting)?.toString("base64") ?? ""}`;
}

const deletion = fc
  .tuple(few, text("json", "json", "json", "yaml", "protobuf", "none"), fc.option(queryOf("delete"), { freq: 2 }))
  .map(([options, form, query]) => {
    const asked = query === null ? "" : `?${query}`;
    if (form === "none") return asked;
    if (form === "yaml") return `${asked} | Content-Type: application/yaml | ${yaml(options)}`;
    if (form === "protobuf") return `${asked} | Content-Type: application/vnd.kubernetes.protobuf | ${packed(options)}`;
    return `${asked} | ${json(options)}`;
  });

const held = (thing: Thing): Thing => ({
  ...thing,
  object: { ...thing.object, metadata: { ...(thing.object["metadata"] as object), finalizers: ["example.com/keep"] } },
});

const deletions: Lines = fc
  .tuple(
    fc.constantFrom(CONFIG_MAP, DEPLOYMENT, POD, WIRE, held(CONFIG_MAP), held(POD), held(WIRE)),
    fc.array(deletion, { minLength: 1, maxLength: 2 }),
    fc.boolean(),
  )
  .map(([thing, tails, isMany]) => [
    posted(thing),
    ...tails.map((tail) => `DELETE ${thing.path}${isMany ? "" : `/${thing.name}`}${tail}`),
    `GET ${thing.path}/${thing.name}`,
  ]);

export const questions: Readonly<Record<string, Lines>> = {
  "parameters of reads": asking(["list", "list", "get"], things),
  "parameters of watches": asking(["watch"], namespaced),
  "parameters of writes": asking(["create", "update", "patch"], things),
  "parameters of deletions": asking(["delete", "deletecollection"], namespaced),
  "pages that are asked for otherwise": pages,
  "options of deletions": deletions,
};
