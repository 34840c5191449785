import {
  apiVersionOf,
  badRequest,
  type FieldError,
  fieldInvalid,
  fieldRequired,
  formatTime,
  getPath,
  invalid,
  isJsonObject,
  type KubeObject,
  parseFieldSelector,
  parseLabelSelector,
} from "#machinery";
import { copyWithout, deepEqual } from "#base";
import type { TokenAuthenticator } from "../authentication/tokens.ts";
import { labelSelectorErrors } from "../builtin/checks.ts";
import { builtinSchema } from "../builtin/definitions.ts";
import type { RequestContext, ResourceDefinition, User } from "../definition.ts";
import type { Attributes, Authorizer } from "./attributes.ts";
import { PRIVILEGED } from "./authorizers.ts";
import type { RbacAuthorizer } from "./rbac.ts";

type Answer = (object: KubeObject, context: RequestContext) => Promise<KubeObject> | KubeObject;

interface AccessSpec {
  readonly user?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
  readonly resourceAttributes?: Readonly<Partial<Record<keyof Omit<Attributes, "user" | "path">, string>>>;
  readonly nonResourceAttributes?: { readonly path?: string; readonly verb?: string };
}

const specOf = (object: KubeObject): AccessSpec => (getPath(object, "spec") ?? {}) as AccessSpec;

function attributesOf(spec: AccessSpec, user: User): Attributes {
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  const selects = selectedBy(spec);
  return {
    user,
    verb: resource?.verb ?? path?.verb ?? "",
    group: resource?.group ?? "",
    version: resource?.version ?? "",
    resource: resource?.resource ?? "",
    subresource: resource?.subresource ?? "",
    namespace: resource?.namespace ?? "",
    name: resource?.name ?? "",
    ...(selects === undefined ? {} : { selects }),
    ...(path === undefined ? {} : { path: path.path ?? "" }),
  };
}

/** What the field selector of a question demands of single fields; `undefined` without any, or where it cannot be read. */
function selectedBy(spec: AccessSpec): Readonly<Record<string, string>> | undefined {
  const selector = getPath(spec, "resourceAttributes", "fieldSelector");
  if (!isJsonObject(selector) || isUnreadable(spec, "fieldSelector")) return undefined;
  const { rawSelector, requirements } = selector;
  const listed = (Array.isArray(requirements) ? requirements : []) as readonly Readonly<Record<string, unknown>>[];
  const found = [
    ...parseFieldSelector(String(rawSelector ?? "")).flatMap(({ field, operator, value }) =>
      operator === "=" ? [[field, value] as const] : [],
    ),
    ...listed.flatMap(({ key, operator, values }) =>
      operator === "In" && Array.isArray(values) && values.length === 1
        ? [[String(key), String(values[0])] as const]
        : [],
    ),
  ];
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

const withStatus = (object: KubeObject, status: unknown): KubeObject => ({ ...object, status }) as KubeObject;

/** An answer that keeps nothing of what was asked. */
const fresh = ({ apiVersion, kind }: KubeObject): KubeObject => ({ apiVersion, kind, metadata: {} });

/** Metadata in a message; the fields somebody owns stand in order. */
const shownMetadata = (metadata: object) =>
  JSON.stringify(metadata, (_key, value: unknown) =>
    isJsonObject(value) && Object.keys(value).some((key) => key.startsWith("f:"))
      ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
      : value,
  );

/** What the selectors of a question must say: a text, or requirements. */
function selectorErrors(spec: AccessSpec, member: "fieldSelector" | "labelSelector"): FieldError[] {
  const selector = getPath(spec, "resourceAttributes", member);
  if (!isJsonObject(selector)) return [];
  const path = `spec.resourceAttributes.${member}`;
  const { rawSelector, requirements } = selector;
  const isText = typeof rawSelector === "string" && rawSelector !== "";
  const isList = Array.isArray(requirements) && requirements.length > 0;
  if (!isText && !isList)
    return [
      fieldRequired(`${path}.requirements`, `when ${path} is specified, requirements or rawSelector is required`),
    ];
  const both = isText && isList ? "may not specified at the same time as requirements" : undefined;
  return [
    ...(both === undefined ? [] : [fieldInvalid(`${path}.rawSelector`, rawSelector, both)]),
    ...(member === "labelSelector" ? labelSelectorErrors({ matchExpressions: requirements ?? [] }, path) : []).map(
      (error) => ({ ...error, field: error.field.replace(".matchExpressions[", ".requirements[") }),
    ),
  ];
}

const OPERATORS: readonly unknown[] = ["In", "NotIn", "Exists", "DoesNotExist"];

/** Whether a selector of a question cannot be read. Then it is left out of the answer, which says so. */
function isUnreadable(spec: AccessSpec, member: "fieldSelector" | "labelSelector"): boolean {
  const selector = getPath(spec, "resourceAttributes", member);
  if (!isJsonObject(selector)) return false;
  const { rawSelector, requirements } = selector;
  if (Array.isArray(requirements) && requirements.length > 0)
    return requirements.some((one) => isJsonObject(one) && !OPERATORS.includes(one["operator"]));
  try {
    const text = String(rawSelector ?? "");
    if (member === "fieldSelector") parseFieldSelector(text);
    else parseLabelSelector(text);
    return false;
  } catch {
    return true;
  }
}

/** What a review of access must say; `needsSubject` where it does not ask for the sender. */
function checkAccess(object: KubeObject, kind: string, needsSubject: boolean): void {
  const spec = specOf(object);
  const errors: FieldError[] = [];
  const { nonResourceAttributes: path } = spec;
  const shownPath = JSON.stringify({ Path: path?.path ?? "", Verb: path?.verb ?? "" });
  const refuse = (field: string, value: string, message: string) =>
    errors.push({ type: "FieldValueInvalid", field, message: `Invalid value: ${value}: ${message}` });
  const both = spec.resourceAttributes !== undefined && spec.nonResourceAttributes !== undefined;
  const neither = spec.resourceAttributes === undefined && spec.nonResourceAttributes === undefined;
  if (both)
    refuse("spec.nonResourceAttributes", shownPath, "cannot be specified in combination with resourceAttributes");
  if (neither)
    refuse(
      "spec.resourceAttributes",
      "null",
      "exactly one of nonResourceAttributes or resourceAttributes must be specified",
    );
  if (needsSubject && !spec.user && (spec.groups ?? []).length === 0)
    refuse("spec.user", '""', "at least one of user or group must be specified");
  const { name, namespace } = object.metadata;
  const { labels, annotations, finalizers, ownerReferences } = object.metadata;
  const isSaid = [labels, annotations, finalizers, ownerReferences].some((member) => member !== undefined);
  if (name || isSaid || (namespace && kind !== "LocalSubjectAccessReview"))
    refuse("metadata", shownMetadata(object.metadata), "must be empty");
  errors.push(...selectorErrors(spec, "fieldSelector"), ...selectorErrors(spec, "labelSelector"));
  if (
    kind === "LocalSubjectAccessReview" &&
    spec.resourceAttributes !== undefined &&
    spec.resourceAttributes.namespace !== namespace
  )
    refuse(
      "spec.resourceAttributes.namespace",
      JSON.stringify(spec.resourceAttributes?.namespace ?? ""),
      "must match metadata.namespace",
    );
  if (kind === "LocalSubjectAccessReview" && spec.nonResourceAttributes !== undefined)
    refuse("spec.nonResourceAttributes", shownPath, "disallowed on this kind of request");
  // A question has no kind in kube-apiserver's refusals (wire).
  if (errors.length > 0) throw invalid({ group: "authorization.k8s.io", kind: "" }, "", errors);
}

/** Kinds that are questions: who may do what, who am I, whose token is this. */
export function reviewDefinitions(
  rbac: RbacAuthorizer,
  authorizer: Authorizer,
  tokens: TokenAuthenticator,
  now: () => number,
): readonly ResourceDefinition[] {
  const decide = (object: KubeObject, user: User): KubeObject => {
    const spec = specOf(object);
    const { isAllowed, reason } = authorizer.authorize(attributesOf(spec, user));
    const ignored = (["fieldSelector", "labelSelector"] as const)
      .filter((member) => isUnreadable(spec, member))
      .map((member) => `spec.resourceAttributes.${member} ignored due to parse error`);
    return withStatus(object, {
      allowed: isAllowed,
      ...(reason === "" ? {} : { reason }),
      ...(ignored.length === 0 ? {} : { evaluationError: ignored.join("; ") }),
    });
  };
  const subjectReview =
    (kind: string): Answer =>
    (object) => {
      checkAccess(object, kind, true);
      const { user = "", groups = [], uid, extra } = specOf(object);
      return decide(object, {
        name: user,
        groups,
        ...(uid === undefined ? {} : { uid }),
        ...(extra === undefined ? {} : { extra }),
      });
    };
  const answers: readonly (readonly [string, string, string, boolean, Answer])[] = [
    [
      "authorization.k8s.io",
      "SelfSubjectAccessReview",
      "selfsubjectaccessreviews",
      false,
      (object, { user }) => {
        checkAccess(object, "SelfSubjectAccessReview", false);
        return decide(object, user);
      },
    ],
    [
      "authorization.k8s.io",
      "SubjectAccessReview",
      "subjectaccessreviews",
      false,
      subjectReview("SubjectAccessReview"),
    ],
    [
      "authorization.k8s.io",
      "LocalSubjectAccessReview",
      "localsubjectaccessreviews",
      true,
      subjectReview("LocalSubjectAccessReview"),
    ],
    [
      "authorization.k8s.io",
      "SelfSubjectRulesReview",
      "selfsubjectrulesreviews",
      false,
      (object, { user }) => {
        const namespace = String(getPath(object, "spec", "namespace") ?? "");
        if (namespace === "") throw badRequest("no namespace on request");
        const everything = [
          { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
          { verbs: ["*"], nonResourceURLs: ["*"] },
        ];
        const all = [
          ...(user.groups.includes(PRIVILEGED) ? everything : []),
          ...[...rbac.rulesFor(user, namespace)].filter((rule) => !everything.some((one) => deepEqual(one, rule))),
        ];
        return withStatus({ ...fresh(object), spec: {} } as KubeObject, {
          incomplete: false,
          resourceRules: all.filter((rule) => "resources" in rule && (rule.resources ?? []).length > 0),
          nonResourceRules: all.filter((rule) => "nonResourceURLs" in rule && (rule.nonResourceURLs ?? []).length > 0),
        });
      },
    ],
    [
      "authentication.k8s.io",
      "SelfSubjectReview",
      "selfsubjectreviews",
      false,
      (object, { user }) => {
        const metadata = { creationTimestamp: formatTime(now()) };
        return withStatus({ ...fresh(object), metadata }, { userInfo: userInfo(user) });
      },
    ],
    ["authentication.k8s.io", "TokenReview", "tokenreviews", false, (object) => reviewToken(tokens, object)],
  ];
  return answers.map(([group, kind, resource, namespaced, virtual]) => ({
    kind: { group, version: "v1", kind, resource, namespaced },
    singular: kind.toLowerCase(),
    shortNames: [],
    categories: [],
    verbs: ["create"],
    subresources: [],
    schema: builtinSchema(group, "v1", kind),
    columns: [],
    storage: { prefix: `/virtual/${resource}/`, version: "v1" },
    origin: "builtin",
    strategy: {},
    hasGeneration: false,
    virtual: (object, context) =>
      virtual({ ...object, apiVersion: apiVersionOf({ group, version: "v1" }), kind }, context),
  }));
}

async function reviewToken(tokens: TokenAuthenticator, object: KubeObject): Promise<KubeObject> {
  const token = getPath(object, "spec", "token");
  if (typeof token !== "string" || token === "")
    throw badRequest("token is required for TokenReview in authentication");
  const asked = (getPath(object, "spec", "audiences") ?? []) as readonly string[];
  let error = "invalid bearer token";
  const found = await tokens.authenticate(token, asked.length > 0 ? asked : tokens.audiences, (why) => {
    error = `[${error}, ${why}]`;
  });
  return withStatus(
    { ...object, metadata: copyWithout(object.metadata, "namespace") },
    found === undefined
      ? { user: {}, error }
      : { authenticated: true, user: userInfo(found.user), audiences: found.audiences },
  );
}

function userInfo(user: User) {
  return {
    username: user.name,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(user.extra === undefined ? {} : { extra: user.extra }),
  };
}
