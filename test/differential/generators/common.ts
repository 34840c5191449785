/**
 * What generators of requests share: a kind of their own with everything a custom kind can have, objects to ask about, and
 * values for questions that are right now and then.
 */
import fc from "fast-check";

/** Scripts of one generator, line by line. */
export type Lines = fc.Arbitrary<readonly string[]>;

export const json = (value: unknown): string => JSON.stringify(value);

const schema = {
  openAPIV3Schema: {
    type: "object",
    properties: {
      spec: {
        type: "object",
        properties: {
          text: { type: "string", maxLength: 20 },
          replicas: { type: "integer", minimum: 0 },
          port: { "x-kubernetes-int-or-string": true },
          none: { type: "string", nullable: true },
          level: { type: "string", enum: ["low", "high"], default: "low" },
          items: {
            type: "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            items: {
              type: "object",
              required: ["name"],
              properties: { name: { type: "string" }, value: { type: "string" }, size: { type: "integer" } },
            },
          },
          set: { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
          list: { type: "array", items: { type: "string" } },
          whole: {
            type: "object",
            "x-kubernetes-map-type": "atomic",
            properties: { a: { type: "string" }, b: { type: "string" } },
          },
          map: { type: "object", additionalProperties: { type: "string" } },
          open: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        },
      },
      status: {
        type: "object",
        properties: { replicas: { type: "integer" }, selector: { type: "string" }, phase: { type: "string" } },
      },
    },
  },
};

const shown = {
  schema,
  subresources: {
    status: {},
    scale: {
      specReplicasPath: ".spec.replicas",
      statusReplicasPath: ".status.replicas",
      labelSelectorPath: ".status.selector",
    },
  },
  selectableFields: [{ jsonPath: ".spec.text" }],
  additionalPrinterColumns: [{ name: "Text", type: "string", jsonPath: ".spec.text" }],
};

const definition = (group: string, plural: string, kind: string, scope: string) => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: `${plural}.${group}` },
  spec: {
    group,
    scope,
    names: { plural, singular: kind.toLowerCase(), kind, shortNames: [plural.slice(0, 2)], categories: ["all"] },
    versions: [
      { name: "v1", served: true, storage: true, ...shown },
      { name: "v1beta1", served: true, storage: false, deprecated: true, ...shown },
      { name: "v1alpha1", served: false, storage: false, ...shown },
    ],
  },
});

const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const made = (group: string, plural: string, kind: string, scope: string): readonly string[] => [
  `POST ${CRDS} | ${json(definition(group, plural, kind, scope))}`,
  `UNTIL 200 GET /apis/${group}/v1/${plural}`,
  `UNTIL 200 GET /apis/${group}/v1beta1/${plural}`,
];

/** What must be there before scripts of generators are played: their own kinds, one in namespaces and one beside them. */
export const prelude: readonly string[] = [
  ...made("wire.example.com", "wires", "Wire", "Namespaced"),
  ...made("cable.example.com", "cables", "Cable", "Cluster"),
];

/** A kind with an object of it: where it lives and what it holds. `name` is that of the object. */
export interface Thing {
  readonly path: string;
  readonly name: string;
  readonly object: Readonly<Record<string, unknown>>;
}

const template = {
  metadata: { labels: { a: "b" } },
  spec: {
    containers: [
      { name: "c", image: "nginx", ports: [{ containerPort: 80, name: "http" }], env: [{ name: "A", value: "one" }] },
      { name: "d", image: "busybox", args: ["x", "y"] },
    ],
  },
};

const thing = (path: string, apiVersion: string, kind: string, rest: object, name = "a"): Thing => ({
  path,
  name,
  object: { apiVersion, kind, metadata: { name, labels: { x: "one" } }, ...rest },
});

export const CONFIG_MAP = thing("/api/v1/namespaces/$ns/configmaps", "v1", "ConfigMap", { data: { k: "v", l: "w" } });
export const DEPLOYMENT = thing("/apis/apps/v1/namespaces/$ns/deployments", "apps/v1", "Deployment", {
  spec: { replicas: 2, selector: { matchLabels: { a: "b" } }, template },
});
export const SERVICE = thing("/api/v1/namespaces/$ns/services", "v1", "Service", {
  spec: {
    clusterIP: "None",
    selector: { a: "b" },
    ports: [
      { name: "http", port: 80 },
      { name: "dns", port: 53, protocol: "UDP" },
    ],
  },
});
export const POD = thing("/api/v1/namespaces/$ns/pods", "v1", "Pod", {
  spec: { containers: [{ name: "c", image: "nginx" }], terminationGracePeriodSeconds: 5 },
});
export const WIRE = thing("/apis/wire.example.com/v1/namespaces/$ns/wires", "wire.example.com/v1", "Wire", {
  spec: {
    text: "t",
    replicas: 2,
    items: [
      { name: "a", value: "one" },
      { name: "b", value: "two" },
    ],
    set: ["x", "y"],
    list: ["p", "q"],
    map: { k: "v" },
    open: { z: 1 },
  },
});
export const NAMESPACE = thing("/api/v1/namespaces", "v1", "Namespace", {}, "n-$id");
export const CLUSTER_ROLE = thing(
  "/apis/rbac.authorization.k8s.io/v1/clusterroles",
  "rbac.authorization.k8s.io/v1",
  "ClusterRole",
  { rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }] },
  "r-$id",
);
export const CABLE = thing(
  "/apis/cable.example.com/v1/cables",
  "cable.example.com/v1",
  "Cable",
  { spec: { text: "t" } },
  "c-$id",
);

export const posted = ({ path, object }: Thing): string => `POST ${path} | ${json(object)}`;

/** Most often something right, now and then something else. */
export const mostly = <T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<T>, weight = 3): fc.Arbitrary<T> =>
  fc.oneof({ weight, arbitrary: right }, { weight: 1, arbitrary: wrong });

export const text = (...values: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...values);

/** A body byte by byte: as text where a script can hold it. */
export const raw = (body: Buffer | string): string => {
  const shown = body.toString();
  const isPlain = typeof body === "string" && !/[\n\r\0\ufeff]|\\n|^\s|\s$|\$/.test(shown);
  return isPlain ? `text:${shown}` : `base64:${Buffer.from(body as string).toString("base64")}`;
};
