/** Devices: classes, claims and slices of them; their defaults, and what they must keep to, in kube-apiserver's words. */
import {
  bool,
  CelCompileError,
  CelEnvironment,
  type CelType,
  dyn,
  formatType,
  mapOf,
  objectTypeOf,
  string,
} from "#cel";
import {
  DNS_LABEL,
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  type KubeObject,
  labelMapErrors,
  labelKeyErrors,
  labelValueErrors,
  setPath,
} from "#machinery";
import { deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import { filled, isMap, listAt, repetitions, specOf, valueAt } from "./checks.ts";
import { claimStatusErrors, driverErrors, poolErrors } from "./device-status.ts";
import { goValue } from "./go-values.ts";
import { dnsLabelErrors, subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";
import { nodeSelectorErrors } from "./pod-scheduling.ts";
import { immutableAt } from "./workload-rules.ts";

const required = (value: unknown, path: string): FieldError[] =>
  value ? subdomainErrorsAt(value, path) : [fieldRequired(path)];

const named = (value: CelType) => mapOf(string, value);
const environment = new CelEnvironment({
  variables: {
    device: objectTypeOf(
      { driver: string, attributes: named(named(dyn)), capacity: named(named(dyn)), allowMultipleAllocations: bool },
      "kubernetes.DRADevice",
    ),
  },
});
/** What a parser says of an expression that holds nothing (wire). */
const NOTHING =
  "ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

function selectorErrors(holder: Json, where: string): FieldError[] {
  return listAt(holder, "selectors").flatMap((selector, at) => {
    const path = `${where}.selectors[${at}].cel`;
    if (!isMap(selector["cel"])) return [fieldRequired(path)];
    const expression = String(valueAt(selector, "cel.expression") ?? "");
    const refuse = (text: string) => [fieldInvalid(`${path}.expression`, expression, `compilation failed: ${text}`)];
    if (expression === "") return refuse(NOTHING);
    try {
      const { type } = environment.compile(expression);
      const shown = formatType(type).replace(/^null$/, "null_type");
      return shown === "bool" || shown === "dyn"
        ? []
        : [fieldInvalid(`${path}.expression`, expression, `must evaluate to bool or the unknown type, not ${shown}`)];
    } catch (error) {
      if (error instanceof CelCompileError) return refuse(error.message);
      throw error;
    }
  });
}

function configErrors(config: Json, where: string): FieldError[] {
  const { opaque } = config;
  const path = `${where}.opaque`;
  if (!isMap(opaque)) return [fieldRequired(path)];
  const { driver, parameters } = opaque;
  return [
    ...driverErrors(driver, `${path}.driver`),
    ...(parameters === undefined || parameters === null
      ? [fieldRequired(`${path}.parameters`)]
      : isMap(parameters)
        ? []
        : [fieldInvalid(`${path}.parameters`, "<value omitted>", "must be a valid JSON object")]),
  ];
}

function amountErrors(request: Json, where: string): FieldError[] {
  const { allocationMode: mode, count } = request;
  switch (mode) {
    case "ExactCount":
      return Number(count ?? 0) <= 0 ? [fieldInvalid(`${where}.count`, count ?? 0, "must be greater than zero")] : [];
    case "All":
      return count === undefined
        ? []
        : [fieldInvalid(`${where}.count`, count, "must not be specified when allocationMode is 'All'")];
    default:
      return [fieldNotSupported(`${where}.allocationMode`, mode ?? "", ["All", "ExactCount"])];
  }
}

const EFFECTS = ["NoExecute", "NoSchedule", "None"];

function taintErrors(device: Json, where: string): FieldError[] {
  return listAt(device, "taints").flatMap(({ key, value, effect }, at) => {
    const path = `${where}.taints[${at}]`;
    return [
      ...labelKeyErrors(String(key ?? "")).map((text) => fieldInvalid(`${path}.key`, key ?? "", text)),
      ...labelValueErrors(String(value ?? ""), `${path}.value`),
      ...(effect
        ? EFFECTS.includes(String(effect))
          ? []
          : [fieldNotSupported(`${path}.effect`, effect, EFFECTS)]
        : [fieldRequired(`${path}.effect`)]),
    ];
  });
}

function tolerationErrors(request: Json, where: string): FieldError[] {
  return listAt(request, "tolerations").flatMap(({ key, operator, value, effect }, at) => {
    const path = `${where}.tolerations[${at}]`;
    return [
      ...(key ? labelKeyErrors(String(key)).map((text) => fieldInvalid(`${path}.key`, key, text)) : []),
      ...(operator === "Exists"
        ? value
          ? [fieldInvalid(`${path}.value`, value, "must be empty for operator `Exists`")]
          : []
        : operator === "Equal"
          ? labelValueErrors(String(value ?? ""), `${path}.value`)
          : operator
            ? [fieldNotSupported(`${path}.operator`, operator, ["Equal", "Exists"])]
            : [fieldRequired(`${path}.operator`)]),
      ...(!effect || EFFECTS.includes(String(effect)) ? [] : [fieldNotSupported(`${path}.effect`, effect, EFFECTS)]),
    ];
  });
}

const askedErrors = (request: Json, where: string): FieldError[] => [
  ...required(request["deviceClassName"], `${where}.deviceClassName`),
  ...selectorErrors(request, where),
  ...amountErrors(request, where),
  ...tolerationErrors(request, where),
];

function requestErrors(request: Json, where: string): FieldError[] {
  const [exactly, alternatives] = [request["exactly"], listAt(request, "firstAvailable")];
  const errors = dnsLabelErrors(request["name"], `${where}.name`);
  if (isMap(exactly) && alternatives.length > 0)
    errors.push(
      fieldInvalid(
        where,
        null,
        "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set",
      ),
    );
  else if (isMap(exactly)) errors.push(...askedErrors(exactly as Json, `${where}.exactly`));
  else if (alternatives.length === 0)
    errors.push(fieldRequired(where, "exactly one of `exactly` or `firstAvailable` is required"));
  const wasThere = repetitions();
  for (const [at, one] of alternatives.entries()) {
    const path = `${where}.firstAvailable[${at}]`;
    errors.push(...dnsLabelErrors(one["name"], `${path}.name`), ...askedErrors(one, path));
    if (wasThere(one["name"])) errors.push(fieldDuplicate(path, one["name"]));
  }
  return errors;
}

/** Names of requests that others speak of: of whole ones, and of one of several alternatives. */
function namedErrors(holder: Json, names: ReadonlySet<string>, where: string): FieldError[] {
  const requests = listAt(holder, "requests") as readonly unknown[];
  const wasThere = repetitions();
  const repeated = requests.flatMap((value, at) =>
    wasThere(value) ? [fieldDuplicate(`${where}.requests[${at}]`, value)] : [],
  );
  const wrong = requests.flatMap((value, at) => {
    const path = `${where}.requests[${at}]`;
    const name = String(value);
    return [
      ...(name.includes("/")
        ? name.split("/").flatMap((part) => dnsLabelErrors(part, path))
        : [...dnsLabelErrors(name, path)]),
      ...(names.has(name)
        ? []
        : [
            fieldInvalid(
              path,
              name,
              "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            ),
          ]),
    ];
  });
  return [...wrong, ...repeated];
}

function constraintErrors(constraint: Json, names: ReadonlySet<string>, where: string): FieldError[] {
  const errors = namedErrors(constraint, names, where);
  const given = ["matchAttribute", "distinctAttribute"].filter((part) => constraint[part] !== undefined);
  if (given.length === 0)
    return [
      ...errors,
      fieldRequired(
        where,
        'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set',
      ),
    ];
  return [
    ...errors,
    ...given.flatMap((part) => attributeNameErrors(String(constraint[part]), `${where}.${part}`, true)),
  ];
}

const C_IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const C_IDENTIFIER_TEXT =
  "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";

const DOMAIN_LENGTH_MAX = 63;
const IDENTIFIER_LENGTH_MAX = 32;

const identifierErrors = (name: string, path: string): FieldError[] => [
  ...(name.length > IDENTIFIER_LENGTH_MAX ? [fieldTooLong(path, IDENTIFIER_LENGTH_MAX)] : []),
  ...(C_IDENTIFIER.test(name) ? [] : [fieldInvalid(path, name, C_IDENTIFIER_TEXT)]),
];

/** A name with the domain of who defines it, which may be left out where the driver is known. */
function attributeNameErrors(name: string, path: string, needsDomain: boolean): FieldError[] {
  const [domain = "", identifier, ...more] = name.split("/");
  if (identifier === undefined)
    return [
      ...identifierErrors(name, path),
      ...(needsDomain
        ? [fieldInvalid(path, name, "a fully qualified name must be a domain and a name separated by a slash")]
        : []),
    ];
  // What has more parts than two is nobody's to look at.
  if (more.length > 0) return [];
  return [
    ...(domain === ""
      ? [fieldInvalid(path, domain, "the domain must not be empty")]
      : domain.length > DOMAIN_LENGTH_MAX
        ? [fieldTooLong(path, DOMAIN_LENGTH_MAX)]
        : subdomainErrorsAt(domain, path)),
    ...(identifier === ""
      ? [fieldInvalid(path, identifier, "the name must not be empty")]
      : identifierErrors(identifier, path)),
  ];
}

/** What results and configurations may name: requests, and alternatives of them. */
function requestNames(spec: Json): ReadonlySet<string> {
  const names = new Set<string>();
  for (const request of listAt(spec, "devices.requests")) {
    const name = String(request["name"] ?? "");
    // A name that cannot be one names nothing.
    if (DNS_LABEL.test(name)) names.add(name);
    for (const one of listAt(request, "firstAvailable")) names.add(`${name}/${String(one["name"] ?? "")}`);
  }
  return names;
}

function claimErrors(spec: Json, where: string): FieldError[] {
  const devices = `${where}.devices`;
  const requests = listAt(spec, "devices.requests");
  const names = requestNames(spec);
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  const repeated: FieldError[] = [];
  for (const [at, request] of requests.entries()) {
    const name = String(request["name"] ?? "");
    errors.push(...requestErrors(request, `${devices}.requests[${at}]`));
    if (seen.has(name)) repeated.push(fieldDuplicate(`${devices}.requests[${at}]`, name));
    if (DNS_LABEL.test(name)) seen.add(name);
  }
  return [
    ...errors,
    ...repeated,
    ...listAt(spec, "devices.constraints").flatMap((constraint, at) =>
      constraintErrors(constraint, names, `${devices}.constraints[${at}]`),
    ),
    ...listAt(spec, "devices.config").flatMap((config, at) => {
      const path = `${devices}.config[${at}]`;
      return [...namedErrors(config, names, path), ...configErrors(config, path)];
    }),
  ];
}

/** How many devices are asked for, where nothing says so. */
function withAmounts(object: KubeObject, path: readonly string[]): KubeObject {
  const requests = listAt(object, path.join("."));
  const amount = (asked: Json): Json => {
    const mode = filled(asked, { allocationMode: "ExactCount" });
    return mode["allocationMode"] === "ExactCount" && !mode["count"] ? { ...mode, count: 1 } : mode;
  };
  const next = requests.map((request) => {
    const exactly = request["exactly"];
    const alternatives = listAt(request, "firstAvailable");
    const counted = isMap(exactly) ? amount(exactly as Json) : exactly;
    const others = alternatives.map(amount);
    return counted === exactly && others.every((one, at) => one === alternatives[at])
      ? request
      : {
          ...request,
          ...(counted === undefined ? {} : { exactly: counted }),
          ...(others.length === 0 ? {} : { firstAvailable: others }),
        };
  });
  return next.every((request, at) => request === requests[at]) ? object : setPath(object, path, next);
}

function classErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const name = spec["extendedResourceName"];
  return [
    ...selectorErrors(spec, "spec"),
    ...listAt(spec, "config").flatMap((config, at) => configErrors(config, `spec.config[${at}]`)),
    ...(name === undefined || isExtendedName(String(name))
      ? []
      : [fieldInvalid("spec.extendedResourceName", name, "must be a valid extended resource name")]),
  ];
}

const isExtendedName = (name: string) =>
  name.includes("/") &&
  !name.split("/")[0]?.endsWith("kubernetes.io") &&
  !name.startsWith("requests.") &&
  labelKeyErrors(`requests.${name}`).length === 0;

const SEMANTIC_VERSION = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z-.]+)?(?:\+[0-9A-Za-z-.]+)?$/;
const VALUES = ["int", "bool", "string", "version"];
const ATTRIBUTE_LENGTH_MAX = 64;

/** An attribute as Go writes it, with every kind of value there is. */
const shownAttribute = (value: Json): Json =>
  Object.fromEntries(
    ["", "s"].flatMap((plural) =>
      VALUES.map((kind) => [
        `${kind.charAt(0).toUpperCase()}${kind.slice(1)}Value${plural}`,
        value[kind + plural] ?? null,
      ]),
    ),
  );

function attributeErrors(value: Json, where: string): FieldError[] {
  const given = VALUES.filter((kind) => value[kind] !== undefined && value[kind] !== null);
  if (given.length !== 1)
    return [
      fieldInvalid(where, given.length === 0 ? "" : shownAttribute(value), "exactly one value must be specified"),
    ];
  const [kind] = given as [string];
  if (kind !== "string" && kind !== "version") return [];
  const text = String(value[kind]);
  return [
    ...(kind === "version" && !SEMANTIC_VERSION.test(text)
      ? [fieldInvalid(`${where}.version`, text, "must be a string compatible with semver.org spec 2.0.0")]
      : []),
    ...(text.length > ATTRIBUTE_LENGTH_MAX ? [fieldTooLong(`${where}.${kind}`, ATTRIBUTE_LENGTH_MAX)] : []),
  ];
}

function deviceErrors(device: Json, where: string): FieldError[] {
  const entries = (part: string) => Object.entries((device[part] ?? {}) as Readonly<Record<string, Json>>);
  return [
    ...dnsLabelErrors(device["name"], `${where}.name`),
    ...entries("attributes").flatMap(([name, value]) => [
      ...attributeNameErrors(name, `${where}.attributes`, false),
      ...attributeErrors(value, `${where}.attributes[${name}]`),
    ]),
    ...entries("capacity").flatMap(([name]) => attributeNameErrors(name, `${where}.capacity`, false)),
    ...taintErrors(device, where),
  ];
}

const PLACES = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];

function sliceErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const pool = (spec["pool"] ?? {}) as Json;
  const [generation, count] = [pool["generation"], pool["resourceSliceCount"]].map((value) => Number(value ?? 0));
  const errors = driverErrors(spec["driver"], "spec.driver");
  errors.push(...poolErrors(pool["name"], "spec.pool.name"));
  if ((count ?? 0) <= 0) errors.push(fieldInvalid("spec.pool.resourceSliceCount", count, "must be greater than zero"));
  if ((generation ?? 0) < 0)
    errors.push(fieldInvalid("spec.pool.generation", generation, "must be greater than or equal to zero"));
  return errors;
}

/** Where the devices of a slice are, and what they are. */
function sliceDeviceErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const places = PLACES.filter((part) => spec[part] !== undefined && spec[part] !== "" && spec[part] !== false);
  const errors = spec["nodeName"] ? subdomainErrorsAt(spec["nodeName"], "spec.nodeName") : [];
  if (isMap(spec["nodeSelector"])) errors.push(...nodeErrors(spec["nodeSelector"] as Json, "spec.nodeSelector"));
  // What may be left out says something where it is there.
  for (const part of PLACES)
    if (spec[part] === "")
      errors.push(fieldInvalid(`spec.${part}`, "", "must be either unset or set to a non-empty string"));
    else if (spec[part] === false)
      errors.push(fieldInvalid(`spec.${part}`, false, "must be either unset or set to true"));
  if (places.length !== 1)
    errors.push(
      places.length === 0
        ? fieldRequired(
            "spec",
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
          )
        : fieldInvalid(
            "spec",
            `{${places.map((part) => `\`${part}\``).join(", ")}}`,
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
          ),
    );
  const hadName = repetitions();
  const repeated: FieldError[] = [];
  for (const [at, device] of listAt(spec, "devices").entries()) {
    errors.push(...deviceErrors(device, `spec.devices[${at}]`));
    if (hadName(device["name"])) repeated.push(fieldDuplicate(`spec.devices[${at}]`, device["name"]));
  }
  return [...errors, ...repeated, ...counterErrors(spec)];
}

/** Nodes by one term. */
function nodeErrors(selector: Json, path: string): FieldError[] {
  const terms = selector["nodeSelectorTerms"] as readonly Json[] | undefined;
  return [
    ...nodeSelectorErrors(selector, path),
    ...(terms?.length === 1
      ? []
      : [
          fieldInvalid(
            `${path}.nodeSelectorTerms`,
            terms?.map((term) => goValue("NodeSelectorTerm", term)) ?? null,
            "must have exactly one node selector term",
          ),
        ]),
  ];
}

/** Sets of counters that devices share: each has a name of its own. */
function counterErrors(spec: Json): FieldError[] {
  const sets = listAt(spec, "sharedCounters");
  const wasThere = repetitions();
  const repeated = sets.flatMap(({ name }, at) =>
    wasThere(name) ? [fieldDuplicate(`spec.sharedCounters[${at}]`, name)] : [],
  );
  return [
    ...sets.flatMap(({ name, counters }, at) => {
      const path = `spec.sharedCounters[${at}]`;
      return [
        ...(name ? dnsLabelErrors(name, `${path}.name`) : [fieldRequired(`${path}.name`)]),
        ...(Object.keys((counters ?? {}) as object).length === 0 ? [fieldRequired(`${path}.counters`)] : []),
      ];
    }),
    ...repeated,
  ];
}

/** Taints tell since when they are there. */
function withTaintTimes(object: KubeObject, time: string | undefined): KubeObject {
  const devices = listAt(object, "spec.devices");
  if (time === undefined || devices.every((device) => listAt(device, "taints").every(({ timeAdded }) => timeAdded)))
    return object;
  const next = devices.map((device) =>
    listAt(device, "taints").length === 0
      ? device
      : {
          ...device,
          taints: listAt(device, "taints").map((taint) => ({ ...taint, timeAdded: taint["timeAdded"] ?? time })),
        },
  );
  return setPath(object, ["spec", "devices"], next);
}

const fixedSpec = (type: string) => (object: KubeObject, old: KubeObject) =>
  deepEqual(specOf(object), specOf(old))
    ? []
    : [fieldInvalid("spec", goValue(`io.k8s.api.resource.v1.${type}`, specOf(object)), "field is immutable")];

export const deviceRules: Readonly<Record<string, Strategy>> = {
  "resource.k8s.io/DeviceClass": { rulesAreWhole: true, returnsDeleted: true, validate: classErrors },
  "resource.k8s.io/ResourceClaim": {
    rulesAreWhole: true,
    returnsDeleted: true,
    applyDefaults: (object) => withAmounts(object, ["spec", "devices", "requests"]),
    // What may not change need not be looked at again.
    validateCreate: (object) => claimErrors(specOf(object), "spec"),
    validateUpdate: fixedSpec("ResourceClaimSpec"),
    validateStatus: (object) => {
      const names = requestNames(specOf(object));
      return claimStatusErrors(
        (valueAt(object, "status") ?? {}) as Json,
        (holder, path) => namedErrors(holder, names, path),
        configErrors,
      );
    },
  },
  "resource.k8s.io/ResourceClaimTemplate": {
    rulesAreWhole: true,
    returnsDeleted: true,
    applyDefaults: (object) => withAmounts(object, ["spec", "spec", "devices", "requests"]),
    validate: (object) => [
      ...labelMapErrors(
        (valueAt(object, "spec.metadata.labels") ?? {}) as Readonly<Record<string, string>>,
        "spec.metadata.labels",
      ),
      ...claimErrors((valueAt(object, "spec.spec") ?? {}) as Json, "spec.spec"),
    ],
    validateUpdate: fixedSpec("ResourceClaimTemplateSpec"),
  },
  "resource.k8s.io/ResourceSlice": {
    rulesAreWhole: true,
    returnsDeleted: true,
    fields: (object) => ({
      "spec.nodeName": String(valueAt(object, "spec.nodeName") ?? ""),
      "spec.driver": String(valueAt(object, "spec.driver") ?? ""),
    }),
    prepareForCreate: (object) => withTaintTimes(object, object.metadata.creationTimestamp ?? undefined),
    prepareForUpdate: (object, _old, _context, time) => withTaintTimes(object, time),
    validate: sliceErrors,
    validateNew: sliceDeviceErrors,
    validateUpdate: (object, old) => [
      ...immutableAt(object, old, "spec.pool.name", "spec.driver", "spec.nodeName"),
      ...sliceDeviceErrors(object),
    ],
  },
};
