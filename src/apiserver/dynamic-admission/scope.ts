import {
  AuthorizerValue,
  bool,
  CelCompileError,
  CelEnvironment,
  CelRuntimeError,
  type CelType,
  CelTypeError,
  dyn,
  fromJson,
  int,
  LazyMap,
  listOf,
  mapOf,
  objectTypeOf,
  type ObjectType,
  opaqueType,
  type Program,
  requestResource,
  string,
  timestamp,
  type Value,
} from "#cel";
import type { KubeObject } from "#machinery";
import type { AdmissionRequest } from "../admission.ts";
import type { Authorizer } from "../authorization/attributes.ts";
import type { ResourceDefinition } from "../definition.ts";
import { requestFacts } from "./review.ts";
import type { MatchCondition } from "./types.ts";

const AUTHORIZER = opaqueType("kubernetes.authorization.Authorizer");
const RESOURCE_CHECK = opaqueType("kubernetes.authorization.ResourceCheck");

const kindType = objectTypeOf({ group: string, version: string, kind: string });
const resourceType = objectTypeOf({ group: string, version: string, resource: string });
const requestType = objectTypeOf({
  uid: string,
  kind: kindType,
  resource: resourceType,
  subResource: string,
  requestKind: kindType,
  requestResource: resourceType,
  requestSubResource: string,
  name: string,
  namespace: string,
  operation: string,
  userInfo: dyn,
  dryRun: bool,
  options: dyn,
});

const texts = mapOf(string, string);
/** What expressions see of a request's namespace. */
export const namespaceType = objectTypeOf({
  metadata: objectTypeOf({
    name: string,
    generateName: string,
    namespace: string,
    labels: texts,
    annotations: texts,
    UID: string,
    creationTimestamp: timestamp,
    deletionGracePeriodSeconds: int,
    deletionTimestamp: timestamp,
    generation: int,
    resourceVersion: string,
    finalizers: listOf(string),
  }),
  spec: objectTypeOf({ finalizers: listOf(string) }),
  status: objectTypeOf({
    phase: string,
    conditions: listOf(
      objectTypeOf({
        type: string,
        status: string,
        lastTransitionTime: timestamp,
        reason: string,
        message: string,
      }),
    ),
  }),
});

/** What an expression of admission may name. */
export interface ScopeOptions {
  readonly hasParams?: boolean;
  /** Whether rights can be asked for; default true. */
  readonly hasAuthorizer?: boolean;
  /** Types of `variables.NAME`, in order of their definition. */
  readonly variables?: Readonly<Record<string, CelType>>;
  /** The type of `object` and `oldObject`; default: anything. */
  readonly object?: CelType;
  readonly params?: CelType;
  readonly construct?: (name: string) => ObjectType | undefined;
}

export function admissionEnvironment(options: ScopeOptions = {}): CelEnvironment {
  const object = options.object ?? dyn;
  return new CelEnvironment({
    variables: {
      object,
      oldObject: object,
      request: requestType,
      ...(options.hasAuthorizer === false
        ? {}
        : { authorizer: AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK }),
      ...(options.hasParams ? { params: options.params ?? dyn } : {}),
      namespaceObject: namespaceType,
      ...(options.variables === undefined ? {} : { variables: objectTypeOf(options.variables, "variables") }),
    },
    ...(options.construct === undefined ? {} : { construct: options.construct }),
  });
}

/** Compiles what was valid when it was stored; should it no longer be, running it says why. */
export function compileStored(environment: CelEnvironment, source: string, wanted?: CelType): Program {
  try {
    return environment.compile(source, wanted);
  } catch (error) {
    if (!(error instanceof CelCompileError) && !(error instanceof CelTypeError)) throw error;
    const { message } = error;
    return {
      source,
      type: wanted ?? dyn,
      estimatedCost: 0,
      run() {
        throw new CelRuntimeError(`compilation failed: ${message}`);
      },
    };
  }
}

let plain: CelEnvironment | undefined;
let withParams: CelEnvironment | undefined;

/** Match conditions see the request, its objects and the authorizer, those of policies with parameters also these. */
export function conditionEnvironment(hasParams = false): CelEnvironment {
  if (hasParams) return (withParams ??= admissionEnvironment({ hasParams: true }));
  return (plain ??= admissionEnvironment());
}

export function compileConditions(
  list: readonly MatchCondition[] | undefined,
  hasParams = false,
): readonly (readonly [string, Program])[] {
  const environment = conditionEnvironment(hasParams);
  return (list ?? []).map(({ name, expression }) => [name, compileStored(environment, expression, bool)]);
}

/** The values of one request, wrapped once for all expressions. */
export function admissionValues(
  request: AdmissionRequest,
  matched: ResourceDefinition,
  objects: { readonly object: KubeObject | undefined; readonly oldObject: KubeObject | undefined },
  authorizer: Authorizer,
  uid: string,
): Readonly<Record<string, Value>> {
  const { kind } = request.definition;
  const asked = new AuthorizerValue((check) => {
    const account = check.serviceAccount;
    const user =
      account === undefined
        ? request.user
        : {
            name: `system:serviceaccount:${account.namespace}:${account.name}`,
            groups: ["system:serviceaccounts", `system:serviceaccounts:${account.namespace}`, "system:authenticated"],
          };
    const { group, resource, subresource, namespace, name, verb, path } = check;
    const version = group === kind.group && resource === kind.resource ? kind.version : "*";
    return authorizer.authorize({
      user,
      verb,
      group,
      version,
      resource,
      subresource,
      namespace,
      name,
      ...(path === undefined ? {} : { path }),
    });
  });
  return {
    object: objects.object === undefined ? null : fromJson(objects.object, dyn),
    oldObject: objects.oldObject === undefined ? null : fromJson(objects.oldObject, dyn),
    request: fromJson(requestFacts(request, matched, uid), dyn),
    // Conditions are asked before the namespace is looked at.
    namespaceObject: null,
    authorizer: asked,
    "authorizer.requestResource": requestResource(asked, {
      group: kind.group,
      resource: kind.resource,
      subresource: request.subresource ?? "",
      namespace: request.namespace ?? "",
      name: request.name,
    }),
  };
}

/** `variables`: each is worked out when first asked for. */
export function lazyVariables(
  programs: readonly (readonly [string, Program])[],
  run: (program: Program, variables: Value) => Value,
): Value {
  const made: LazyMap = new LazyMap(
    new Map(programs.map(([name, program]) => [name, () => run(program, made)] as const)),
  );
  return made;
}
