/** The type of an expression as the checker knows it. Schemas lend objects their fields and lists their kind. */
export type CelType =
  | { readonly kind: "simple"; readonly name: string; readonly sizeMax?: number }
  | {
      readonly kind: "list";
      readonly of: CelType;
      readonly listType?: string;
      readonly listMapKeys?: readonly string[];
      readonly sizeMax?: number;
    }
  | { readonly kind: "map"; readonly key: CelType; readonly of: CelType; readonly sizeMax?: number }
  | ObjectType
  | { readonly kind: "optional"; readonly of: CelType }
  | { readonly kind: "param"; readonly name: string }
  | { readonly kind: "opaque"; readonly name: string };

/** An object with declared fields; `field` is asked lazily because schemas may be large or recursive. */
export interface ObjectType {
  readonly kind: "object";
  readonly name: string;
  /** The type of a field by the name used in expressions, or undefined when there is none. */
  field(name: string): CelType | undefined;
  /** The JSON member a field's name in expressions stands for. */
  member(name: string): string;
  /** Whether values of it can be written as `Name{field: value}`; absent means no. */
  readonly canConstruct?: boolean;
}

const simple = (name: string): CelType => ({ kind: "simple", name });
export const dyn = simple("dyn");
export const int = simple("int");
export const uint = simple("uint");
export const double = simple("double");
export const string = simple("string");
export const bool = simple("bool");
export const bytes = simple("bytes");
export const nullType = simple("null_type");
export const timestamp = simple("timestamp");
export const duration = simple("duration");
export const typeType = simple("type");
export const listOf = (of: CelType): CelType => ({ kind: "list", of });
export const mapOf = (key: CelType, of: CelType): CelType => ({ kind: "map", key, of });
export const optionalOf = (of: CelType): CelType => ({ kind: "optional", of });

const SIMPLE: Readonly<Record<string, CelType>> = {
  dyn,
  int,
  uint,
  double,
  string,
  bool,
  bytes,
  null_type: nullType,
  timestamp,
  duration,
  type: typeType,
};

/** A type as messages write it. */
export function formatType(type: CelType): string {
  switch (type.kind) {
    case "simple":
      return type.name === "null_type" ? "null" : type.name;
    case "list":
      return `list(${formatType(type.of)})`;
    case "map":
      return `map(${formatType(type.key)}, ${formatType(type.of)})`;
    case "optional":
      return `optional_type(${formatType(type.of)})`;
    default:
      return type.name;
  }
}

/** Reads a type of a signature: `list<string>`, `map<K, V>`, `optional<T>`, `int`, `kubernetes.Quantity`. */
export function parseType(text: string): CelType {
  const trimmed = text.trim();
  const known = SIMPLE[trimmed];
  if (known !== undefined) return known;
  const generic = /^(list|map|optional)<(.*)>$/.exec(trimmed);
  if (generic !== null) {
    const parts = splitTypes(generic[2] as string).map(parseType);
    if (generic[1] === "list") return listOf(parts[0] as CelType);
    if (generic[1] === "optional") return optionalOf(parts[0] as CelType);
    return mapOf(parts[0] as CelType, parts[1] as CelType);
  }
  return /^[A-Z]$/.test(trimmed) ? { kind: "param", name: trimmed } : { kind: "opaque", name: trimmed };
}

/** Splits at commas that stand in no angle bracket. */
export function splitTypes(text: string): readonly string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at <= text.length; at++) {
    const char = text[at];
    if (char === "<") depth++;
    else if (char === ">") depth--;
    if (char === undefined || (char === "," && depth === 0)) {
      if (text.slice(start, at).trim() !== "") parts.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  return parts;
}

export const isDyn = (type: CelType): boolean => type.kind === "simple" && type.name === "dyn";

const isNull = (type: CelType) => type.kind === "simple" && type.name === "null_type";
/** Objects and times may be compared with null; numbers, texts and lists may not. */
const isNullable = (type: CelType) =>
  type.kind === "object" || type.kind === "opaque" || isNull(type) || type === timestamp || type === duration;

/** Whether something of the type `actual` may stand where `wanted` is; binds type parameters. */
export function isAssignable(wanted: CelType, actual: CelType, bound: Map<string, CelType>): boolean {
  if (wanted.kind === "param") {
    const known = bound.get(wanted.name);
    if (known === undefined || isDyn(known)) {
      bound.set(wanted.name, actual);
      return true;
    }
    return isDyn(actual) || isAssignable(known, actual, bound);
  }
  if (isDyn(wanted) || isDyn(actual) || actual.kind === "param") return true;
  if (isNull(actual) || isNull(wanted)) return isNullable(isNull(actual) ? wanted : actual);
  if (wanted.kind !== actual.kind) return false;
  switch (wanted.kind) {
    case "list":
    case "optional":
      return isAssignable(wanted.of, (actual as { readonly of: CelType }).of, bound);
    case "map": {
      const other = actual as { readonly key: CelType; readonly of: CelType };
      return isAssignable(wanted.key, other.key, bound) && isAssignable(wanted.of, other.of, bound);
    }
    default:
      return wanted.name === (actual as { readonly name: string }).name;
  }
}

/** A type with its parameters filled in; what stayed open is dynamic. */
export function substitute(type: CelType, bound: ReadonlyMap<string, CelType>): CelType {
  switch (type.kind) {
    case "param":
      return bound.get(type.name) ?? dyn;
    case "list":
      return { ...type, of: substitute(type.of, bound) };
    case "optional":
      return optionalOf(substitute(type.of, bound));
    case "map":
      return { ...type, key: substitute(type.key, bound), of: substitute(type.of, bound) };
    default:
      return type;
  }
}

/** The one type that covers both, or undefined when they have nothing in common. */
export function unify(left: CelType, right: CelType): CelType | undefined {
  if (left === right || isDyn(left) || right.kind === "param") return left;
  if (isDyn(right) || left.kind === "param") return right;
  if (left.kind === "list" && right.kind === "list") {
    const of = unify(left.of, right.of);
    return of === undefined ? undefined : listOf(of);
  }
  if (left.kind === "optional" && right.kind === "optional") {
    const of = unify(left.of, right.of);
    return of === undefined ? undefined : optionalOf(of);
  }
  if (left.kind === "map" && right.kind === "map") {
    const key = unify(left.key, right.key);
    const of = unify(left.of, right.of);
    return key === undefined || of === undefined ? undefined : mapOf(key, of);
  }
  return isAssignable(left, right, new Map()) ? left : undefined;
}

/** A record with these fields. */
export function objectTypeOf(fields: Readonly<Record<string, CelType>>, name = "object"): ObjectType {
  return {
    kind: "object",
    name,
    field: (field) => (Object.hasOwn(fields, field) ? fields[field] : undefined),
    member: (field) => field,
  };
}

/** A library's type by its name, such as `kubernetes.authorization.Authorizer`. */
export const opaqueType = (name: string): CelType => ({ kind: "opaque", name });
