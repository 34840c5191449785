/**
 * CEL as Kubernetes speaks it: the language, its libraries (strings, lists, sets, regular expressions, URLs, quantities,
 * IP addresses, semantic versions, named formats, authorizer checks, optionals), types from schemas, and a cost budget.
 *
 * `new CelEnvironment({ variables })` names variables with types: `schemaType(schema, resolve, isRoot)` for values of a
 * schema, `dyn` for anything, `objectTypeOf({ field: type })` for a record. `compile(source, bool)` checks an expression
 * once and throws `CelCompileError` with Kubernetes' message (`ERROR: <input>:1:5: undefined field 'x'` and a caret), or
 * `CelTypeError` when it gives another type. The `Program` runs any number of times: `run({ self: fromJson(value, type) })`
 * gives a `Value` or throws `CelRuntimeError` (`no such key: x`) or `CelBudgetError`. Hand one `CostBudget` to all
 * programs of a request: one call may cost 1 000 000, one request 10 000 000 units. `estimatedCost` is the most a program
 * can cost for the largest values its types allow.
 *
 * Wrapping JSON by `fromJson` costs nothing until members are read; the same wrapped value may be handed to many runs.
 * It never reads time, chance or stores.
 */
export { CelBudgetError } from "./frame.ts";
export {
  CALL_COST_MAX,
  CelEnvironment,
  CelInstantiationError,
  CelTypeError,
  CostBudget,
  ESTIMATED_COST_MAX,
  type EnvironmentOptions,
  LazyMap,
  type Program,
  REQUEST_COST_MAX,
} from "./environment.ts";
export {
  type AuthorizationCheck,
  type AuthorizationDecision,
  type Authorize,
  AuthorizerValue,
  requestResource,
} from "./library/authorization.ts";
export { CelCompileError } from "./parse.ts";
export { mostInOneRequest, schemaType } from "./schema-types.ts";
export {
  bool,
  type CelType,
  dyn,
  formatType,
  int,
  listOf,
  mapOf,
  nullType,
  type ObjectType,
  objectTypeOf,
  opaqueType,
  string,
  timestamp,
} from "./types.ts";
export { CelMap, CelRuntimeError, display, fromJson, objectTypeName, Optional, toJson, type Value } from "./values.ts";
