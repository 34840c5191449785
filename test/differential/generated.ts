/**
 * Scripts by chance: what nobody thought of writing down. Each generator makes one kind of script from a seed; when two
 * servers answer one differently, fast-check looks for the smallest script that still shows it.
 */
import fc from "fast-check";
import { prelude } from "./generators/common.ts";
import { patching } from "./generators/patching.ts";
import { questions } from "./generators/queries.ts";
import { sequences } from "./generators/sequences.ts";
import { surroundings } from "./generators/wire.ts";
import { type Json, mutationsOf, readSamples, type Sample } from "./mutations.ts";
import { parseScripts, type Script } from "./script.ts";

const json = (value: unknown) => JSON.stringify(value);
const CONFIG_MAP = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {x: one}}, data: {k: v, l: w}}";
const MAPS = "/api/v1/namespaces/$ns/configmaps";
const DEPLOYMENT =
  "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx, env: [{name: A, value: one}, {name: B, value: two}]}, {name: d, image: busybox}]}}}}";
const DEPLOYMENTS = "/apis/apps/v1/namespaces/$ns/deployments";

const key = fc.constantFrom("k", "l", "m", "n");
const value = fc.constantFrom("v", "w", "", "long value", "0");
const data = fc.dictionary(key, value, { maxKeys: 4 });

const jsonPatches = fc
  .array(
    fc.oneof(
      fc.record({ op: fc.constantFrom("add", "replace", "test"), path: key.map((name) => `/data/${name}`), value }),
      fc.record({ op: fc.constant("remove"), path: key.map((name) => `/data/${name}`) }),
      fc.record({
        op: fc.constantFrom("move", "copy"),
        from: key.map((name) => `/data/${name}`),
        path: key.map((name) => `/data/${name}`),
      }),
      fc.record({ op: fc.constant("add"), path: fc.constant("/metadata/labels/y"), value }),
      fc.record({ op: fc.constant("remove"), path: fc.constantFrom("/metadata/labels", "/data", "/nope/deep") }),
    ),
    { minLength: 1, maxLength: 5 },
  )
  .map((operations) => [`POST ${MAPS} | ${CONFIG_MAP}`, `JSON-PATCH ${MAPS}/a | ${json(operations)}`]);

const mergePatches = fc
  .array(fc.dictionary(key, fc.option(value), { maxKeys: 4 }), { minLength: 1, maxLength: 3 })
  .map((patches) => [
    `POST ${MAPS} | ${CONFIG_MAP}`,
    ...patches.map((patch) => `MERGE ${MAPS}/a | ${json({ data: patch })}`),
  ]);

const environment = fc.uniqueArray(
  fc.oneof(
    fc.record({ name: fc.constantFrom("A", "B", "C", "D"), value }),
    fc.record({ name: fc.constantFrom("A", "B", "C"), $patch: fc.constant("delete") }),
  ),
  { selector: ({ name }) => name, maxLength: 4 },
);
const strategicPatches = fc
  .array(
    fc.uniqueArray(
      fc.record({ name: fc.constantFrom("c", "d", "e"), env: environment, image: fc.constantFrom("nginx:1", "x") }),
      { selector: ({ name }) => name, minLength: 1, maxLength: 3 },
    ),
    { minLength: 1, maxLength: 2 },
  )
  .map((patches) => [
    `POST ${DEPLOYMENTS} | ${DEPLOYMENT}`,
    ...patches.map(
      (containers) => `STRATEGIC ${DEPLOYMENTS}/a | ${json({ spec: { template: { spec: { containers } } } })}`,
    ),
  ]);

const applies = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.tuple(fc.constantFrom("one", "two"), fc.boolean(), data) },
      { weight: 1, arbitrary: fc.tuple(fc.constant("update"), fc.constant(false), data) },
    ),
    { minLength: 2, maxLength: 6 },
  )
  .map((steps) =>
    steps.map(([manager, force, content]) => {
      const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: content };
      return manager === "update"
        ? `MERGE ${MAPS}/a?fieldManager=update | ${json({ data: content })}`
        : `APPLY ${MAPS}/a?fieldManager=${manager}&force=${force} | ${json(body)}`;
    }),
  );

const selectorText = fc
  .array(
    fc.constantFrom(
      "x",
      "y",
      "one",
      "=",
      "==",
      "!=",
      "!",
      " in ",
      " notin ",
      "(",
      ")",
      ",",
      "one,two",
      "a/b",
      "-",
      ">",
      "5",
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((tokens) => encodeURIComponent(tokens.join("")));
const selectors = fc
  .tuple(fc.array(selectorText, { minLength: 1, maxLength: 3 }), fc.constantFrom("labelSelector", "fieldSelector"))
  .map(([texts, parameter]) => [
    `POST ${MAPS} | ${CONFIG_MAP}`,
    ...texts.map((text) => `GET ${MAPS}?${parameter}=${text}`),
  ]);

const quantity = fc
  .tuple(
    fc.constantFrom("", "-", "+"),
    fc.oneof(
      fc.integer({ min: 0, max: 5000 }).map(String),
      fc.constantFrom("0.5", "1.5", ".5", "1.", "0.0001", "1e3", "12E2", ""),
    ),
    fc.constantFrom("", "m", "k", "K", "Ki", "Mi", "Gi", "M", "G", "n", "u", "Ei", "x", "e3"),
  )
  .map((parts) => parts.join(""));
const quantities = fc.array(quantity, { minLength: 1, maxLength: 3 }).map((amounts) =>
  amounts.map((amount, at) => {
    const hard = { "requests.storage": amount };
    const body = { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: `q${at}` }, spec: { hard } };
    return `POST /api/v1/namespaces/$ns/resourcequotas | ${json(body)}`;
  }),
);

const odd = fc
  .array(fc.constantFrom("a", "Z", "0", "-", "_", ".", "/", " ", "ä", "a".repeat(40)), { maxLength: 5 })
  .map((parts) => parts.join(""));
const names = fc
  .record({ name: odd, label: odd, value: odd, annotation: odd, finalizer: odd })
  .map(({ name, label, value: text, annotation, finalizer }) => {
    const labels = { [label]: text };
    const metadata = { name, labels, annotations: { [annotation]: "x" }, finalizers: [`example.com/${finalizer}`] };
    return [`POST ${MAPS} | ${json({ apiVersion: "v1", kind: "ConfigMap", metadata })}`];
  });

const pages = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 7 }), fc.boolean())
  .map(([count, limit, isSelected]) => [
    ...Array.from(
      { length: count },
      (_, at) =>
        `POST ${MAPS} | ${json({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: `m${at}`, labels: { odd: String(at % 2) } } })}`,
    ),
    `GET ${MAPS}?limit=${limit}${isSelected ? "&labelSelector=odd%3D1" : ""}`,
    `GET ${MAPS}?limit=${limit}&continue=\${${count + 1}.metadata.continue}`,
  ]);

/** Whether a sample is written as a new object, as an update of itself, or as a status. */
type Way = "create" | "update" | "status";

/** Kinds that both servers write to soon after they are made, and what they write. */
const SETTLED: Readonly<Record<string, string>> = {
  CustomResourceDefinition: '"type":"Established","status":"True"',
  APIService: '"Available"',
};
/**
 * Kinds that one server alone writes to when it comes to it, so that versions and statuses depend on the moment: flow schemas
 * are looked at by kube-apiserver.
 */
const UNSETTLED = new Set(["FlowSchema"]);

const AS_TABLE = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io";

/** An object of any kind with a value made wrong, sent one of the ways objects are written; then what its row shows. */
const mistakes = (way: Way) => {
  const samples = readSamples().filter(
    ({ object, status }) =>
      way === "create" || (!UNSETTLED.has(String(object["kind"])) && (way === "update" || status !== undefined)),
  );
  const sourceOf = ({ object, status }: Sample): Json => (way === "status" ? { ...object, status } : object);
  const found = samples.map((sample) =>
    mutationsOf(sourceOf(sample)).filter(({ path }) => way !== "status" || path[0] === "status"),
  );
  return fc.tuple(fc.nat(samples.length - 1), fc.nat()).map(([at, chosen]) => {
    const sample = samples[at] as Sample;
    const choices = found[at] ?? [];
    const wrong = choices[chosen % choices.length]?.apply(sourceOf(sample)) ?? sourceOf(sample);
    const name = String((sample.object["metadata"] as Json)["name"]);
    const made = `POST ${sample.path} | ${json(sample.object)}`;
    const kind = String(sample.object["kind"]);
    const settled = SETTLED[kind];
    // What is written by the servers as well may be there or not when a row is shown.
    const row = settled !== undefined || UNSETTLED.has(kind) ? [] : [`GET ${sample.path}/${name} | ${AS_TABLE}`];
    if (way === "create") return [`POST ${sample.path} | ${json(wrong)}`, ...row];
    const shown = settled === undefined ? [] : [`UNTIL text:${settled} GET ${sample.path}/${name}`];
    const version = { resourceVersion: `\${${shown.length + 1}.metadata.resourceVersion}` };
    const body = json({ ...wrong, metadata: { ...(wrong["metadata"] as Json), ...version } });
    const write = `PUT ${sample.path}/${name}${way === "status" ? "/status" : ""} | ${body}`;
    return [made, ...shown, write, ...(way === "status" ? row : [])];
  });
};

const generators: Readonly<Record<string, fc.Arbitrary<readonly string[]>>> = {
  "JSON patches": jsonPatches,
  "merge patches": mergePatches,
  "strategic patches": strategicPatches,
  "applies of several managers": applies,
  selectors,
  quantities,
  "names, labels and annotations": names,
  pages,
  "objects with mistakes": mistakes("create"),
  "updates with mistakes": mistakes("update"),
  "statuses with mistakes": mistakes("status"),
  ...patching,
  ...questions,
  ...surroundings,
  ...sequences,
};

export const generatedTitles = Object.keys(generators);

/** How many scripts of a kind are played where nobody says: objects have more places than requests. */
export const usualRuns = (title: string): number =>
  title in sequences ? 30 : title in patching || title in questions || title in surroundings ? 60 : 240;

/** What is played before all others: some of them ask about kinds that it makes. */
export const preludeScript = (): Script => scriptOf("what generators need", prelude);

function scriptOf(title: string, lines: readonly string[]): Script {
  const [script] = parseScripts("generated", `== ${title}\n${lines.join("\n")}\n`);
  if (script === undefined) throw new Error("a generator made no script");
  return script;
}

const generatorOf = (title: string): fc.Arbitrary<readonly string[]> => {
  const arbitrary = generators[title];
  if (arbitrary === undefined) throw new Error(`there is no generator ${JSON.stringify(title)}`);
  return arbitrary;
};

interface Chance {
  readonly seed: number;
  readonly runs: number;
}

/** Scripts of one kind, numbered. */
export const sampleScripts = (title: string, { seed, runs }: Chance): readonly Script[] =>
  fc.sample(generatorOf(title), { seed, numRuns: runs }).map((lines, at) => scriptOf(`${title} (${at + 1})`, lines));

/**
 * Plays scripts of one kind until two servers differ; gives the smallest script that shows it, or nothing after `runs`.
 * `isSame` plays a script on both.
 */
export async function findDifference(
  title: string,
  { seed, runs }: Chance,
  isSame: (script: Script) => Promise<boolean>,
): Promise<Script | undefined> {
  const outcome = await fc.check(
    fc.asyncProperty(generatorOf(title), (lines) => isSame(scriptOf(title, lines))),
    { seed, numRuns: runs },
  );
  const [smallest] = outcome.counterexample ?? [];
  return smallest === undefined ? undefined : scriptOf(title, smallest);
}
