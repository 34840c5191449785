/** What the volumes of a pod must keep to, in the order and the words of kube-apiserver. */
import {
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  parseQuantity,
  subdomainTexts,
} from "#machinery";
import { validateAnnotations, validateLabels } from "../metadata.ts";
import { listAt, valueAt } from "./checks.ts";
import { dnsLabelErrors, nameErrorsAt, subdomainErrorsAt } from "./name-checks.ts";
import { resourceRefErrors } from "./pod-containers.ts";
import { descendingErrors, hasBacksteps } from "./pod-paths.ts";
import type { Json } from "./pod-defaults.ts";
import { claimSpecErrors } from "./volume-claims.ts";

type Check = (source: Json, path: string) => FieldError[];

const MODE_MAX = 0o777;
const MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive";
const FILE_FIELDS = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const TOKEN_SECONDS_MIN = 600;
const TOKEN_SECONDS_MAX = 2 ** 32;
const CSI_DRIVER_MAX = 63;

const needs = (source: Json, path: string, ...names: readonly string[]): FieldError[] =>
  names.flatMap((name) => (source[name] ? [] : [fieldRequired(`${path}.${name}`)]));

function modeErrors(source: Json, name: string, path: string): FieldError[] {
  const mode = source[name];
  return typeof mode === "number" && (mode < 0 || mode > MODE_MAX)
    ? [fieldInvalid(`${path}.${name}`, mode, MODE_TEXT)]
    : [];
}

const keyToPathErrors = (source: Json, path: string): FieldError[] =>
  listAt(source, "items").flatMap((item, at) => {
    const where = `${path}.items[${at}]`;
    return [
      ...(item["key"] ? [] : [fieldRequired(`${where}.key`)]),
      ...(item["path"] ? localPathErrors(item["path"], `${where}.path`) : [fieldRequired(`${where}.path`)]),
      ...modeErrors(item, "mode", where),
    ];
  });

function localPathErrors(value: unknown, path: string): FieldError[] {
  const errors = descendingErrors(value, path);
  if (errors.length === 0 && String(value).startsWith(".."))
    return [fieldInvalid(path, value, "must not start with '..'")];
  return errors;
}

function partitionErrors(source: Json, path: string): FieldError[] {
  const value = Number(source["partition"] ?? 0);
  return value < 0 || value > 255
    ? [fieldInvalid(`${path}.partition`, value, "must be between 1 and 255, inclusive")]
    : [];
}

/** A path on a host. */
const hostPathErrors: Check = (source, path) => {
  const errors: FieldError[] = [];
  if (!source["path"]) return [fieldRequired(`${path}.path`)];
  if (hasBacksteps(source["path"])) errors.push(fieldInvalid(`${path}.path`, source["path"], "must not contain '..'"));
  const types = ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
  const type = source["type"];
  if (type !== undefined && !types.includes(String(type)))
    errors.push(fieldNotSupported(`${path}.type`, type, types.sort()));
  return errors;
};

const nfsErrors: Check = (source, path) => [
  ...needs(source, path, "server", "path"),
  ...(String(source["path"] ?? "").startsWith("/")
    ? []
    : [fieldInvalid(`${path}.path`, source["path"] ?? "", "must be an absolute path")]),
];

function iscsiErrors(source: Json, path: string): FieldError[] {
  const errors = needs(source, path, "targetPortal");
  const iqn = String(source["iqn"] ?? "");
  if (iqn === "") errors.push(fieldRequired(`${path}.iqn`));
  else if (!/^(iqn|eui|naa)/.test(iqn))
    errors.push(fieldInvalid(`${path}.iqn`, iqn, "must be valid format starting with iqn, eui, or naa"));
  else if (iqn.startsWith("iqn") && !/^iqn\.\d{4}-\d{2}\.([a-zA-Z0-9\-.]+)(:([^,;*&$|\s]+))$/.test(iqn))
    errors.push(fieldInvalid(`${path}.iqn`, iqn, "must be valid format"));
  const lun = Number(source["lun"] ?? 0);
  if (lun < 0 || lun > 255) errors.push(fieldInvalid(`${path}.lun`, lun, "must be between 0 and 255, inclusive"));
  const initiator = source["initiatorName"];
  if (initiator !== undefined && !/^(iqn|eui|naa)/.test(String(initiator)))
    errors.push(
      fieldInvalid(`${path}.initiatorname`, initiator, "must be valid format starting with iqn, eui, or naa"),
    );
  const asks = source["chapAuthDiscovery"] === true || source["chapAuthSession"] === true;
  if (asks && source["secretRef"] === undefined) errors.push(fieldRequired(`${path}.secretRef`));
  return errors;
}

function fcErrors(source: Json, path: string): FieldError[] {
  const names = listAt(source, "targetWWNs").length > 0;
  const ids = listAt(source, "wwids").length > 0;
  const text = "must specify either targetWWNs or wwids, but not both";
  if (!names && !ids) return [fieldRequired(`${path}.targetWWNs`, text)];
  if (names && ids) return [fieldInvalid(`${path}.targetWWNs`, source["targetWWNs"], text)];
  if (!names) return [];
  const lun = source["lun"];
  if (lun === undefined) return [fieldRequired(`${path}.lun`, "lun is required if targetWWNs is specified")];
  return Number(lun) < 0 || Number(lun) > 255
    ? [fieldInvalid(`${path}.lun`, lun, "must be between 0 and 255, inclusive")]
    : [];
}

const DISK_URI = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
const MANAGED_DISK_URI =
  "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";

function azureDiskErrors(source: Json, path: string): FieldError[] {
  const errors = needs(source, path, "diskName", "diskURI");
  const { cachingMode, kind, diskURI } = source;
  if (cachingMode !== undefined && !["None", "ReadOnly", "ReadWrite"].includes(String(cachingMode)))
    errors.push(fieldNotSupported(`${path}.cachingMode`, cachingMode, ["None", "ReadOnly", "ReadWrite"]));
  if (kind !== undefined && !["Dedicated", "Managed", "Shared"].includes(String(kind)))
    errors.push(fieldNotSupported(`${path}.kind`, kind, ["Dedicated", "Managed", "Shared"]));
  const uri = String(diskURI ?? "");
  if (kind !== "Managed" && !uri.startsWith("https://"))
    errors.push(fieldNotSupported(`${path}.diskURI`, uri, [DISK_URI]));
  if (kind === "Managed" && !uri.startsWith("/subscriptions"))
    errors.push(fieldNotSupported(`${path}.diskURI`, uri, [MANAGED_DISK_URI]));
  return errors;
}

/** The name of a driver of the container storage interface. */
export function csiDriverErrors(name: unknown, path: string): FieldError[] {
  if (!name) return [fieldRequired(path)];
  const text = String(name);
  const errors: FieldError[] = [];
  if (text.length > CSI_DRIVER_MAX)
    errors.push({
      type: "FieldValueTooLong",
      field: path,
      message: `Too long: may not be more than ${CSI_DRIVER_MAX} bytes`,
    });
  return [
    ...errors,
    ...subdomainErrorsAt(text.toLowerCase(), path).map((error) => ({
      ...error,
      message: error.message.replace(JSON.stringify(text.toLowerCase()), JSON.stringify(text)),
    })),
  ];
}

const emptyDirErrors: Check = (source, path) => {
  const quantity = parseQuantity(String(source["sizeLimit"] ?? "0"));
  return quantity !== undefined && quantity.nano < 0n
    ? [fieldForbidden(`${path}.sizeLimit`, "SizeLimit field must be a valid resource quantity")]
    : [];
};

/** A file of the downward API; its mistakes stand at the list's own path. */
function downwardFileErrors(file: Json, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!file["path"]) errors.push(fieldRequired(`${path}.path`));
  else errors.push(...localPathErrors(file["path"], `${path}.path`));
  const field = file["fieldRef"] as Json | undefined;
  const resource = file["resourceFieldRef"] as Json | undefined;
  if (field !== undefined) {
    errors.push(...fileFieldErrors(field, `${path}.fieldRef`));
    if (resource !== undefined)
      errors.push(fieldInvalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
  } else if (resource !== undefined) errors.push(...resourceRefErrors(resource, `${path}.resourceFieldRef`, true));
  else errors.push(fieldRequired(path, "one of fieldRef and resourceFieldRef is required"));
  return [...errors, ...modeErrors(file, "mode", path)];
}

/** What kube-apiserver can look up in a pod at all. */
const CONVERTED = new Set([
  ...["annotations", "labels", "name", "namespace", "uid"].map((part) => `metadata.${part}`),
  ...["hostNetwork", "nodeName", "restartPolicy", "schedulerName", "serviceAccountName"].map((part) => `spec.${part}`),
  ...["hostIP", "hostIPs", "nominatedNodeName", "phase", "podIP", "podIPs"].map((part) => `status.${part}`),
]);

function fileFieldErrors(ref: Json, path: string): FieldError[] {
  if (!ref["apiVersion"]) return [fieldRequired(`${path}.apiVersion`)];
  if (!ref["fieldPath"]) return [fieldRequired(`${path}.fieldPath`)];
  const field = String(ref["fieldPath"]);
  if (!CONVERTED.has(field) && !/^metadata\.(labels|annotations)\['.*'\]$/.test(field))
    return [
      fieldInvalid(`${path}.fieldPath`, field, `error converting fieldPath: field label not supported: ${field}`),
    ];
  if (/^metadata\.(labels|annotations)\['.*'\]$/.test(field) || FILE_FIELDS.includes(field)) return [];
  return [fieldNotSupported(`${path}.fieldPath`, field, FILE_FIELDS)];
}

function projectedErrors(source: Json, path: string): FieldError[] {
  const errors = modeErrors(source, "defaultMode", path);
  const paths = new Set<string>();
  const note = (value: unknown, name: string) => {
    const text = String(value ?? "");
    if (text === "") return;
    if (paths.has(text)) errors.push(fieldInvalid(path, name, "conflicting duplicate paths"));
    paths.add(text);
  };
  for (const [at, part] of listAt(source, "sources").entries()) {
    const where = `${path}.sources[${at}]`;
    let count = 0;
    const more = () => {
      count++;
      if (count > 1) errors.push(fieldForbidden(where, "may not specify more than 1 volume type per source"));
    };
    for (const kind of ["secret", "configMap"]) {
      const given = part[kind] as Json | undefined;
      if (given === undefined) continue;
      more();
      if (!given["name"]) errors.push(fieldRequired(`${where}.${kind}.name`));
      errors.push(...keyToPathErrors(given, `${where}.${kind}`));
      for (const item of listAt(given, "items")) note(item["path"], String(given["name"] ?? ""));
    }
    const downward = part["downwardAPI"] as Json | undefined;
    if (downward !== undefined) {
      more();
      for (const file of listAt(downward, "items")) {
        errors.push(...downwardFileErrors(file, `${where}.downwardAPI`));
        note(file["path"], String(file["path"]));
      }
    }
    const token = part["serviceAccountToken"] as Json | undefined;
    if (token !== undefined) {
      more();
      const seconds = Number(token["expirationSeconds"] ?? 0);
      const place = `${where}.serviceAccountToken.expirationSeconds`;
      if (seconds < TOKEN_SECONDS_MIN)
        errors.push(fieldInvalid(place, seconds, "may not specify a duration less than 10 minutes"));
      if (seconds > TOKEN_SECONDS_MAX)
        errors.push(fieldInvalid(place, seconds, "may not specify a duration larger than 2^32 seconds"));
      if (!token["path"]) errors.push(fieldRequired(`${path}.path`));
      else errors.push(...localPathErrors(token["path"], `${path}.path`));
    }
  }
  return errors;
}

const TENANT_MAX = 64;
const secretErrors = (source: Json, path: string): FieldError[] =>
  source["secretRef"] === undefined ? [] : needs(source["secretRef"] as Json, `${path}.secretRef`, "name");

const PAIRS_TEXT = "must be a host:port pair or multiple pairs separated by commas";

/** Sources in the order they are looked at; only the first of a volume is, the others are forbidden. */
const sources: readonly (readonly [string, Check, string?])[] = [
  ["emptyDir", emptyDirErrors],
  ["hostPath", hostPathErrors],
  [
    "gitRepo",
    (source, path) => [
      ...needs(source, path, "repository"),
      ...descendingErrors(source["directory"] ?? "", `${path}.directory`),
    ],
  ],
  [
    "gcePersistentDisk",
    (source, path) => [...needs(source, path, "pdName"), ...partitionErrors(source, path)],
    "persistentDisk",
  ],
  ["awsElasticBlockStore", (source, path) => [...needs(source, path, "volumeID"), ...partitionErrors(source, path)]],
  [
    "secret",
    (source, path) => [
      ...needs(source, path, "secretName"),
      ...modeErrors(source, "defaultMode", path),
      ...keyToPathErrors(source, path),
    ],
  ],
  ["nfs", nfsErrors],
  ["iscsi", iscsiErrors],
  ["glusterfs", (source, path) => needs(source, path, "endpoints", "path")],
  [
    "flocker",
    (source, path) =>
      !source["datasetName"] && !source["datasetUUID"]
        ? [fieldRequired(path, "one of datasetName and datasetUUID is required")]
        : [],
  ],
  ["persistentVolumeClaim", (source, path) => needs(source, path, "claimName")],
  [
    "rbd",
    (source, path) => [
      ...(listAt(source, "monitors").length === 0 ? [fieldRequired(`${path}.monitors`)] : []),
      ...needs(source, path, "image"),
    ],
  ],
  ["cinder", (source, path) => [...needs(source, path, "volumeID"), ...secretErrors(source, path)]],
  ["cephfs", (source, path) => (listAt(source, "monitors").length === 0 ? [fieldRequired(`${path}.monitors`)] : [])],
  [
    "quobyte",
    (source, path) => {
      const registry = String(source["registry"] ?? "");
      const isPair = (text: string) => /^[^:]+:\d+$/.test(text);
      return [
        ...(registry === ""
          ? [fieldRequired(`${path}.registry`, PAIRS_TEXT)]
          : registry.split(",").every(isPair)
            ? []
            : [fieldInvalid(`${path}.registry`, registry, PAIRS_TEXT)]),
        ...(String(source["tenant"] ?? "").length > TENANT_MAX
          ? [fieldRequired(`${path}.tenant`, `must be a UUID and may not exceed a length of ${TENANT_MAX} characters`)]
          : []),
        ...needs(source, path, "volume"),
      ];
    },
  ],
  [
    "downwardAPI",
    (source, path) => [
      ...modeErrors(source, "defaultMode", path),
      ...listAt(source, "items").flatMap((file) => downwardFileErrors(file, path)),
    ],
  ],
  ["fc", fcErrors],
  ["flexVolume", (source, path) => needs(source, path, "driver")],
  [
    "configMap",
    (source, path) => [
      ...needs(source, path, "name"),
      ...modeErrors(source, "defaultMode", path),
      ...keyToPathErrors(source, path),
    ],
  ],
  ["azureFile", (source, path) => needs(source, path, "secretName", "shareName")],
  ["vsphereVolume", (source, path) => needs(source, path, "volumePath")],
  ["photonPersistentDisk", (source, path) => needs(source, path, "pdID")],
  ["portworxVolume", (source, path) => needs(source, path, "volumeID")],
  ["azureDisk", azureDiskErrors],
  [
    "storageos",
    (source, path) => [
      ...nameErrorsAt(source["volumeName"], `${path}.volumeName`),
      ...(source["volumeNamespace"] ? dnsLabelErrors(source["volumeNamespace"], `${path}.volumeNamespace`) : []),
      ...secretErrors(source, path),
    ],
  ],
  ["projected", projectedErrors],
  ["scaleIO", (source, path) => needs(source, path, "gateway", "system", "volumeName")],
  [
    "csi",
    (source, path) => [
      ...csiDriverErrors(source["driver"], `${path}.driver`),
      ...(source["nodePublishSecretRef"] === undefined
        ? []
        : valueAt(source, "nodePublishSecretRef.name")
          ? subdomainErrorsAt(valueAt(source, "nodePublishSecretRef.name"), `${path}.name`)
          : [fieldRequired(`${path}.nodePublishSecretRef.name`)]),
    ],
  ],
  ["ephemeral", ephemeralErrors],
  [
    "image",
    (source, path) => [
      ...needs(source, path, "reference"),
      ...(["Always", "IfNotPresent", "Never"].includes(String(source["pullPolicy"]))
        ? []
        : [fieldNotSupported(`${path}.pullPolicy`, source["pullPolicy"] ?? "", ["Always", "IfNotPresent", "Never"])]),
    ],
  ],
];

function ephemeralErrors(source: Json, path: string): FieldError[] {
  const template = source["volumeClaimTemplate"] as Json | undefined;
  if (template === undefined) return [fieldRequired(`${path}.volumeClaimTemplate`)];
  const where = `${path}.volumeClaimTemplate`;
  return [
    ...templateMetadataErrors((template["metadata"] ?? {}) as Json, `${where}.metadata`),
    ...claimSpecErrors((template["spec"] ?? {}) as Json, `${where}.spec`),
  ];
}

/** A claim that is made for a pod is named after it: its template has labels and annotations only. */
function templateMetadataErrors(metadata: Json, path: string): FieldError[] {
  type Texts = Readonly<Record<string, string>> | undefined;
  return [
    ...validateAnnotations(metadata["annotations"] as Texts, `${path}.annotations`),
    ...validateLabels(metadata["labels"] as Texts, `${path}.labels`),
    ...["name", "generateName", "namespace", "ownerReferences", "finalizers"]
      .filter((name) => metadata[name] !== undefined)
      .map((name) => fieldForbidden(`${path}.${name}`, "cannot be set")),
  ];
}

const TARGET_MAX = 64;

/** What is wrong with how a target is called by its initiator: after the volume and where it is. */
export const initiatorErrors = ({ initiatorName, targetPortal }: Json, volume: string): readonly string[] =>
  initiatorName !== undefined && `${volume}:${String(targetPortal ?? "")}`.length > TARGET_MAX
    ? [
        `Total length of <volume name>:<iscsi.targetPortal> must be under ${TARGET_MAX} characters if iscsi.initiatorName is specified.`,
      ]
    : [];

/** What is wrong with the name of the claim that is made for a volume of a pod. */
function claimNameErrors(volume: Json, path: string, podName: string | undefined): FieldError[] {
  const name = String(volume["name"] ?? "");
  if (volume["ephemeral"] === undefined || !podName || name === "") return [];
  const claim = `${podName}-${name}`;
  return subdomainTexts(claim).map((why) =>
    fieldInvalid(`${path}.name`, name, `PVC name ${JSON.stringify(claim)}: ${why}`),
  );
}

/** Mistakes of a list of volumes; `volumes` takes those that can be mounted, `podName` is the name of their pod. */
export function volumeErrors(
  spec: Json,
  path: string,
  volumes: Map<string, Json>,
  podName: string | undefined,
): FieldError[] {
  const seen = new Set<unknown>();
  return listAt(spec, "volumes").flatMap((volume, at) => {
    const where = `${path}.volumes[${at}]`;
    const name = String(volume["name"] ?? "");
    const named = nameErrorsAt(name, `${where}.name`);
    if (named.length === 0 && seen.has(name)) named.push(fieldDuplicate(`${where}.name`, name));
    const found = [
      ...sourceErrors(volume, where),
      ...initiatorErrors((volume["iscsi"] ?? {}) as Json, name).map((why) => fieldInvalid(`${where}.name`, name, why)),
      ...claimNameErrors(volume, where, podName),
    ];
    if (named.length === 0) {
      seen.add(name);
      // A volume with mistakes is none that a container could mount.
      if (found.length === 0) volumes.set(name, volume);
    }
    return [...found, ...named];
  });
}

/** Mistakes of one source of a volume, wherever it stands. */
export const volumeSourceErrors = (kind: string, source: Json, path: string): FieldError[] =>
  sources.find(([name]) => name === kind)?.[1](source, path) ?? [];

function sourceErrors(volume: Json, path: string): FieldError[] {
  const given = sources.filter(([kind]) => volume[kind] !== undefined);
  const [first, ...others] = given;
  if (first === undefined) return [fieldRequired(path, "must specify a volume type")];
  const [kind, check, shown = kind] = first;
  return [
    ...check(volume[kind] as Json, `${path}.${shown}`),
    ...others.map(([other, , name = other]) =>
      fieldForbidden(`${path}.${name}`, "may not specify more than 1 volume type"),
    ),
  ];
}
