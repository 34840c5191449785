/** Claims, volumes and what provides them: defaults, what they must keep to, and what of them may change. */
import {
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  formatTime,
  type KubeObject,
  labelKeyErrors,
  parseQuantity,
  setPath,
  withMetadata,
} from "#machinery";
import { copyWithout, deepEqual } from "#base";
import type { Strategy } from "../definition.ts";
import {
  filled,
  heldAt,
  labelSelectorErrors,
  listAt,
  NOT_NEGATIVE,
  repetitions,
  specOf,
  valueAt,
  FORMER_CLASS,
} from "./checks.ts";
import { goDiff, goValue } from "./go-values.ts";
import { dnsLabelErrors, nameErrorsAt, subdomainErrorsAt } from "./name-checks.ts";
import type { Json } from "./pod-defaults.ts";
import { nodeSelectorErrors } from "./pod-scheduling.ts";
import { csiDriverErrors, initiatorErrors, volumeSourceErrors } from "./pod-volumes.ts";
import { immutableAt } from "./workload-rules.ts";
import { accessModeErrors, claimSpecErrors } from "./volume-claims.ts";

const withSpec = (object: KubeObject, spec: Json): KubeObject =>
  spec === (object as { spec?: Json }).spec ? object : ({ ...object, spec } as KubeObject);

const CLAIM_FIXED =
  "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/** What a claim is filled from: an old field for claims and snapshots, and a new one for everything. */
function withSources(claim: KubeObject, isNew: boolean): KubeObject {
  const spec = specOf(claim);
  const isOld = (source: Json) =>
    (!source["apiGroup"] && source["kind"] === "PersistentVolumeClaim") ||
    (source["apiGroup"] === "snapshot.storage.k8s.io" && source["kind"] === "VolumeSnapshot");
  const given = spec["dataSource"] as Json | undefined;
  const source =
    isNew && given !== undefined && spec["dataSourceRef"] === undefined && !isOld(given) ? undefined : given;
  const reference = (spec["dataSourceRef"] ?? source) as Json | undefined;
  const { namespace, ...local } = (reference ?? {}) as Record<string, unknown>;
  const { dataSource: _source, dataSourceRef: _reference, ...rest } = spec as Record<string, unknown>;
  if (reference === undefined) return given === undefined ? claim : withSpec(claim, rest);
  return withSpec(claim, {
    ...rest,
    ...(source === undefined && namespace ? {} : { dataSource: source ?? { apiGroup: null, ...local } }),
    dataSourceRef: { apiGroup: null, ...reference },
  });
}

function sourceMismatch(spec: Json): FieldError[] {
  const [source, reference] = [spec["dataSource"], spec["dataSourceRef"]] as (Json | undefined)[];
  if (source === undefined || reference === undefined) return [];
  const shown = (value: Json) => [value["apiGroup"] ?? "", value["kind"] ?? "", value["name"] ?? ""];
  return deepEqual(shown(source), shown(reference)) ? [] : [fieldInvalid("spec", {}, "must match dataSourceRef")];
}

/** Whether a claim's class moved from the annotation that named it formerly into its spec. */
function isClassMoved(object: KubeObject, old: KubeObject): boolean {
  const had = old.metadata.annotations?.[FORMER_CLASS];
  const has = object.metadata.annotations?.[FORMER_CLASS];
  return (
    had !== undefined &&
    specOf(old)["storageClassName"] === undefined &&
    specOf(object)["storageClassName"] === had &&
    (has === undefined || has === had)
  );
}

function withoutClass({ storageClassName: _class, ...rest }: Json): Json {
  return rest;
}

function claimUpdateErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const [spec, before] = [specOf(object), specOf(old)];
  const isBound = valueAt(object, "status.phase") === "Bound";
  let expected: Json = before["volumeName"] ? before : { ...before, volumeName: spec["volumeName"] ?? "" };
  if (!expected["volumeName"]) {
    const { volumeName: _none, ...rest } = expected as Record<string, unknown>;
    expected = rest;
  }
  let changed: Json = isClassMoved(object, old) ? withoutClass(spec) : spec;
  if (isBound) {
    const storage = valueAt(before, "resources.requests.storage");
    if (storage !== undefined && valueAt(spec, "resources.requests.storage") !== undefined)
      changed = setPath(changed, ["resources", "requests", "storage"], storage);
    const { volumeAttributesClassName: _class, ...rest } = changed as Record<string, unknown>;
    changed =
      before["volumeAttributesClassName"] === undefined
        ? rest
        : { ...rest, volumeAttributesClassName: before["volumeAttributesClassName"] };
  }
  const errors: FieldError[] = [];
  if (!deepEqual(changed, expected))
    errors.push(fieldForbidden("spec", `${CLAIM_FIXED}\n${goDiff("PersistentVolumeClaimSpec", expected, changed)}`));
  // What is not said is nothing.
  const [asked, had, has] = [
    valueAt(spec, "resources.requests.storage"),
    valueAt(before, "resources.requests.storage"),
    valueAt(old, "status.capacity.storage"),
  ].map((value) => parseQuantity(String(value ?? "0"))?.nano ?? 0n) as [bigint, bigint, bigint];
  if (asked < had && asked <= has)
    errors.push(fieldForbidden("spec.resources.requests.storage", "field can not be less than status.capacity"));
  if (!deepEqual(spec["volumeMode"], before["volumeMode"]))
    errors.push(fieldInvalid("volumeMode", spec["volumeMode"] ?? null, "field is immutable"));
  return errors;
}

const RESIZES = [
  "ControllerResizeInProgress",
  "ControllerResizeInfeasible",
  "NodeResizeInProgress",
  "NodeResizeInfeasible",
  "NodeResizePending",
];

/** What a claim was given: amounts that can be, and steps of a change that are known. */
function claimStatusErrors(claim: KubeObject): FieldError[] {
  const amounts = (name: string) =>
    Object.entries((valueAt(claim, `status.${name}`) ?? {}) as Readonly<Record<string, unknown>>);
  const isNamed = (name: string) => name === "storage" || name.includes("/");
  const quantityErrors = (part: string) =>
    amounts(part).flatMap(([name, amount]): FieldError[] =>
      (parseQuantity(String(amount))?.nano ?? 0n) < 0n
        ? [
            {
              type: "FieldValueInvalid",
              field: `status.${part}[${name}]`,
              message: `Invalid value: ${String(amount)}: must be a valid resource quantity`,
            },
          ]
        : [],
    );
  return [
    ...quantityErrors("capacity"),
    ...amounts("allocatedResourceStatuses").flatMap(([name, value]) => [
      ...(isNamed(name) ? [] : [fieldNotSupported("status.allocatedResourceStatuses", name, ["storage"])]),
      ...(RESIZES.includes(String(value))
        ? []
        : [fieldNotSupported("status.allocatedResourceStatuses", name, RESIZES)]),
    ]),
    ...amounts("allocatedResources").flatMap(([name]) =>
      isNamed(name) ? [] : [fieldNotSupported("status.allocatedResources", name, ["storage"])],
    ),
    ...quantityErrors("allocatedResources"),
  ];
}

const VOLUME_SOURCES = [
  "gcePersistentDisk",
  "awsElasticBlockStore",
  "hostPath",
  "glusterfs",
  "nfs",
  "rbd",
  "quobyte",
  "iscsi",
  "flexVolume",
  "cinder",
  "cephfs",
  "fc",
  "flocker",
  "azureFile",
  "vsphereVolume",
  "azureDisk",
  "photonPersistentDisk",
  "portworxVolume",
  "scaleIO",
  "local",
  "storageos",
  "csi",
];
/** In the order kube-apiserver looks at them. */
const LOOKED_AT = [
  "hostPath",
  "gcePersistentDisk",
  "awsElasticBlockStore",
  "glusterfs",
  "flocker",
  "nfs",
  "rbd",
  "quobyte",
  "cephfs",
  "iscsi",
  "cinder",
  "fc",
  "flexVolume",
  "azureFile",
  "vsphereVolume",
  "photonPersistentDisk",
  "portworxVolume",
  "azureDisk",
  "scaleIO",
  "local",
  "storageos",
  "csi",
];

function sourceErrors(kind: string, source: Json, path: string, name: string): FieldError[] {
  switch (kind) {
    case "local":
      return source["path"]
        ? String(source["path"]).split("/").includes("..")
          ? [fieldInvalid(`${path}.path`, source["path"], "must not contain '..'")]
          : []
        : [fieldRequired(`${path}.path`)];
    case "csi":
      return [
        ...csiDriverErrors(source["driver"], `${path}.driver`),
        ...(source["volumeHandle"] ? [] : [fieldRequired(`${path}.volumeHandle`)]),
        ...[
          "controllerPublishSecretRef",
          "controllerExpandSecretRef",
          "nodePublishSecretRef",
          "nodeExpandSecretRef",
        ].flatMap((name) => {
          const reference = source[name] as Json | undefined;
          return reference === undefined
            ? []
            : [
                ...(reference["name"]
                  ? subdomainErrorsAt(reference["name"], `${path}.${name}.name`)
                  : [fieldRequired(`${path}.${name}.name`)]),
                ...nameErrorsAt(reference["namespace"], `${path}.${name}.namespace`),
              ];
        }),
      ];
    case "azureFile":
      return [
        ...volumeSourceErrors(kind, source, path),
        ...(source["secretNamespace"] === "" ? [fieldRequired(`${path}.secretNamespace`)] : []),
      ];
    case "iscsi":
      return [
        ...volumeSourceErrors(kind, source, path).map((error) => ({
          ...error,
          message: error.message.replace(" starting with iqn, eui, or naa", ""),
        })),
        ...(source["secretRef"] !== undefined && !valueAt(source, "secretRef.name")
          ? [fieldRequired(`${path}.secretRef.name`)]
          : []),
        ...initiatorErrors(source, name).map((why) =>
          fieldInvalid(`${path}.targetportal`, source["targetPortal"], why),
        ),
      ];
    case "glusterfs": {
      const namespace = source["endpointsNamespace"];
      return [
        ...volumeSourceErrors(kind, source, path),
        ...(namespace === undefined || dnsLabelErrors(namespace, path).length === 0
          ? []
          : namespace === ""
            ? [
                fieldInvalid(
                  `${path}.endpointsNamespace`,
                  namespace,
                  "if the endpointnamespace is set, it must be a valid namespace name",
                ),
              ]
            : dnsLabelErrors(namespace, `${path}.endpointsNamespace`)),
      ];
    }
    default:
      return volumeSourceErrors(kind, source, path);
  }
}

const NANO = 1_000_000_000n;
/** An amount below nothing as a whole number: what is not whole is rounded away from zero. */
const wholeAmount = (nano: bigint) => Number((nano - (NANO - 1n)) / NANO);

function capacityErrors(spec: Json): FieldError[] {
  const capacity = (spec["capacity"] ?? {}) as Readonly<Record<string, string>>;
  const names = Object.keys(capacity);
  const held = heldAt(spec, "capacity") as typeof capacity | null;
  const shown = JSON.stringify(
    held === null ? null : Object.fromEntries(Object.entries(held).sort(([one], [other]) => (one < other ? -1 : 1))),
  );
  const errors: FieldError[] = names.length === 0 ? [fieldRequired("spec.capacity")] : [];
  if (names.length !== 1 || capacity["storage"] === undefined)
    errors.push({
      type: "FieldValueNotSupported",
      field: "spec.capacity",
      message: `Unsupported value: ${shown}: supported values: "storage"`,
    });
  for (const [name, amount] of Object.entries(capacity)) {
    const path = `spec.capacity[${name}]`;
    const { nano } = parseQuantity(amount) ?? { nano: 1n };
    if (nano < 0n) errors.push(fieldInvalid(path, wholeAmount(nano), "must be a valid resource quantity"));
    if (nano <= 0n) errors.push(fieldInvalid(path, amount, "must be greater than zero"));
  }
  return errors;
}

const RECLAIM = ["Delete", "Recycle", "Retain"];

function volumeErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const errors = [...accessModeErrors(spec, "spec"), ...capacityErrors(spec)];
  const policy = spec["persistentVolumeReclaimPolicy"];
  if (policy && !RECLAIM.includes(String(policy)))
    errors.push(fieldNotSupported("spec.persistentVolumeReclaimPolicy", policy, RECLAIM));
  const required = valueAt(spec, "nodeAffinity.required") as Json | undefined;
  if (spec["nodeAffinity"] !== undefined && required === undefined)
    errors.push(fieldRequired("spec.nodeAffinity.required", "must specify required node constraints"));
  if (required !== undefined) errors.push(...nodeSelectorErrors(required, "spec.nodeAffinity.required"));
  const [first, ...others] = LOOKED_AT.filter((kind) => spec[kind] !== undefined);
  if (first === undefined) errors.push(fieldRequired("spec", "must specify a volume type"));
  else errors.push(...sourceErrors(first, spec[first] as Json, `spec.${first}`, object.metadata.name ?? ""));
  for (const other of others) errors.push(fieldForbidden(`spec.${other}`, "may not specify more than 1 volume type"));
  if (first === "local" && spec["nodeAffinity"] === undefined)
    errors.push(fieldRequired("spec.nodeAffinity", "Local volume requires node affinity"));
  if (policy === "Recycle" && /^\/+$/.test(String(valueAt(spec, "hostPath.path") ?? "")))
    errors.push(
      fieldForbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'"),
    );
  if (spec["storageClassName"]) errors.push(...subdomainErrorsAt(spec["storageClassName"], "spec.storageClassName"));
  const mode = spec["volumeMode"];
  if (mode !== undefined && mode !== "Block" && mode !== "Filesystem")
    errors.push(fieldNotSupported("spec.volumeMode", mode, ["Block", "Filesystem"]));
  const attributes = spec["volumeAttributesClassName"];
  if (attributes !== undefined) {
    const path = "spec.volumeAttributesClassName";
    errors.push(
      ...(attributes === ""
        ? [fieldRequired(path, "an empty string is disallowed")]
        : subdomainErrorsAt(attributes, path)),
    );
    if (spec["csi"] === undefined)
      errors.push(fieldRequired("spec.csi", "has to be specified when using volumeAttributesClassName"));
  }
  return errors;
}

const sourceOf = (object: KubeObject): Json =>
  Object.fromEntries(
    VOLUME_SOURCES.flatMap((kind) => {
      const source = specOf(object)[kind];
      return source === undefined ? [] : [[kind, source]];
    }),
  );

/** An affinity in which requirements without a key have the one they had: that a key is missing is told elsewhere. */
function withKeys(affinity: unknown, had: unknown): unknown {
  const path = "required.nodeSelectorTerms";
  if (affinity === undefined) return affinity;
  const terms = listAt(affinity, path).map((term, at) => {
    const before = listAt(had, path)[at];
    const filledIn = ["matchExpressions", "matchFields"].flatMap((part) =>
      term[part] === undefined
        ? []
        : [
            [
              part,
              listAt(term, part).map((one, number) =>
                one["key"] ? one : { ...one, key: listAt(before, part)[number]?.["key"] },
              ),
            ],
          ],
    );
    return { ...term, ...(Object.fromEntries(filledIn) as Json) };
  });
  return setPath(affinity, path.split("."), terms);
}

/** The one thing that may be added to a volume's source: the Secret its driver grows it with. */
function withoutNewSecret(source: Json, before: Json): Json {
  const [csi, old] = [source["csi"] as Json | undefined, before["csi"] as Json | undefined];
  const isNew = csi?.["controllerExpandSecretRef"] !== undefined && old?.["controllerExpandSecretRef"] === undefined;
  return isNew && old !== undefined ? { ...source, csi: copyWithout(csi, "controllerExpandSecretRef") } : source;
}

function volumeUpdateErrors(object: KubeObject, old: KubeObject): FieldError[] {
  const before = sourceOf(old);
  const source = withoutNewSecret(sourceOf(object), before);
  const errors: FieldError[] = [];
  if (!deepEqual(source, before))
    errors.push(
      fieldForbidden(
        "spec.persistentvolumesource",
        `spec.persistentvolumesource is immutable after creation\n${goDiff("PersistentVolumeSource", before, source)}`,
      ),
    );
  if (!deepEqual(specOf(object)["volumeMode"], specOf(old)["volumeMode"]))
    errors.push(fieldInvalid("volumeMode", specOf(object)["volumeMode"] ?? null, "field is immutable"));
  const [affinity, had] = [specOf(object)["nodeAffinity"], specOf(old)["nodeAffinity"]];
  if (had !== undefined && !deepEqual(withKeys(affinity, had), had))
    errors.push(
      fieldInvalid(
        "nodeAffinity",
        affinity === undefined ? null : goValue("VolumeNodeAffinity", affinity),
        "field is immutable, except for updating from beta label to GA",
      ),
    );
  if (
    specOf(old)["volumeAttributesClassName"] !== undefined &&
    specOf(object)["volumeAttributesClassName"] === undefined
  )
    errors.push(fieldForbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden"));
  return errors;
}

function classErrors(object: KubeObject): FieldError[] {
  const provisioner = String(valueAt(object, "provisioner") ?? "");
  const errors: FieldError[] =
    provisioner === ""
      ? [fieldRequired("provisioner")]
      : labelKeyErrors(provisioner.toLowerCase()).map((text) =>
          fieldInvalid("provisioner", provisioner.toLowerCase(), text),
        );
  if (Object.hasOwn((valueAt(object, "parameters") ?? {}) as object, ""))
    errors.push(fieldInvalid("parameters", "", "field can not be empty."));
  for (const [path, allowed] of [
    ["reclaimPolicy", ["Delete", "Retain"]],
    ["volumeBindingMode", ["Immediate", "WaitForFirstConsumer"]],
  ] as const) {
    const value = valueAt(object, path);
    if (!allowed.includes(value as never) && !(path === "reclaimPolicy" && value === ""))
      errors.push(fieldNotSupported(path, value ?? "", allowed));
  }
  const terms = listAt(object, "allowedTopologies");
  // kube-apiserver compares each with as many that say nothing as there are terms, and with those before it.
  const looked: unknown[] = terms.map(() => ({}));
  for (const [at, term] of terms.entries()) {
    const path = `allowedTopologies[${at}]`;
    const values = Object.fromEntries(
      listAt(term, "matchLabelExpressions").map((one) => [
        String(one["key"] ?? ""),
        [...new Set(listAt(one, "values") as unknown as readonly string[])].sort(),
      ]),
    );
    errors.push(...topologyErrors(term, path));
    errors.push(
      ...looked
        .filter((other) => deepEqual(other, values))
        .map(() => fieldDuplicate(`${path}.matchLabelExpressions`, "")),
    );
    looked.push(values);
  }
  return errors;
}

function topologyErrors(term: Json, path: string): FieldError[] {
  const hadKey = repetitions();
  return listAt(term, "matchLabelExpressions").flatMap((expression, at) => {
    const where = `${path}.matchLabelExpressions[${at}]`;
    const values = listAt(expression, "values") as unknown as readonly string[];
    const errors: FieldError[] = values.length === 0 ? [fieldRequired(`${where}.values`)] : [];
    const wasThere = repetitions();
    for (const [number, value] of values.entries()) {
      if (wasThere(value)) errors.push(fieldDuplicate(`${where}.values[${number}]`, value));
    }
    const { key } = expression;
    errors.push(...labelKeyErrors(String(key ?? "")).map((text) => fieldInvalid(`${where}.key`, key ?? "", text)));
    if (hadKey(key)) errors.push(fieldDuplicate(`${where}.key`, key));
    return errors;
  });
}

const TOKEN_SECONDS_MIN = 600;

function driverErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const errors: FieldError[] = [];
  const groups = ["File", "None", "ReadWriteOnceWithFSType"];
  if (spec["fsGroupPolicy"] !== undefined && !groups.includes(String(spec["fsGroupPolicy"])))
    errors.push(fieldNotSupported("spec.fsGroupPolicy", spec["fsGroupPolicy"], groups));
  const wasThere = repetitions();
  for (const [at, { audience, expirationSeconds }] of listAt(spec, "tokenRequests").entries()) {
    const path = `spec.tokenRequests[${at}]`;
    if (wasThere(audience)) {
      errors.push(fieldDuplicate(`${path}.audience`, audience));
      continue;
    }
    if (expirationSeconds !== undefined && Number(expirationSeconds) < TOKEN_SECONDS_MIN)
      errors.push(
        fieldInvalid(`${path}.expirationSeconds`, expirationSeconds, "may not specify a duration less than 10 minutes"),
      );
  }
  for (const mode of listAt(spec, "volumeLifecycleModes") as readonly unknown[])
    if (mode !== "Persistent" && mode !== "Ephemeral")
      errors.push(fieldNotSupported("spec.volumeLifecycleModes", mode, ["Persistent", "Ephemeral"]));
  const period = spec["nodeAllocatableUpdatePeriodSeconds"];
  if (typeof period === "number" && period < 10)
    errors.push(
      fieldInvalid("spec.nodeAllocatableUpdatePeriodSeconds", period, "must be greater than or equal to 10 seconds"),
    );
  const isInSecrets = spec["serviceAccountTokenInSecrets"];
  if (isInSecrets !== undefined && listAt(spec, "tokenRequests").length === 0)
    errors.push(
      fieldInvalid(
        "spec.serviceAccountTokenInSecrets",
        isInSecrets,
        "serviceAccountTokenInSecrets is set but no tokenRequests are specified",
      ),
    );
  return errors;
}

function driverUpdateErrors(object: KubeObject, old: KubeObject): FieldError[] {
  return [
    ...(valueAt(object, "spec.attachRequired") === valueAt(old, "spec.attachRequired")
      ? []
      : [fieldInvalid("spec.attachedRequired", valueAt(object, "spec.attachRequired") ?? null, "field is immutable")]),
    ...immutableAt(object, old, "spec.volumeLifecycleModes"),
  ];
}

const NODE_ID_MAX = 256;
const STORAGE = "io.k8s.api.storage.v1.";

function nodeErrors(object: KubeObject): FieldError[] {
  const hadName = repetitions();
  return listAt(object, "spec.drivers").flatMap((driver, at) => {
    const path = `spec.drivers[${at}]`;
    const errors = csiDriverErrors(driver["name"], `${path}.name`);
    const id = String(driver["nodeID"] ?? "");
    if (id === "") errors.push(fieldRequired(`${path}.nodeID`));
    else if (id.length > NODE_ID_MAX)
      errors.push(fieldInvalid(`${path}.nodeID`, id, `must be ${NODE_ID_MAX} characters or less`));
    const count = valueAt(driver, "allocatable.count");
    if (typeof count === "number" && count < 0)
      errors.push(fieldInvalid(`${path}.allocatable.count`, count, NOT_NEGATIVE));
    const hadKey = repetitions();
    for (const key of listAt(driver, "topologyKeys") as readonly unknown[]) {
      if (key === "") errors.push(fieldRequired(path));
      errors.push(...labelKeyErrors(String(key)).map((text) => fieldInvalid(path, key, text)));
      if (hadKey(key)) errors.push(fieldDuplicate(path, key));
    }
    if (hadName(driver["name"])) errors.push(fieldDuplicate(`${path}.name`, driver["name"]));
    return errors;
  });
}

const NOT_INLINE = ["capacity", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "volumeMode"];

/** A volume that is part of a pod: a driver's, and nothing that belongs to one of its own. */
function inlineErrors(spec: Json, path: string): FieldError[] {
  const context = "may not be specified in the context of inline volumes";
  const has = (part: string) => {
    const value = spec[part];
    return value !== undefined && value !== "" && !(part === "capacity" && Object.keys(value as object).length === 0);
  };
  const errors: FieldError[] = NOT_INLINE.slice(0, 4)
    .filter(has)
    .map((part) => fieldForbidden(`${path}.${part}`, context));
  if (spec["csi"] === undefined)
    errors.push(fieldRequired(`${path}.csi`, "has to be specified in the context of inline volumes"));
  errors.push(...accessModeErrors(spec, path));
  const [first, ...others] = LOOKED_AT.filter((kind) => spec[kind] !== undefined);
  if (first === undefined) errors.push(fieldRequired(path, "must specify a volume type"));
  else errors.push(...sourceErrors(first, spec[first] as Json, `${path}.${first}`, ""));
  for (const other of others)
    errors.push(fieldForbidden(`${path}.${other}`, "may not specify more than 1 volume type"));
  return errors;
}

function attachmentErrors(object: KubeObject): FieldError[] {
  const spec = specOf(object);
  const source = (spec["source"] ?? {}) as Json;
  const [inline, volume] = [source["inlineVolumeSpec"], source["persistentVolumeName"]];
  const errors = csiDriverErrors(spec["attacher"], "spec.attacher");
  if ((inline === undefined) === (volume === undefined || volume === null))
    errors.push(
      inline === undefined
        ? fieldRequired("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        : fieldForbidden("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
    );
  else if (inline !== undefined) errors.push(...inlineErrors(inline as Json, "spec.source.inlineVolumeSpec"));
  else {
    const path = "spec.source.persistentVolumeName";
    if (volume === "") errors.push(fieldRequired(path, "must specify non empty persistentVolumeName"));
    errors.push(...subdomainErrorsAt(volume, path));
  }
  return [...errors, ...subdomainErrorsAt(spec["nodeName"], "spec.nodeName")];
}

/** Codes that drivers gave what went wrong. */
const attachmentCodeErrors = (object: KubeObject): FieldError[] =>
  ["status.attachError.errorCode", "status.detachError.errorCode"].flatMap((path) => {
    const code = valueAt(object, path);
    return typeof code === "number" && code < 0
      ? [fieldInvalid(path, code, "must be between 0 and 2147483647, inclusive")]
      : [];
  });

function capacityReportErrors(object: KubeObject): FieldError[] {
  const topology = valueAt(object, "nodeTopology");
  const capacity = valueAt(object, "capacity");
  const quantity = capacity === undefined ? undefined : parseQuantity(String(capacity));
  return [
    ...(topology === undefined ? [] : labelSelectorErrors(topology, "nodeTopology")),
    ...subdomainErrorsAt(valueAt(object, "storageClassName"), "storageClassName"),
    ...(quantity !== undefined && quantity.nano < 0n ? [fieldInvalid("capacity", capacity, NOT_NEGATIVE)] : []),
  ];
}

const attributesDriverErrors = (name: string): FieldError[] =>
  name === ""
    ? [fieldRequired("driverName")]
    : labelKeyErrors(name.toLowerCase()).map((text) => fieldInvalid("driverName", name.toLowerCase(), text));

/** A status that names no phase is that of something new. */
const withPhase = (object: KubeObject): KubeObject =>
  valueAt(object, "status.phase") ? object : setPath(object, ["status", "phase"], "Pending");

/** When a volume came into its phase: told by whoever writes it, or the time of the write that changed the phase. */
function withPhaseTime(object: KubeObject, old: KubeObject, time: string): KubeObject {
  const path = "status.lastPhaseTransitionTime";
  const [given, before] = [valueAt(object, path), valueAt(old, path)];
  if (valueAt(object, "status.phase") === valueAt(old, "status.phase"))
    return given === undefined && before !== undefined ? setPath(object, path.split("."), before) : object;
  return given === undefined || given === before ? setPath(object, path.split("."), time) : object;
}

const nowOf = (object: KubeObject) => object.metadata.creationTimestamp ?? formatTime(Date.parse("1970-01-01"));

export const storageRules: Readonly<Record<string, Strategy>> = {
  PersistentVolumeClaim: {
    rulesAreWhole: true,
    returnsDeleted: true,
    applyDefaults: (object) => withSpec(object, filled(specOf(object), { volumeMode: "Filesystem" })),
    prepareForCreate: (object) => ({ ...withSources(object, true), status: { phase: "Pending" } }) as KubeObject,
    prepareForUpdate: (object) => withPhase(withSources(object, false)),
    validate: (object, old) => [
      ...claimSpecErrors(specOf(object), "spec", old === undefined ? {} : specOf(old)),
      ...sourceMismatch(specOf(object)),
    ],
    validateUpdate: claimUpdateErrors,
    validateStatus: claimStatusErrors,
  },
  PersistentVolume: {
    rulesAreWhole: true,
    returnsDeleted: true,
    applyDefaults: (object) => {
      const complete = filled(specOf(object), {
        volumeMode: "Filesystem",
        persistentVolumeReclaimPolicy: "Retain",
      });
      const host = complete["hostPath"] as Json | undefined;
      return withSpec(
        object,
        host === undefined || host["type"] !== undefined ? complete : { ...complete, hostPath: { ...host, type: "" } },
      );
    },
    prepareForCreate: (object) =>
      ({ ...object, status: { phase: "Pending", lastPhaseTransitionTime: nowOf(object) } }) as KubeObject,
    prepareForUpdate: (object, old, _context, time) => withPhaseTime(withPhase(object), old, time ?? nowOf(object)),
    validate: volumeErrors,
    // Kubernetes looks at the whole of a changed volume twice.
    validateUpdate: (object, old) => [...volumeErrors(object), ...volumeUpdateErrors(object, old)],
  },
  "storage.k8s.io/StorageClass": {
    rulesAreWhole: true,
    returnsDeleted: true,
    applyDefaults: (object) => ({ reclaimPolicy: "Delete", volumeBindingMode: "Immediate", ...object }) as KubeObject,
    validate: classErrors,
    validateUpdate: (object, old) =>
      immutableAt(object, old, "parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
  },
  "storage.k8s.io/VolumeAttributesClass": {
    rulesAreWhole: true,
    returnsDeleted: true,
    validate: (object) => [
      ...attributesDriverErrors(String(valueAt(object, "driverName") ?? "")),
      ...(Object.keys((valueAt(object, "parameters") ?? {}) as object).length === 0
        ? [fieldRequired("parameters", "must contain at least one key/value pair")]
        : []),
      ...(Object.hasOwn((valueAt(object, "parameters") ?? {}) as object, "")
        ? [fieldInvalid("parameters", "", "field can not be empty.")]
        : []),
    ],
    checksChangesFirst: true,
    validateUpdate: (object, old) =>
      ["driverName", "parameters"]
        .filter((path) => !deepEqual(valueAt(object, path), valueAt(old, path)))
        .map((path) => fieldForbidden(path, `updates to ${path} are forbidden.`)),
  },
  "storage.k8s.io/CSIDriver": {
    rulesAreWhole: true,
    returnsDeleted: true,
    applyDefaults: (object) =>
      withSpec(
        object,
        filled(specOf(object), {
          attachRequired: true,
          podInfoOnMount: false,
          volumeLifecycleModes: ["Persistent"],
          storageCapacity: false,
          fsGroupPolicy: "ReadWriteOnceWithFSType",
          requiresRepublish: false,
          seLinuxMount: false,
        }),
      ),
    // Its first version has no number.
    prepareForUpdate: (object, old) =>
      deepEqual(specOf(object), specOf(old))
        ? object
        : withMetadata(object, { generation: (old.metadata.generation ?? 0) + 1 }),
    warnings: (object, old) =>
      (old === undefined || listAt(old, "spec.tokenRequests").length === 0) &&
      listAt(object, "spec.tokenRequests").length > 0 &&
      valueAt(object, "spec.serviceAccountTokenInSecrets") === undefined
        ? [
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes",
          ]
        : [],
    validate: driverErrors,
    validateUpdate: driverUpdateErrors,
  },
  "storage.k8s.io/CSINode": {
    rulesAreWhole: true,
    returnsDeleted: true,
    validate: nodeErrors,
    // Drivers come and go; what one says of itself stays, but for how many volumes it takes.
    validateUpdate: (object, old) => {
      const fixed = ({ allocatable: _count, ...driver }: Json): Json => driver;
      return listAt(old, "spec.drivers").flatMap((before) =>
        listAt(object, "spec.drivers")
          .filter((driver) => driver["name"] === before["name"] && !deepEqual(fixed(driver), fixed(before)))
          .map((driver) =>
            fieldInvalid("spec.drivers", goValue(`${STORAGE}CSINodeDriver`, fixed(driver)), "field is immutable"),
          ),
      );
    },
  },
  "storage.k8s.io/VolumeAttachment": {
    rulesAreWhole: true,
    returnsDeleted: true,
    validate: (object) => [...attachmentErrors(object), ...attachmentCodeErrors(object)],
    validateUpdate: (object, old) =>
      deepEqual(specOf(object), specOf(old))
        ? []
        : [fieldInvalid("spec", goValue(`${STORAGE}VolumeAttachmentSpec`, specOf(object)), "field is immutable")],
  },
  "storage.k8s.io/CSIStorageCapacity": {
    rulesAreWhole: true,
    validate: capacityReportErrors,
    validateUpdate: (object, old) => immutableAt(object, old, "nodeTopology", "storageClassName"),
  },
};
