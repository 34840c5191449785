import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ApiError, type KubeObject, setPath } from "#machinery";
import { createTestServer, settle, type TestServer, watchInto } from "#testing";

const at = { namespace: "default", name: "a" };

/** Whatever a client sends is answered, or refused as the client's mistake. */
const KNOWN_FAILURES =
  /^failed to (?:create typed patch|convert new) object|^unknown patch type|^merging lists|^expected a .*, but received|^list element types|^value for key|merge key|\$setElementOrder/;

async function isAnswered(promise: Promise<unknown>): Promise<void> {
  try {
    await promise;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    // What is applied with values of wrong types, and a wrong directive, is a failure in Kubernetes too, in these words.
    if (error.code >= 500 && !KNOWN_FAILURES.test(error.message)) throw error;
  }
}

const word = fc.constantFrom(
  "spec",
  "status",
  "metadata",
  "data",
  "name",
  "labels",
  "template",
  "containers",
  "selector",
  "matchLabels",
  "replicas",
  "ports",
  "finalizers",
  "ownerReferences",
  "managedFields",
  "resources",
  "limits",
  "cpu",
  "strategy",
  "type",
  "$patch",
  "rules",
  "a",
);
const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  word,
  fc.string({ maxLength: 8 }),
);
const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    leaf,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(word, tie("value"), { maxKeys: 4 }),
  ),
}));
const anyObject = fc.dictionary(word, anyValue, { maxKeys: 5 });

const KINDS = [
  ["apps/v1/deployments", "Deployment"],
  ["v1/services", "Service"],
  ["v1/pods", "Pod"],
  ["batch/v1/cronjobs", "CronJob"],
  ["v1/secrets", "Secret"],
  ["networking.k8s.io/v1/ingresses", "Ingress"],
  ["rbac.authorization.k8s.io/v1/rolebindings", "RoleBinding"],
  ["autoscaling/v1/horizontalpodautoscalers", "HorizontalPodAutoscaler"],
  ["v1/persistentvolumeclaims", "PersistentVolumeClaim"],
  ["v1/resourcequotas", "ResourceQuota"],
] as const;

const apiVersionOf = (resource: string) => resource.split("/").slice(0, -1).join("/");

const pod = {
  containers: [
    {
      name: "c",
      image: "i",
      ports: [{ containerPort: 80, name: "web" }],
      env: [{ name: "E", value: "v" }],
      resources: { requests: { cpu: "1" }, limits: { cpu: "1" } },
      livenessProbe: { httpGet: { port: 80 } },
      volumeMounts: [{ name: "v", mountPath: "/v" }],
    },
  ],
  volumes: [{ name: "v", configMap: { name: "m" } }],
  tolerations: [{ key: "k" }],
};
const template = { metadata: { labels: { a: "b" } }, spec: pod };

/** Objects that are right, to go wrong in one place. */
const VALID: Readonly<Record<string, object>> = {
  "apps/v1/deployments": {
    spec: {
      replicas: 1,
      selector: { matchLabels: { a: "b" }, matchExpressions: [{ key: "a", operator: "Exists" }] },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: "10%" } },
      template,
    },
  },
  "v1/services": {
    spec: {
      type: "NodePort",
      selector: { a: "b" },
      clusterIP: "",
      ports: [{ port: 80, name: "web", nodePort: 30_100 }],
    },
  },
  "v1/pods": { spec: pod },
  "batch/v1/cronjobs": {
    spec: { schedule: "* * * * *", jobTemplate: { spec: { template: { spec: { ...pod, restartPolicy: "Never" } } } } },
  },
  "v1/secrets": {
    type: "kubernetes.io/tls",
    data: { "tls.crt": "eA==", "tls.key": "eA==" },
    stringData: { k: "v" },
    immutable: false,
  },
  "networking.k8s.io/v1/ingresses": {
    spec: {
      rules: [
        {
          host: "a.b",
          http: {
            paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "s", port: { number: 80 } } } }],
          },
        },
      ],
    },
  },
  "rbac.authorization.k8s.io/v1/rolebindings": {
    subjects: [{ kind: "User", name: "u" }],
    roleRef: { kind: "Role", name: "r" },
  },
  "autoscaling/v1/horizontalpodautoscalers": {
    spec: {
      maxReplicas: 3,
      targetCPUUtilizationPercentage: 5,
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "d" },
    },
  },
  "v1/persistentvolumeclaims": {
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  },
  "v1/resourcequotas": { spec: { hard: { pods: "1" }, scopes: ["Terminating"] } },
};

/** The paths of all parts of a value. */
function pathsOf(value: unknown, path: readonly (string | number)[] = []): readonly (readonly (string | number)[])[] {
  if (typeof value !== "object" || value === null) return [path];
  const own = path.length === 0 || path[0] === "apiVersion" ? [] : [path];
  return [
    ...own,
    ...Object.entries(value).flatMap(([key, member]) =>
      pathsOf(member, [...path, Array.isArray(value) ? Number(key) : key]),
    ),
  ];
}

describe("whatever a client sends", () => {
  it.each(KINDS)("as a new %s is answered, never a fault of the server", async (resource, kind) => {
    const server = await createTestServer();
    await fc.assert(
      fc.asyncProperty(anyObject, async (members) => {
        const metadata =
          typeof members["metadata"] === "object" && !Array.isArray(members["metadata"])
            ? { ...members["metadata"], name: "a" }
            : { name: "a" };
        await isAnswered(
          server.send("create", resource, {
            namespace: "default",
            body: { ...members, apiVersion: apiVersionOf(resource), kind, metadata },
          }),
        );
      }),
      { numRuns: 150, seed: 7 },
    );
  });

  it.each(Object.entries(VALID))("as %s with one part replaced is answered", async (resource, members) => {
    const server = await createTestServer();
    const kind = KINDS.find(([name]) => name === resource)?.[1] as string;
    const valid = {
      apiVersion: apiVersionOf(resource),
      kind,
      metadata: {
        name: "a",
        labels: { a: "b" },
        finalizers: ["x.io/y"],
        ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "p", uid: "u" }],
      },
      ...members,
    };
    const paths = pathsOf(valid);
    await server.send("create", resource, { namespace: "default", body: { ...valid, metadata: { name: "present" } } });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), anyValue, async (path, value) => {
        const body = setPath(valid, path, value);
        await isAnswered(server.send("create", resource, { namespace: "default", body, options: { dryRun: true } }));
        const change = setPath({ ...valid, metadata: { name: "present" } }, path, value);
        await isAnswered(server.send("update", resource, { namespace: "default", name: "present", body: change }));
        await isAnswered(
          server.send("update", resource, {
            namespace: "default",
            name: "present",
            subresource: "status",
            body: change,
          }),
        );
      }),
      { numRuns: 250, seed: 11 },
    );
  });

  it.each(["application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"])(
    "as a %s is answered",
    async (patchType) => {
      const server = await createTestServer();
      const containers = [{ name: "c", image: "i" }];
      const body = {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "a" },
        spec: {
          selector: { matchLabels: { a: "a" } },
          template: { metadata: { labels: { a: "a" } }, spec: { containers } },
        },
      };
      await server.send("create", "apps/v1/deployments", { namespace: "default", body });
      await fc.assert(
        fc.asyncProperty(anyObject, async (patch) => {
          const sent = patchType.includes("apply") ? { ...patch, apiVersion: "apps/v1", kind: "Deployment" } : patch;
          await isAnswered(
            server.send("patch", "apps/v1/deployments", {
              ...at,
              patchType,
              body: sent,
              options: { fieldManager: "fuzz", force: true },
            }),
          );
        }),
        { numRuns: 300, seed: 7 },
      );
    },
  );

  it("as a JSON patch is answered", async () => {
    const server = await createTestServer();
    await server.send("create", "v1/configmaps", {
      namespace: "default",
      body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: { a: "b" } },
    });
    const path = fc
      .array(fc.oneof(word, fc.constantFrom("-", "0", "99", "~", "~1")), { maxLength: 4 })
      .map((parts) => parts.map((part) => `/${part}`).join(""));
    const operation = fc.record(
      {
        op: fc.oneof(fc.constantFrom("add", "remove", "replace", "move", "copy", "test"), fc.string()),
        path,
        from: path,
        value: anyValue,
      },
      { requiredKeys: ["op"] },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 4 }), (body) =>
        isAnswered(server.send("patch", "v1/configmaps", { ...at, patchType: "application/json-patch+json", body })),
      ),
      { numRuns: 300, seed: 7 },
    );
  });

  it("as a selector is answered", async () => {
    const server = await createTestServer();
    const text = fc
      .array(
        fc.constantFrom("a", "=", "!=", " in ", "(", ")", ",", "!", "notin", ">", "1", "/", "metadata.name", "=="),
        { maxLength: 8 },
      )
      .map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(text, text, (labelSelector, fieldSelector) =>
        isAnswered(server.inside.list({ group: "", version: "v1", resource: "pods", labelSelector, fieldSelector })),
      ),
      { numRuns: 300, seed: 7 },
    );
  });
});

describe("many writers and watchers", () => {
  it("see one history: ordered, complete, without repetition, from wherever they start", async () => {
    const server = await createTestServer();
    const KEYS = 20;
    const address = { group: "", version: "v1", resource: "configmaps", namespace: "default" };
    const versions: string[] = [];
    const start = String(server.server.backend.revision);
    const early = watchInto(server, "v1/configmaps", { namespace: "default", resourceVersion: start });
    const write = async (writer: number) => {
      for (let n = 0; n < 250; n++) {
        const name = `c${(writer * 7 + n * 3) % KEYS}`;
        try {
          const body = {
            apiVersion: "v1",
            kind: "ConfigMap",
            metadata: { name },
            data: { by: `${writer}-${n}` },
          } as unknown as KubeObject;
          const done =
            n % 5 === 4
              ? await server.inside.send({ verb: "delete", ...address, name })
              : n % 5 === 0
                ? await server.inside.send({ verb: "create", ...address, body })
                : await server.inside.send({ verb: "update", ...address, name, body });
          if (done.kind === "ConfigMap") versions.push(done.metadata.resourceVersion as string);
        } catch (error) {
          expect(["NotFound", "AlreadyExists", "Conflict"]).toContain((error as ApiError).reason);
        }
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, writer) => write(writer)));
    await settle();
    expect(versions.length).toBeGreaterThan(500);
    const seen = early.objects.map(({ metadata }) => Number(metadata.resourceVersion));
    expect(seen).toEqual([...seen].sort((left, right) => left - right));
    expect(new Set(seen).size).toBe(seen.length);
    const known = new Set(seen.map(String));
    expect(versions.filter((version) => !known.has(version))).toEqual([]);
    expect(consistent(early)).toEqual(await present(server));
    for (const from of [seen[10], seen[Math.floor(seen.length / 2)]] as number[]) {
      const late = watchInto(server, "v1/configmaps", { namespace: "default", resourceVersion: String(from) });
      await settle();
      expect(late.objects).toEqual(early.objects.slice(seen.indexOf(from) + 1));
      late.stop();
    }
    early.stop();
  });
});

/** What a watcher that believes its events holds in the end. An event that does not fit what it holds is an error. */
function consistent(watch: {
  readonly seen: readonly string[];
  readonly objects: readonly KubeObject[];
}): readonly KubeObject[] {
  const held = new Map<string, KubeObject>();
  for (const [at, object] of watch.objects.entries()) {
    const type = watch.seen[at]?.split(" ")[0];
    const name = object.metadata.name ?? "";
    expect(held.has(name)).toBe(type !== "ADDED");
    if (type === "DELETED") held.delete(name);
    else held.set(name, object);
  }
  return [...held.values()].sort((left, right) => ((left.metadata.name ?? "") < (right.metadata.name ?? "") ? -1 : 1));
}

async function present(server: TestServer): Promise<readonly KubeObject[]> {
  const { items } = await server.inside.list({
    group: "",
    version: "v1",
    resource: "configmaps",
    namespace: "default",
  });
  return items;
}
