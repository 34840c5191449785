import { apiVersionOf, formatTime, getPath, invalid, type KubeObject, notFound } from "#machinery";
import type { RequestContext, ResourceDefinition, User } from "../definition.ts";
import type { ApiServer } from "../server.ts";
import type { TokenAuthenticator } from "../authentication/tokens.ts";
import type { Attributes, RbacAuthorizer } from "./rbac.ts";

type Answer = (object: KubeObject, context: RequestContext) => Promise<KubeObject> | KubeObject;

interface ResourceAttributes {
  readonly namespace?: string;
  readonly verb?: string;
  readonly group?: string;
  readonly version?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly name?: string;
}

function attributesOf(spec: unknown, user: User, namespace?: string): Attributes {
  const resource = getPath(spec, "resourceAttributes") as ResourceAttributes | undefined;
  const path = getPath(spec, "nonResourceAttributes") as { path?: string; verb?: string } | undefined;
  return {
    user,
    verb: resource?.verb ?? path?.verb ?? "",
    group: resource?.group ?? "",
    version: resource?.version ?? "",
    resource: resource?.resource ?? "",
    subresource: resource?.subresource ?? "",
    namespace: namespace ?? resource?.namespace ?? "",
    name: resource?.name ?? "",
    ...(path === undefined ? {} : { path: path.path ?? "" }),
  };
}

const withStatus = (object: KubeObject, status: unknown): KubeObject =>
  ({ ...object, metadata: { ...object.metadata, creationTimestamp: null }, status }) as KubeObject;

/** Kinds that are questions: who may do what, who am I, whose token is this. */
export function reviewDefinitions(rbac: RbacAuthorizer, tokens: TokenAuthenticator): readonly ResourceDefinition[] {
  const decide = (object: KubeObject, wanted: Attributes): KubeObject => {
    const { isAllowed, reason } = rbac.authorize(wanted);
    return withStatus(object, { allowed: isAllowed, ...(reason === "" ? {} : { reason }) });
  };
  const subjectOf = (object: KubeObject): User => {
    const spec = getPath(object, "spec") as { user?: string; groups?: string[]; uid?: string } | undefined;
    return { name: spec?.user ?? "", groups: spec?.groups ?? [] };
  };
  const answers: readonly (readonly [string, string, string, boolean, Answer])[] = [
    [
      "authorization.k8s.io",
      "SelfSubjectAccessReview",
      "selfsubjectaccessreviews",
      false,
      (object, { user }) => decide(object, attributesOf(getPath(object, "spec"), user)),
    ],
    [
      "authorization.k8s.io",
      "SubjectAccessReview",
      "subjectaccessreviews",
      false,
      (object) => {
        const user = subjectOf(object);
        if (user.name === "" && user.groups.length === 0)
          throw invalid({ group: "authorization.k8s.io", kind: "SubjectAccessReview" }, "", [
            {
              type: "FieldValueInvalid",
              field: "spec.user",
              message: `Invalid value: "": at least one of user or group must be specified`,
            },
          ]);
        return decide(object, attributesOf(getPath(object, "spec"), user));
      },
    ],
    [
      "authorization.k8s.io",
      "LocalSubjectAccessReview",
      "localsubjectaccessreviews",
      true,
      (object) => decide(object, attributesOf(getPath(object, "spec"), subjectOf(object), object.metadata.namespace)),
    ],
    [
      "authorization.k8s.io",
      "SelfSubjectRulesReview",
      "selfsubjectrulesreviews",
      false,
      (object, { user }) => {
        const namespace = String(getPath(object, "spec", "namespace") ?? "");
        const rules = user.groups.includes("system:masters")
          ? [
              { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
              { verbs: ["*"], nonResourceURLs: ["*"] },
            ]
          : [...rbac.rulesFor(user, namespace)];
        return withStatus(object, {
          incomplete: false,
          resourceRules: rules.filter((rule) => (rule as { resources?: unknown }).resources !== undefined),
          nonResourceRules: rules.filter(
            (rule) => (rule as { nonResourceURLs?: unknown }).nonResourceURLs !== undefined,
          ),
        });
      },
    ],
    [
      "authentication.k8s.io",
      "SelfSubjectReview",
      "selfsubjectreviews",
      false,
      (object, { user }) => withStatus(object, { userInfo: userInfo(user) }),
    ],
    [
      "authentication.k8s.io",
      "TokenReview",
      "tokenreviews",
      false,
      async (object) => {
        const user = await tokens.authenticate(String(getPath(object, "spec", "token") ?? ""));
        return withStatus(
          object,
          user === undefined
            ? { user: {}, error: "invalid bearer token" }
            : { authenticated: true, user: userInfo(user) },
        );
      },
    ],
  ];
  return answers.map(([group, kind, resource, namespaced, virtual]) => ({
    kind: { group, version: "v1", kind, resource, namespaced },
    singular: kind.toLowerCase(),
    shortNames: [],
    categories: [],
    verbs: ["create"],
    subresources: [],
    schema: undefined,
    columns: [],
    storage: { prefix: `/virtual/${resource}/`, version: "v1" },
    origin: "builtin",
    strategy: {},
    hasGeneration: false,
    virtual: (object, context) =>
      virtual({ ...object, apiVersion: apiVersionOf({ group, version: "v1" }), kind }, context),
  }));
}

function userInfo(user: User) {
  return {
    username: user.name,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(user.extra === undefined ? {} : { extra: user.extra }),
  };
}

/** `serviceaccounts/token`: a signed token for a service account that exists. */
export function tokenRequest(server: ApiServer, tokens: TokenAuthenticator) {
  return async (account: KubeObject, body: KubeObject): Promise<KubeObject> => {
    if (account.metadata.uid === undefined)
      throw notFound({ group: "", resource: "serviceaccounts" }, account.metadata.name ?? "");
    const seconds = Number(getPath(body, "spec", "expirationSeconds") ?? 3600);
    if (seconds < 600)
      throw invalid({ group: "authentication.k8s.io", kind: "TokenRequest" }, account.metadata.name ?? "", [
        {
          type: "FieldValueInvalid",
          field: "spec.expirationSeconds",
          message: `Invalid value: ${seconds}: may not specify a duration less than 10 minutes`,
        },
      ]);
    const nowMs = server.clock.now();
    const audiences = (getPath(body, "spec", "audiences") as string[] | undefined) ?? [];
    const token = await tokens.sign(account, nowMs, seconds, audiences);
    return {
      ...body,
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: {
        name: account.metadata.name,
        namespace: account.metadata.namespace,
        creationTimestamp: formatTime(nowMs),
      } as KubeObject["metadata"],
      spec: {
        audiences: audiences.length > 0 ? audiences : [tokens.issuer],
        expirationSeconds: seconds,
        boundObjectRef: getPath(body, "spec", "boundObjectRef") ?? null,
      },
      status: { token, expirationTimestamp: formatTime(nowMs + seconds * 1000) },
    } as KubeObject;
  };
}
