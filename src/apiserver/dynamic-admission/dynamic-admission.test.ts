import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "#base";
import { type CertificateAuthority, createCertificateAuthority } from "#certs";
import { ApiError, type JsonPatchOperation, type KubeObject, type ResourceRequest } from "#machinery";
import { createTestServer, eventually, type TestServer } from "#testing";

interface Review {
  readonly request: Readonly<Record<string, unknown>> & {
    readonly uid: string;
    readonly object: (KubeObject & Readonly<Record<string, unknown>>) | null;
    readonly oldObject: KubeObject | null;
    readonly operation: string;
  };
}
type Answer = (review: Review, path: string) => unknown;

const ADMISSION = "admissionregistration.k8s.io/v1";
let authority: CertificateAuthority;
let hooks: Server;
let port = 0;
let answer: Answer = () => "nothing";
const seen: Review["request"][] = [];

beforeAll(async () => {
  authority = await createCertificateAuthority("webhooks");
  const pair = await authority.issueServer("webhook", ["127.0.0.1", "hook.default.svc"]);
  hooks = createServer({ cert: pair.certificate, key: pair.key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const review = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Review;
      seen.push(review.request);
      const made = answer(review, new URL(request.url ?? "/", "https://x").pathname);
      if (made !== HANG) response.end(typeof made === "string" ? made : JSON.stringify(made));
    });
  });
  await new Promise<void>((resolve) => hooks.listen(0, "127.0.0.1", resolve));
  port = (hooks.address() as AddressInfo).port;
});
afterAll(() => {
  hooks.closeAllConnections();
  hooks.close();
});

const HANG = Symbol("never");
const reply = (review: Review, more: object) => ({
  apiVersion: "admission.k8s.io/v1",
  kind: "AdmissionReview",
  response: { uid: review.request.uid, allowed: true, ...more },
});
const patchBy = (review: Review, operations: readonly JsonPatchOperation[]) =>
  reply(review, { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(operations)).toString("base64") });

const RULES = [{ operations: ["*"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] }];
const hook = (name: string, more: object = {}) => ({
  name,
  clientConfig: {
    url: `https://127.0.0.1:${port}/${name}`,
    caBundle: Buffer.from(authority.certificate).toString("base64"),
  },
  rules: RULES,
  sideEffects: "None",
  admissionReviewVersions: ["v1"],
  ...more,
});

const failure = async (act: () => Promise<unknown>): Promise<ApiError> => {
  try {
    await act();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it was allowed");
};

describe("dynamic admission", () => {
  let server: TestServer;
  let warnings: string[] = [];
  beforeEach(async () => {
    server = await createTestServer({ clock: systemClock });
    seen.length = 0;
    warnings = [];
  });

  const install = (kind: string, name: string, rest: object) => {
    const resource = `${kind.toLowerCase().replace(/y$/, "ie")}s`;
    return server.send("create", `${ADMISSION}/${resource}`, {
      body: { apiVersion: ADMISSION, kind, metadata: { name }, ...rest },
    });
  };
  const configMap = (name: string, data: object, more: object = {}) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", ...more },
    data,
  });
  const create = (name: string, data: object = {}, rest: object = {}, more: object = {}) =>
    server.inside.send({
      verb: "create",
      group: "",
      version: "v1",
      resource: "configmaps",
      namespace: "default",
      body: configMap(name, data, more),
      onWarning: (text: string) => warnings.push(text),
      ...rest,
    } as unknown as ResourceRequest) as Promise<KubeObject & { data?: Record<string, string> }>;

  test("mutating webhooks change the object in order of their names; IfNeeded ones look again", async () => {
    answer = (review, path) => {
      const data = (review.request.object?.["data"] ?? {}) as Record<string, string>;
      if (path === "/first.example.io")
        return patchBy(review, [{ op: "add", path: "/data/first", value: `saw ${Object.keys(data).sort().join()}` }]);
      return data["second"] === undefined
        ? patchBy(review, [{ op: "add", path: "/data/second", value: "x" }])
        : reply(review, { warnings: ["seen before"] });
    };
    await install("MutatingWebhookConfiguration", "b", { webhooks: [hook("second.example.io")] });
    await install("MutatingWebhookConfiguration", "a", {
      webhooks: [hook("first.example.io", { reinvocationPolicy: "IfNeeded" })],
    });
    const made = await create("one", { own: "y" });
    expect(made.data).toEqual({ own: "y", first: "saw first,own,second", second: "x" });
    expect(seen.map(({ operation, name }) => `${operation} ${String(name)}`)).toEqual([
      "CREATE one",
      "CREATE one",
      "CREATE one",
    ]);
    expect(seen[0]).toMatchObject({
      kind: { group: "", version: "v1", kind: "ConfigMap" },
      resource: { resource: "configmaps" },
      namespace: "default",
      dryRun: false,
      userInfo: { username: "system:flotilla" },
      options: { kind: "CreateOptions", apiVersion: "meta.k8s.io/v1" },
      oldObject: null,
    });
  });

  test("validating webhooks refuse with their own words, code and reason, deletions too", async () => {
    answer = (review) =>
      reply(review, {
        allowed: false,
        status: { code: 418, reason: "Teapot", message: `no ${review.request.operation}` },
      });
    await create("kept");
    await install("ValidatingWebhookConfiguration", "v", { webhooks: [hook("deny.example.io")] });
    const error = await failure(() => create("one"));
    expect(error.message).toBe('admission webhook "deny.example.io" denied the request: no CREATE');
    expect(error.status).toMatchObject({ code: 418, reason: "Teapot" });
    const gone = await failure(() => server.send("delete", "v1/configmaps", { namespace: "default", name: "kept" }));
    expect(gone.message).toContain("no DELETE");
    expect(seen.at(-1)).toMatchObject({ object: null, oldObject: { metadata: { name: "kept" } } });
    answer = (review) => reply(review, { allowed: false });
    const silent = await failure(() => create("two"));
    expect(silent.status).toMatchObject({ code: 400 });
    expect(silent.message).toBe('admission webhook "deny.example.io" denied the request without explanation');
  });

  test.each([
    ["is no JSON", () => "garbage", "couldn't get version/kind; json parse error: json: cannot unmarshal string"],
    [
      "answers another request",
      (review: Review) => ({ ...reply(review, {}), response: { uid: "other", allowed: true } }),
      "expected response.uid=",
    ],
    [
      "sends a patch without a type",
      (review: Review) => reply(review, { patch: "W10=" }),
      "validating webhook may not return response.patch",
    ],
    ["answers another kind", () => ({ apiVersion: "v1", kind: "Pod" }), 'no kind "Pod" is registered for version "v1"'],
  ] as const)(
    "a webhook that %s fails the request by default and is passed over with Ignore",
    async (_what, made, message) => {
      answer = made as Answer;
      await install("ValidatingWebhookConfiguration", "v", { webhooks: [hook("bad.example.io")] });
      const error = await failure(() => create("one"));
      expect(error.status.code).toBe(500);
      expect(error.message).toContain('Internal error occurred: failed calling webhook "bad.example.io": ');
      expect(error.message).toContain(message);
      await server.send("delete", `${ADMISSION}/validatingwebhookconfigurations`, { name: "v" });
      await install("ValidatingWebhookConfiguration", "v", {
        webhooks: [hook("bad.example.io", { failurePolicy: "Ignore" })],
      });
      await create("one");
    },
  );

  test("a webhook that never answers is given up after its time; unknown authorities are not trusted", async () => {
    answer = () => HANG;
    await install("ValidatingWebhookConfiguration", "v", {
      webhooks: [hook("slow.example.io", { timeoutSeconds: 1 })],
    });
    expect((await failure(() => create("one"))).message).toMatch(/timeout=1s": context deadline exceeded$/);
    await server.send("delete", `${ADMISSION}/validatingwebhookconfigurations`, { name: "v" });
    await install("ValidatingWebhookConfiguration", "v", {
      webhooks: [hook("stranger.example.io", { clientConfig: { url: `https://127.0.0.1:${port}/` } })],
    });
    expect((await failure(() => create("one"))).message).toMatch(/certificate/);
  });

  test("selectors, match conditions, operations and versions decide what a webhook is asked", async () => {
    answer = (review) => reply(review, { warnings: [`asked ${String(review.request["name"])}`] });
    const expressions = [
      { name: "not-excluded", expression: "!object.metadata.name.startsWith('skip')" },
      { name: "may-read", expression: "authorizer.requestResource.check('get').allowed()" },
    ];
    await install("ValidatingWebhookConfiguration", "v", {
      webhooks: [
        hook("object.example.io", { objectSelector: { matchLabels: { watched: "yes" } } }),
        hook("space.example.io", { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "other" } } }),
        hook("condition.example.io", { matchConditions: expressions }),
        hook("broken.example.io", {
          matchConditions: [{ name: "x", expression: "object.data.gone == ''" }],
          failurePolicy: "Ignore",
        }),
        hook("delete.example.io", { rules: [{ ...RULES[0], operations: ["DELETE"] }] }),
      ],
    });
    await create("skip-plain");
    expect(seen).toEqual([]);
    await create("skip-labelled", {}, {}, { labels: { watched: "yes" } });
    await create("taken");
    expect(warnings).toEqual(["asked skip-labelled", "asked taken"]);
    // Equivalent versions: rules speak of autoscaling/v2, the request of v1.
    await install("ValidatingWebhookConfiguration", "hpa", {
      webhooks: [
        hook("hpa.example.io", {
          rules: [
            {
              operations: ["CREATE"],
              apiGroups: ["autoscaling"],
              apiVersions: ["v2"],
              resources: ["horizontalpodautoscalers"],
            },
          ],
        }),
      ],
    });
    await server.send("create", "autoscaling/v1/horizontalpodautoscalers", {
      namespace: "default",
      body: {
        apiVersion: "autoscaling/v1",
        kind: "HorizontalPodAutoscaler",
        metadata: { name: "h", namespace: "default" },
        spec: {
          maxReplicas: 3,
          targetCPUUtilizationPercentage: 50,
          scaleTargetRef: { kind: "Deployment", name: "d", apiVersion: "apps/v1" },
        },
      },
    });
    expect(seen.at(-1)).toMatchObject({
      kind: { version: "v2" },
      requestKind: { version: "v1" },
      object: { apiVersion: "autoscaling/v2", spec: { metrics: [{ type: "Resource" }] } },
    });
  });

  test("a Service leads to its endpoints under its own name; dry runs reach only webhooks without side effects", async () => {
    answer = (review) => reply(review, {});
    await server.send("create", "v1/services", {
      namespace: "default",
      body: {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "hook", namespace: "default" },
        spec: { ports: [{ port: 443 }], selector: { a: "b" } },
      },
    });
    await server.send("create", "v1/endpoints", {
      namespace: "default",
      body: {
        apiVersion: "v1",
        kind: "Endpoints",
        metadata: { name: "hook", namespace: "default" },
        subsets: [{ addresses: [{ ip: "127.0.0.1" }], ports: [{ port }] }],
      },
    });
    const caBundle = Buffer.from(authority.certificate).toString("base64");
    const service = { name: "hook", namespace: "default", path: "/check" };
    await install("ValidatingWebhookConfiguration", "v", {
      webhooks: [hook("service.example.io", { clientConfig: { service, caBundle } })],
    });
    await create("one", {}, { options: { dryRun: true } });
    expect(seen[0]).toMatchObject({ dryRun: true, options: { dryRun: ["All"] } });
    await server.send("delete", "v1/services", { namespace: "default", name: "hook" });
    expect((await failure(() => create("two"))).message).toContain('service "hook" not found');
    // Configurations of admission are watched over by nobody, so that this one can go.
    await server.send("delete", `${ADMISSION}/validatingwebhookconfigurations`, { name: "v" });
    await create("two");
  });

  test("wrong configurations are refused field by field, missing parts are filled in", async () => {
    const error = await failure(() =>
      install("ValidatingWebhookConfiguration", "v", {
        webhooks: [
          {
            name: "short",
            clientConfig: { url: "http://user@host/?a=b" },
            rules: [{ operations: ["*", "CREATE"], apiGroups: ["*", ""], apiVersions: [], resources: ["*/*", "pods"] }],
            sideEffects: "Some",
            timeoutSeconds: 31,
            admissionReviewVersions: ["v2"],
            matchConditions: [
              { name: "a", expression: "object.x +" },
              { name: "b", expression: "1" },
            ],
          },
        ],
      }),
    );
    const fields = (error.status.details?.causes ?? []).map(({ field }) => field?.replace("webhooks[0].", ""));
    expect(fields).toEqual(
      expect.arrayContaining([
        "name",
        "admissionReviewVersions",
        "sideEffects",
        "rules[0].apiGroups",
        "rules[0].apiVersions",
        "rules[0].operations",
        "rules[0].resources",
        "timeoutSeconds",
        "clientConfig.url",
        "matchConditions[0].expression",
        "matchConditions[1].expression",
      ]),
    );
    const made = (await install("MutatingWebhookConfiguration", "m", {
      webhooks: [hook("ok.example.io")],
    })) as KubeObject & { webhooks: object[] };
    expect(made.webhooks[0]).toMatchObject({
      failurePolicy: "Fail",
      matchPolicy: "Equivalent",
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      reinvocationPolicy: "Never",
      rules: [{ scope: "*" }],
    });
  });

  const constraints = { matchConstraints: { resourceRules: RULES } };

  test("a ValidatingAdmissionPolicy denies, warns or only notes, with parameters and messages", async () => {
    await create("limits", { max: "2" });
    await install("ValidatingAdmissionPolicy", "count", {
      spec: {
        ...constraints,
        paramKind: { apiVersion: "v1", kind: "ConfigMap" },
        matchConditions: [{ name: "not-params", expression: "object.metadata.name != 'limits'" }],
        variables: [
          { name: "keys", expression: "has(object.data) ? object.data.size() : 0" },
          { name: "max", expression: "int(params.data.max)" },
        ],
        validations: [
          {
            expression: "variables.keys <= variables.max",
            messageExpression: "'at most ' + string(variables.max) + ' keys in ' + namespaceObject.metadata.name",
            reason: "Forbidden",
          },
          { expression: "object.metadata.name != 'bad'" },
        ],
      },
    });
    const bind = (name: string, validationActions: string[], more: object = {}) =>
      install("ValidatingAdmissionPolicyBinding", name, {
        spec: {
          policyName: "count",
          validationActions,
          paramRef: { name: "limits", namespace: "default", parameterNotFoundAction: "Deny" },
          ...more,
        },
      });
    await create("unbound", { a: "", b: "", c: "" });
    await bind("deny", ["Deny"]);
    const error = await failure(() => create("many", { a: "", b: "", c: "" }));
    expect(error.status).toMatchObject({ code: 403, reason: "Forbidden" });
    expect(error.message).toBe(
      `configmaps "many" is forbidden: ValidatingAdmissionPolicy 'count' with binding 'deny' denied request: at most 2 keys in default`,
    );
    const second = await failure(() => create("bad", {}));
    expect(second.status).toMatchObject({ code: 422, reason: "Invalid" });
    expect(second.message).toContain("failed expression: object.metadata.name != 'bad'");
    await server.send("delete", `${ADMISSION}/validatingadmissionpolicybindings`, { name: "deny" });
    await bind("warn", ["Warn", "Audit"]);
    await create("bad", {});
    expect(warnings).toEqual([
      "Validation failed for ValidatingAdmissionPolicy 'count' with binding 'warn': failed expression: object.metadata.name != 'bad'",
    ]);
    await server.send("delete", `${ADMISSION}/validatingadmissionpolicybindings`, { name: "warn" });
    await bind("missing", ["Deny"], {
      paramRef: { name: "gone", namespace: "default", parameterNotFoundAction: "Deny" },
    });
    expect((await failure(() => create("x", {}))).message).toContain(
      "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
    );
  });

  test("an expression that fails denies under Fail and is passed over under Ignore", async () => {
    for (const [name, failurePolicy] of [
      ["strict", "Fail"],
      ["easy", "Ignore"],
    ])
      await install("ValidatingAdmissionPolicy", name as string, {
        spec: { ...constraints, failurePolicy, validations: [{ expression: "object.data.missing == 'x'" }] },
      });
    await install("ValidatingAdmissionPolicyBinding", "easy", {
      spec: { policyName: "easy", validationActions: ["Deny"] },
    });
    await create("one", { a: "b" });
    await install("ValidatingAdmissionPolicyBinding", "strict", {
      spec: { policyName: "strict", validationActions: ["Deny"] },
    });
    expect((await failure(() => create("two", { a: "b" }))).message).toContain(
      "expression 'object.data.missing == 'x'' resulted in error: no such key: missing",
    );
  });

  /** A policy that applies what an expression makes to every ConfigMap. */
  const mutateBy = async (expression: string) => {
    await install("MutatingAdmissionPolicy", "typed", {
      spec: {
        ...constraints,
        reinvocationPolicy: "Never",
        mutations: [{ patchType: "ApplyConfiguration", applyConfiguration: { expression } }],
      },
    });
    await install("MutatingAdmissionPolicyBinding", "typed", { spec: { policyName: "typed" } });
  };

  test("MutatingAdmissionPolicies merge configurations and apply JSON patches, before webhooks", async () => {
    answer = (review) =>
      patchBy(review, [
        {
          op: "add",
          path: "/data/hook",
          value: String((review.request.object as { data?: { merged?: string } }).data?.merged),
        },
      ]);
    await install("MutatingWebhookConfiguration", "m", { webhooks: [hook("late.example.io")] });
    await install("MutatingAdmissionPolicy", "patch", {
      spec: {
        ...constraints,
        reinvocationPolicy: "Never",
        variables: [{ name: "who", expression: "request.userInfo.username" }],
        mutations: [
          {
            patchType: "ApplyConfiguration",
            applyConfiguration: {
              expression:
                "Object{data: {'merged': variables.who}, metadata: Object.metadata{labels: {'by': 'policy'}}}",
            },
          },
          {
            patchType: "JSONPatch",
            jsonPatch: {
              expression: `has(object.metadata.annotations) ? [] : [JSONPatch{op: "add", path: "/data/" + jsonpatch.escapeKey("a.b"), value: "patched"}]`,
            },
          },
        ],
      },
    });
    await install("MutatingAdmissionPolicyBinding", "patch", { spec: { policyName: "patch" } });
    const made = await create("one", { own: "y" }, {}, { labels: { mine: "z" } });
    expect(made.data).toEqual({ own: "y", merged: "system:flotilla", "a.b": "patched", hook: "system:flotilla" });
    expect(made.metadata.labels).toEqual({ mine: "z", by: "policy" });
  });

  test.each([
    ["a field nobody declares", "Object{nosuch: 1}", ".nosuch: field not declared in schema"],
    [
      "a value of another type",
      "Object{metadata: Object.metadata{labels: {'a': 1}}}",
      ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}",
    ],
    [
      "several at once",
      "Object{metadata: Object.metadata{labels: {'a': 1}}, nosuch: 1, odd: 2}",
      "errors:\n  .metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}\n  .nosuch: field not declared in schema",
    ],
  ])("a MutatingAdmissionPolicy that applies %s refuses the request", async (_title, expression, message) => {
    await mutateBy(expression);
    await expect(create("one", { own: "y" })).rejects.toThrow(
      `policy 'typed' with binding 'typed' denied request: error applying patch: failed to convert patch object to typed object: ${message}`,
    );
  });

  test("an object written as another field's type is refused", async () => {
    await mutateBy("Object{metadata: Object.nosuch{}}");
    await expect(create("one", { own: "y" })).rejects.toMatchObject({
      code: 403,
      reason: "Invalid",
      message: `policy 'typed' with binding 'typed' denied request: type mismatch: unexpected type name "Object.nosuch", expected "Object.metadata", which matches field name path from root Object type`,
    });
  });

  test("the status of a policy tells which expressions do not fit the kinds it is for", async () => {
    const rule = {
      operations: ["*"],
      apiGroups: ["apps"],
      apiVersions: ["v1"],
      resources: ["deployments", "replicasets"],
    };
    await install("ValidatingAdmissionPolicy", "typed", {
      spec: {
        matchConstraints: { resourceRules: [rule] },
        validations: [
          { expression: "object.spec.replicas <= 5" },
          { expression: "object.spec.strategy.type == 'x'", messageExpression: "string(object.spec.gone)" },
        ],
      },
    });
    const read = () => server.send("get", `${ADMISSION}/validatingadmissionpolicies`, { name: "typed" });
    const settled = await eventually(async () => {
      const { status } = (await read()) as KubeObject & {
        status?: {
          observedGeneration?: number;
          typeChecking?: { expressionWarnings?: { fieldRef: string; warning: string }[] };
        };
      };
      return status?.observedGeneration === 1 ? status : undefined;
    });
    expect(
      settled.typeChecking?.expressionWarnings?.map(({ fieldRef, warning }) => `${fieldRef} ${warning.split("\n")[0]}`),
    ).toEqual([
      "spec.validations[1].expression apps/v1, Kind=ReplicaSet: ERROR: <input>:1:12: undefined field 'strategy'",
      "spec.validations[1].messageExpression apps/v1, Kind=Deployment: ERROR: <input>:1:19: undefined field 'gone'",
    ]);
  });

  test.each([
    ["an unknown variable", { validations: [{ expression: "objekt.x == 1" }] }, "undeclared reference to 'objekt'"],
    ["a number where truth is needed", { validations: [{ expression: "1" }] }, "must evaluate to bool"],
    [
      "params without paramKind",
      { validations: [{ expression: "params.x == 1" }] },
      "undeclared reference to 'params'",
    ],
    ["nothing to do", {}, "validations or auditAnnotations must contain at least one item"],
    [
      "a later variable",
      {
        variables: [
          { name: "a", expression: "variables.b" },
          { name: "b", expression: "1" },
        ],
        validations: [{ expression: "true" }],
      },
      "undefined field 'b'",
    ],
    ["an unknown reason", { validations: [{ expression: "true", reason: "Because" }] }, 'Unsupported value: "Because"'],
  ])("a policy with %s is refused", async (_what, spec, message) => {
    const error = await failure(() => install("ValidatingAdmissionPolicy", "p", { spec: { ...constraints, ...spec } }));
    expect(error.status.code).toBe(422);
    expect(error.message).toContain(message);
  });
});
