import { method, type Overload } from "../functions.ts";
import { CelRuntimeError, Opaque } from "../values.ts";

/** What an expression asks the authorizer: about a path, or about a resource. `user` is absent for the one who asks. */
export interface AuthorizationCheck {
  readonly serviceAccount?: { readonly namespace: string; readonly name: string };
  readonly path?: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly verb: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}

export interface AuthorizationDecision {
  readonly isAllowed: boolean;
  readonly reason: string;
  readonly error?: string;
}

/** Answers checks for the user of the request, or for the service account a check names. */
export type Authorize = (check: AuthorizationCheck) => AuthorizationDecision;

abstract class Authorization extends Opaque {
  isSame(other: Opaque): boolean {
    return this === other;
  }
}

const NOTHING: AuthorizationCheck = { group: "", resource: "", subresource: "", namespace: "", name: "", verb: "" };

/** The value of the variable `authorizer`. */
export class AuthorizerValue extends Authorization {
  readonly typeName = "kubernetes.authorization.Authorizer";
  readonly authorize: Authorize;
  readonly check: AuthorizationCheck;
  constructor(authorize: Authorize, check: AuthorizationCheck = NOTHING) {
    super();
    this.authorize = authorize;
    this.check = check;
  }
}

class CheckValue extends Authorization {
  readonly typeName: string;
  readonly authorize: Authorize;
  readonly check: AuthorizationCheck;
  constructor(kind: "PathCheck" | "GroupCheck" | "ResourceCheck", authorize: Authorize, check: AuthorizationCheck) {
    super();
    this.typeName = `kubernetes.authorization.${kind}`;
    this.authorize = authorize;
    this.check = check;
  }
  with(change: Partial<AuthorizationCheck>): CheckValue {
    return new CheckValue("ResourceCheck", this.authorize, { ...this.check, ...change });
  }
  decide(verb: string): DecisionValue {
    return new DecisionValue(this.authorize({ ...this.check, verb }));
  }
}

class DecisionValue extends Authorization {
  readonly typeName = "kubernetes.authorization.Decision";
  readonly decision: AuthorizationDecision;
  constructor(decision: AuthorizationDecision) {
    super();
    this.decision = decision;
  }
}

const A = "kubernetes.authorization";
/** The variable `authorizer.requestResource` is a check of the very resource a request is about. */
export const requestResource = (authorizer: AuthorizerValue, check: Omit<AuthorizationCheck, "verb">): Opaque =>
  new CheckValue("ResourceCheck", authorizer.authorize, { ...check, verb: "" });

function accountOf(authorizer: AuthorizerValue, namespace: string, name: string): AuthorizerValue {
  if (namespace === "" || name === "") throw new CelRuntimeError("invalid service account");
  return new AuthorizerValue(authorizer.authorize, { ...authorizer.check, serviceAccount: { namespace, name } });
}

/** Whether somebody may do something, asked in the middle of a rule. */
export const authorizationLibrary: readonly Overload[] = [
  method(`${A}.Authorizer.path(string): ${A}.PathCheck`, (value: AuthorizerValue, path: string) => {
    if (path === "") throw new CelRuntimeError("path must not be empty");
    return new CheckValue("PathCheck", value.authorize, { ...value.check, path });
  }),
  method(
    `${A}.Authorizer.group(string): ${A}.GroupCheck`,
    (value: AuthorizerValue, group: string) => new CheckValue("GroupCheck", value.authorize, { ...value.check, group }),
  ),
  method(`${A}.Authorizer.serviceAccount(string, string): ${A}.Authorizer`, accountOf),
  method(`${A}.GroupCheck.resource(string): ${A}.ResourceCheck`, (value: CheckValue, resource: string) =>
    value.with({ resource }),
  ),
  method(`${A}.ResourceCheck.subresource(string): ${A}.ResourceCheck`, (value: CheckValue, subresource: string) =>
    value.with({ subresource }),
  ),
  method(`${A}.ResourceCheck.namespace(string): ${A}.ResourceCheck`, (value: CheckValue, namespace: string) =>
    value.with({ namespace }),
  ),
  method(`${A}.ResourceCheck.name(string): ${A}.ResourceCheck`, (value: CheckValue, name: string) =>
    value.with({ name }),
  ),
  method(`${A}.ResourceCheck.fieldSelector(string): ${A}.ResourceCheck`, (value: CheckValue, fieldSelector: string) =>
    value.with({ fieldSelector }),
  ),
  method(`${A}.ResourceCheck.labelSelector(string): ${A}.ResourceCheck`, (value: CheckValue, labelSelector: string) =>
    value.with({ labelSelector }),
  ),
  method(`${A}.PathCheck.check(string): ${A}.Decision`, (value: CheckValue, verb: string) => value.decide(verb)),
  method(`${A}.ResourceCheck.check(string): ${A}.Decision`, (value: CheckValue, verb: string) => value.decide(verb)),
  method(`${A}.Decision.allowed(): bool`, ({ decision }: DecisionValue) => decision.isAllowed),
  method(`${A}.Decision.reason(): string`, ({ decision }: DecisionValue) => decision.reason),
  method(`${A}.Decision.errored(): bool`, ({ decision }: DecisionValue) => decision.error !== undefined),
  method(`${A}.Decision.error(): string`, ({ decision }: DecisionValue) => decision.error ?? ""),
];
