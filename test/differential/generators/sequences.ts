/**
 * What one request cannot show: watches that begin at every version of a history, pages of lists that change meanwhile,
 * managers who apply one object in turn, and deletions that are held, hurried and taken back.
 */
import fc from "fast-check";
import {
  CONFIG_MAP,
  DEPLOYMENT,
  json,
  type Lines,
  mostly,
  NAMESPACE,
  POD,
  posted,
  SERVICE,
  text,
  type Thing,
  WIRE,
} from "./common.ts";

const named = (thing: Thing, name: string, metadata: object = {}): Thing => ({
  ...thing,
  name,
  object: { ...thing.object, metadata: { ...(thing.object["metadata"] as object), name, ...metadata } },
});
const at = ({ path, name }: Thing): string => `${path}/${name}`;
const labels = fc.constantFrom<object>({ x: "one" }, { x: "two" }, { x: "one", y: "z" }, {});

// Histories.

/** A write of one of two objects; what it is written to may be there or not. */
const write = (thing: Thing): fc.Arbitrary<string> => {
  const one = text("a", "b").map((name) => named(thing, name));
  return fc.oneof(
    { weight: 4, arbitrary: fc.tuple(one, labels).map(([of, given]) => posted(named(of, of.name, { labels: given }))) },
    {
      weight: 5,
      arbitrary: fc
        .tuple(one, fc.constantFrom<unknown>("one", "two", null))
        .map(([of, label]) => `MERGE ${at(of)} | ${json({ metadata: { labels: { x: label } } })}`),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(one, text("1", "2"))
        .map(([of, value]) => `MERGE ${at(of)} | ${json({ metadata: { annotations: { changed: value } } })}`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(one, fc.constantFrom<unknown>(["example.com/keep"], null))
        .map(([of, finalizers]) => `MERGE ${at(of)} | ${json({ metadata: { finalizers } })}`),
    },
    { weight: 3, arbitrary: one.map((of) => `DELETE ${at(of)}`) },
    { weight: 1, arbitrary: fc.constant(`DELETE ${thing.path}?labelSelector=x%3Done`) },
  );
};

const selection = text(
  "",
  "",
  "&labelSelector=x%3Done",
  "&labelSelector=x%21%3Done",
  "&labelSelector=%21x",
  "&fieldSelector=metadata.name%3Da",
  "&fieldSelector=metadata.name%21%3Da&labelSelector=x",
);
const beginning = (count: number): fc.Arbitrary<string> =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .integer({ min: 1, max: count })
        .map((step) => `&resourceVersion=\${${step}.metadata.resourceVersion}`),
    },
    { weight: 1, arbitrary: text("", "&resourceVersion=0") },
    {
      weight: 2,
      arbitrary: text("", "&resourceVersion=0", "&resourceVersion=${1.metadata.resourceVersion}").map(
        (version) => `${version}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
      ),
    },
  );
const seen = text(
  "",
  "",
  "",
  " | Accept: application/json;as=Table;v=v1;g=meta.k8s.io",
  " | Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
  " | Accept: application/vnd.kubernetes.protobuf,application/json",
);

const histories: Lines = fc.constantFrom(CONFIG_MAP, CONFIG_MAP, WIRE, SERVICE).chain((thing) =>
  fc.array(write(thing), { minLength: 2, maxLength: 6 }).chain((writes) =>
    fc
      .array(fc.tuple(beginning(writes.length + 1), selection, seen, text("", "/a")), {
        minLength: 1,
        maxLength: 2,
      })
      .map((watches) => [
        posted(named(thing, "a")),
        ...writes,
        ...watches.map(
          ([from, selected, form, one]) =>
            `GET ${thing.path}${selected === "" ? one : ""}?watch=true&timeoutSeconds=1${from}${selected}${form}`,
        ),
      ]),
  ),
);

// Pages.

const token = (rv: number, start: string): string =>
  encodeURIComponent(Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", rv, start })).toString("base64url"));

const changingPages: Lines = fc
  .tuple(
    fc.constantFrom(CONFIG_MAP, CONFIG_MAP, WIRE),
    fc.uniqueArray(fc.tuple(text("a", "b", "c", "d", "e"), labels), {
      minLength: 2,
      maxLength: 5,
      selector: ([name]) => name,
    }),
    text("1", "2", "3"),
    text("", "", "&labelSelector=x%3Done", "&fieldSelector=metadata.name%21%3Db"),
    text("", "", "", "&resourceVersion=0", "&resourceVersion=${1.metadata.resourceVersion}&resourceVersionMatch=Exact"),
  )
  .chain(([thing, made, limit, selected, version]) => {
    const first = made.length + 1;
    const change = fc.oneof(
      text("a", "b", "c", "d", "e", "bb").map((name) => `DELETE ${thing.path}/${name}`),
      fc
        .tuple(text("aa", "bb", "cc", "f"), labels)
        .map(([name, given]) => posted(named(thing, name, { labels: given }))),
      fc
        .tuple(text("a", "b", "c", "d"), text("one", "two"))
        .map(([name, value]) => `MERGE ${thing.path}/${name} | ${json({ metadata: { labels: { x: value } } })}`),
      fc.constant(`DELETE ${thing.path}`),
    );
    return fc
      .tuple(
        fc.array(change, { maxLength: 3 }),
        fc.array(change, { maxLength: 2 }),
        mostly(fc.constant(limit), text("1", "5", "0")),
        mostly(fc.constant(selected), text("", "&labelSelector=x"), 6),
        fc.option(fc.tuple(fc.constantFrom(-1, -1, -2, 0), text("b\u0000", "a", "c\u0000", "")), { freq: 5 }),
      )
      .map(([before, between, nextLimit, nextSelected, made2]) => {
        const second = first + before.length + 1;
        return [
          ...made.map(([name, given]) => posted(named(thing, name, { labels: given }))),
          `GET ${thing.path}?limit=${limit}${selected}${version}`,
          ...before,
          `GET ${thing.path}?limit=${nextLimit}&continue=\${${first}.metadata.continue}${nextSelected}`,
          ...between,
          made2 === null
            ? `GET ${thing.path}?limit=${nextLimit}&continue=\${${second}.metadata.continue}${nextSelected}`
            : `GET ${thing.path}?limit=${nextLimit}&continue=${token(made2[0], made2[1])}${nextSelected}`,
        ];
      });
  });

// Managers in turn.

const some = <T>(all: readonly T[]): fc.Arbitrary<readonly T[]> =>
  fc.shuffledSubarray([...all], { maxLength: Math.min(all.length, 3) });
const maybe = (value: fc.Arbitrary<unknown>) => fc.option(value, { nil: undefined, freq: 2 });

const wireContent = fc
  .record({
    items: maybe(
      some(["a", "b", "c", "d"]).chain((names) =>
        fc.tuple(...names.map((name) => text("1", "2").map((value) => ({ name, value })))),
      ),
    ),
    set: maybe(some(["x", "y", "z", "w"])),
    list: maybe(some(["p", "q"])),
    whole: maybe(fc.constantFrom<unknown>({ a: "1" }, { a: "1", b: "2" }, {})),
    map: maybe(fc.constantFrom<unknown>({ k: "1" }, { l: "2" }, { k: "2", l: "1" }, {})),
    open: maybe(fc.constantFrom<unknown>({ z: 1 }, { y: { a: 1 } }, { y: { b: [1] } })),
    text: maybe(text("t", "u")),
    replicas: maybe(fc.constantFrom(1, 2)),
  })
  .map((spec) => ({ spec }));

const PORTS: readonly object[] = [
  { name: "http", port: 80 },
  { name: "dns", port: 53, protocol: "UDP" },
  { name: "tcp", port: 53, protocol: "TCP" },
  { name: "more", port: 81, protocol: "TCP", targetPort: "x" },
];
const serviceContent = fc
  .record({
    ports: maybe(some(PORTS)),
    selector: maybe(fc.constantFrom<unknown>({ a: "b" }, { c: "d" }, { a: "c" })),
    sessionAffinity: maybe(text("ClientIP", "None")),
  })
  .map((spec) => ({ spec }));

const container = fc
  .record({
    name: text("c", "d", "e"),
    image: text("nginx", "x"),
    env: maybe(
      some(["A", "B", "C"]).chain((names) =>
        fc.tuple(...names.map((name) => text("1", "2").map((value) => ({ name, value })))),
      ),
    ),
    args: maybe(some(["x", "y"])),
    ports: maybe(
      some([{ containerPort: 80 }, { containerPort: 81, protocol: "UDP" }, { containerPort: 81, protocol: "TCP" }]),
    ),
  })
  .map((value) => value);
const deploymentContent = fc
  .record({
    replicas: maybe(fc.constantFrom(1, 3)),
    paused: maybe(fc.constant(true)),
    template: maybe(
      fc.record({
        spec: fc.record({
          containers: fc.uniqueArray(container, { selector: ({ name }) => name, minLength: 1, maxLength: 3 }),
          nodeSelector: maybe(fc.constantFrom<unknown>({ a: "b" }, { c: "d" })),
          tolerations: maybe(
            some([
              { key: "k", operator: "Exists" },
              { key: "l", operator: "Exists" },
            ]),
          ),
          hostAliases: maybe(
            some([
              { ip: "1.2.3.4", hostnames: ["a"] },
              { ip: "1.2.3.5", hostnames: ["b"] },
            ]),
          ),
          volumes: maybe(
            some([
              { name: "v", emptyDir: {} },
              { name: "w", emptyDir: { medium: "Memory" } },
            ]),
          ),
        }),
      }),
    ),
  })
  .map((spec) => ({ spec }));

const mapContent = fc
  .record({
    data: maybe(fc.dictionary(text("k", "l", "m"), text("v", "w"), { maxKeys: 3 })),
    binaryData: maybe(fc.constantFrom<unknown>({ b: "YQ==" }, {})),
  })
  .map((value) => value);

const owner = (name: string) => ({ apiVersion: "v1", kind: "Secret", name, uid: `uid-${name}` });
const appliedMetadata = fc.record({
  labels: maybe(fc.constantFrom<unknown>({ x: "one" }, { x: "two" }, { y: "1" }, {})),
  annotations: maybe(fc.constantFrom<unknown>({ p: "q" }, { p: "r", s: "t" })),
  finalizers: maybe(some(["example.com/a", "example.com/b", "example.com/c"])),
  ownerReferences: maybe(some([owner("s"), owner("t")])),
});

const CONTENTS: readonly (readonly [Thing, fc.Arbitrary<object>])[] = [
  [WIRE, wireContent],
  [WIRE, wireContent],
  [SERVICE, serviceContent],
  [DEPLOYMENT, deploymentContent],
  [DEPLOYMENT, deploymentContent],
  [CONFIG_MAP, mapContent],
];

const turns: Lines = fc.constantFrom(...CONTENTS).chain(([thing, content]) => {
  const { apiVersion, kind } = thing.object as { readonly apiVersion: string; readonly kind: string };
  const head = { apiVersion, kind };
  const applied = fc
    .tuple(content, fc.option(appliedMetadata, { freq: 1 }))
    .map(([rest, metadata]) => ({ ...head, metadata: { name: "a", ...metadata }, ...rest }));
  const turn = fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .tuple(text("one", "two", "three"), text("", "", "&force=true", "&force=true"), applied)
        .map(([manager, force, body]) => `APPLY ${at(thing)}?fieldManager=${manager}${force} | ${json(body)}`),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(text("one", "update"), content, fc.option(appliedMetadata, { freq: 2 }))
        .map(
          ([manager, rest, metadata]) =>
            `MERGE ${at(thing)}?fieldManager=${manager} | ${json({ ...rest, ...(metadata === null ? {} : { metadata }) })}`,
        ),
    },
    ...(thing === CONFIG_MAP || thing === SERVICE
      ? []
      : [
          {
            weight: 1,
            arbitrary: fc
              .tuple(text("one", "two"), fc.constantFrom(1, 5))
              .map(
                ([manager, replicas]) =>
                  `MERGE ${at(thing)}/scale?fieldManager=${manager} | ${json({ spec: { replicas } })}`,
              ),
          },
          {
            weight: 1,
            arbitrary: fc
              .tuple(text("one", "two"), text("", "&force=true"), fc.constantFrom(1, 5))
              .map(
                ([manager, force, replicas]) =>
                  `APPLY ${at(thing)}/status?fieldManager=${manager}${force} | ${json({ ...head, metadata: { name: "a" }, status: { replicas } })}`,
              ),
          },
        ]),
  );
  return fc
    .tuple(fc.boolean(), fc.array(turn, { minLength: 2, maxLength: 6 }))
    .map(([isThere, all]) => [...(isThere || thing !== WIRE ? [posted(thing)] : []), ...all, `GET ${at(thing)}`]);
});

// Deletions.

const HELD = ["example.com/keep"];
const owners = (...references: readonly object[]) => ({
  ownerReferences: references.map((more) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    name: "o",
    uid: "${1.metadata.uid}",
    ...more,
  })),
});
const heldMetadata = fc.constantFrom<object>(
  {},
  { finalizers: HELD },
  { finalizers: [...HELD, "example.com/also"] },
  { finalizers: ["foregroundDeletion"] },
  { finalizers: ["orphan"] },
  { finalizers: ["orphan", ...HELD] },
  owners({}),
  owners({ blockOwnerDeletion: true }),
  owners({ controller: true }),
);
const ending = (thing: Thing): fc.Arbitrary<string> =>
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc
        .record(
          {
            gracePeriodSeconds: fc.constantFrom(0, 1, 30, -1),
            propagationPolicy: text("Foreground", "Background", "Orphan"),
            preconditions: fc.constantFrom<unknown>(
              { uid: "${2.metadata.uid}" },
              { resourceVersion: "${2.metadata.resourceVersion}" },
              { uid: "x" },
            ),
            dryRun: fc.constantFrom(["All"]),
          },
          { requiredKeys: [] },
        )
        .map((all) => Object.entries(all))
        .chain((all) => fc.subarray(all, { maxLength: Math.min(all.length, 2) }))
        .map((kept) =>
          kept.length === 0
            ? `DELETE ${at(thing)}`
            : `DELETE ${at(thing)} | ${json({ apiVersion: "v1", kind: "DeleteOptions", ...Object.fromEntries(kept) })}`,
        ),
    },
    {
      weight: 3,
      arbitrary: fc
        .constantFrom<unknown>(null, HELD, ["example.com/also"], ["foregroundDeletion"], [...HELD, "example.com/new"])
        .map((finalizers) => `MERGE ${at(thing)} | ${json({ metadata: { finalizers } })}`),
    },
    { weight: 1, arbitrary: labels.map((given) => `MERGE ${at(thing)} | ${json({ metadata: { labels: given } })}`) },
    { weight: 1, arbitrary: fc.constant(posted(thing)) },
    {
      weight: 1,
      arbitrary: text("", "?labelSelector=x%3Done", "?propagationPolicy=Foreground").map(
        (query) => `DELETE ${thing.path}${query}`,
      ),
    },
    { weight: 2, arbitrary: fc.constant(`GET ${at(thing)}`) },
    {
      weight: 1,
      arbitrary: fc.constant(
        `APPLY ${at(thing)}?fieldManager=m | ${json({ apiVersion: thing.object["apiVersion"], kind: thing.object["kind"], metadata: { name: thing.name, finalizers: HELD } })}`,
      ),
    },
    {
      weight: 1,
      arbitrary: text("2026-01-01T00:00:00Z").map(
        (time) => `MERGE ${at(thing)} | ${json({ metadata: { deletionTimestamp: time } })}`,
      ),
    },
  );

const OWNER = named(CONFIG_MAP, "o");
const endings: Lines = fc
  .tuple(fc.constantFrom(CONFIG_MAP, DEPLOYMENT, POD, POD, WIRE, SERVICE), heldMetadata)
  .chain(([thing, metadata]) => {
    const held = named(thing, "a", metadata);
    return fc
      .array(ending(held), { minLength: 2, maxLength: 5 })
      .map((steps) => [posted(OWNER), posted(held), ...steps, `GET ${at(held)}`, `DELETE ${at(OWNER)}`]);
  });

const namespaceEndings: Lines = fc
  .array(
    text(
      `DELETE ${at(NAMESPACE)}`,
      // Of two finalizers kube-apiserver puts either first, so that none is asked for here.
      `DELETE ${at(NAMESPACE)}?propagationPolicy=Background`,
      `PUT ${at(NAMESPACE)}/finalize | {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n-$id"},"spec":{"finalizers":[]}}`,
      `PUT ${at(NAMESPACE)}/finalize | {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n-$id"},"spec":{"finalizers":["kubernetes","example.com/x"]}}`,
      `MERGE ${at(NAMESPACE)} | {"metadata":{"finalizers":["example.com/keep"]}}`,
      `MERGE ${at(NAMESPACE)} | {"metadata":{"finalizers":null}}`,
      `MERGE ${at(NAMESPACE)} | {"spec":{"finalizers":[]}}`,
      `POST ${NAMESPACE.path}/n-$id/configmaps | {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`,
      `DELETE ${NAMESPACE.path}/n-$id/configmaps/a`,
      `GET ${at(NAMESPACE)}`,
      posted(NAMESPACE),
    ),
    { minLength: 2, maxLength: 5 },
  )
  .map((steps) => [posted(NAMESPACE), ...steps, `GET ${at(NAMESPACE)}`]);

export const sequences: Readonly<Record<string, Lines>> = {
  "watches of a history": histories,
  "pages of what changes": changingPages,
  "managers in turn": turns,
  "deletions in turn": endings,
  "namespaces that end": namespaceEndings,
};
