/** What users are told about pods and templates of pods that are taken all the same, in kube-apiserver's words. */
import { deepEqual } from "#base";
import { type KubeObject, parseQuantity } from "#machinery";
import { APP_ARMOR, APP_ARMOR_TEXT } from "./app-armor.ts";
import { listAt, repetitions, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";

const NODE_LABELS: Readonly<Record<string, string>> = {
  "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
  "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
};
const ANNOTATIONS: Readonly<Record<string, string>> = {
  "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
  "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
  "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
  "seccomp.security.alpha.kubernetes.io/pod": 'non-functional in v1.27+; use the "seccompProfile" field instead',
};
const PREFIXES: readonly (readonly [string, string])[] = [
  [
    "container.seccomp.security.alpha.kubernetes.io/",
    'non-functional in v1.27+; use the "seccompProfile" field instead',
  ],
];
const VOLUMES: Readonly<Record<string, string>> = {
  photonPersistentDisk: "deprecated in v1.11, non-functional in v1.16+",
  gitRepo: "deprecated in v1.11, and disabled by default in v1.33+",
  scaleIO: "deprecated in v1.16, non-functional in v1.22+",
  flocker: "deprecated in v1.22, non-functional in v1.25+",
  storageOS: "deprecated in v1.22, non-functional in v1.25+",
  quobyte: "deprecated in v1.22, non-functional in v1.25+",
  glusterfs: "deprecated in v1.25, non-functional in v1.26+",
  cephfs: "deprecated in v1.28, non-functional in v1.31+",
  rbd: "deprecated in v1.28, non-functional in v1.31+",
};
/** What messages call otherwise than objects. */
const MEMBERS: Readonly<Record<string, string>> = { storageOS: "storageos" };
const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution";

const join = (path: string, rest: string) => (path === "" ? rest : `${path}.${rest}`);
const isNever = (selector: unknown) => selector === undefined || selector === null;

/** Kinds whose names become parts of their pods' names. */
const NAMING = new Set(["Deployment", "ReplicaSet", "ReplicationController", "Job", "CronJob"]);

function nameWarnings({ kind, metadata: { name = "" } }: KubeObject): string[] {
  const use = kind === "Pod" ? "the Pod's hostname" : NAMING.has(kind) ? "Pod names and hostnames" : undefined;
  if (use === undefined) return [];
  const wrong = name.includes(".")
    ? "must not contain dots"
    : name.length > 63
      ? "must be no more than 63 characters"
      : "";
  return wrong === ""
    ? []
    : [
        `metadata.name: this is used in ${use}, which can result in surprising behavior; a DNS label is recommended: [${wrong}]`,
      ];
}

/** Warnings for the pods of an object; `path` is where their template stands, empty where it is a pod itself. */
export function podWarnings(object: KubeObject, old: KubeObject | undefined, path: string): readonly string[] {
  const at = (value: KubeObject | undefined) => (path === "" ? value : valueAt(value, path)) as Json | undefined;
  const template = at(object);
  if (template === undefined || template === null) return [];
  // What was there before was told about before.
  if (old !== undefined && (path === "" || deepEqual(at(old), template))) return [];
  const spec = (template["spec"] ?? {}) as Json;
  const annotations = (valueAt(template, "metadata.annotations") ?? {}) as Readonly<Record<string, string>>;
  const specPath = join(path, "spec");
  return [
    ...(old === undefined ? nameWarnings(object) : []),
    ...Object.keys((spec["nodeSelector"] ?? {}) as object)
      .sort()
      .flatMap((key) =>
        NODE_LABELS[key] === undefined ? [] : [`${specPath}.nodeSelector[${key}]: ${NODE_LABELS[key]}`],
      ),
    ...nodeTermWarnings(spec, specPath),
    ...spreadWarnings(spec, specPath),
    ...annotationWarnings(annotations, join(path, "metadata.annotations"), spec),
    ...listAt(spec, "volumes").flatMap((volume) =>
      listAt(volume, "projected.sources").some((source) => Object.keys(source).length === 0)
        ? [`volume ${JSON.stringify(volume["name"])} (Projected) has no sources provided`]
        : [],
    ),
    ...listAt(spec, "volumes").flatMap(overlapWarnings),
    ...listAt(spec, "volumes").flatMap((volume, number) =>
      Object.keys(VOLUMES)
        .filter((kind) => volume[MEMBERS[kind] ?? kind] !== undefined)
        .map((kind) => `${specPath}.volumes[${number}].${kind}: ${VOLUMES[kind]}`),
    ),
    ...duplicateWarnings(listAt(spec, "hostAliases"), "ip", `${specPath}.hostAliases`),
    ...duplicateWarnings(listAt(spec, "imagePullSecrets"), "name", `${specPath}.imagePullSecrets`),
    ...containerWarnings(spec, specPath),
    ...affinityWarnings(spec, specPath),
  ];
}

function nodeTermWarnings(spec: Json, path: string): string[] {
  const where = `${path}.affinity.nodeAffinity`;
  const node = valueAt(spec, "affinity.nodeAffinity");
  const terms: (readonly [Json, string])[] = [
    ...listAt(node, `${REQUIRED}.nodeSelectorTerms`).map(
      (term, at) => [term, `${where}.${REQUIRED}.nodeSelectorTerms[${at}]`] as const,
    ),
    ...listAt(node, PREFERRED).map(
      (term, at) => [(term["preference"] ?? {}) as Json, `${where}.${PREFERRED}[${at}].preference`] as const,
    ),
  ];
  return terms.flatMap(([term, place]) =>
    listAt(term, "matchExpressions").flatMap(({ key }, at) => {
      const text = NODE_LABELS[String(key)];
      return text === undefined ? [] : [`${place}.matchExpressions[${at}].key: ${String(key)} is ${text}`];
    }),
  );
}

const spreadWarnings = (spec: Json, path: string): string[] =>
  listAt(spec, "topologySpreadConstraints").flatMap((constraint, at) => {
    const where = `${path}.topologySpreadConstraints[${at}]`;
    const text = NODE_LABELS[String(constraint["topologyKey"])];
    return [
      ...(text === undefined ? [] : [`${where}.topologyKey: ${String(constraint["topologyKey"])} is ${text}`]),
      ...(isNever(constraint["labelSelector"])
        ? [`${where}.labelSelector: a null labelSelector results in matching no pod`]
        : []),
    ];
  });

function annotationWarnings(annotations: Readonly<Record<string, string>>, path: string, spec: Json): string[] {
  const keys = Object.keys(annotations);
  if (keys.length === 0) return [];
  const names = new Set(
    ["containers", "initContainers"].flatMap((list) => listAt(spec, list).map(({ name }) => String(name))),
  );
  // A pod's own are told of where they become fields.
  const prefixes = path.startsWith("metadata") ? PREFIXES : [...PREFIXES, [APP_ARMOR, APP_ARMOR_TEXT] as const];
  return keys.sort().flatMap((key) => {
    const prefix = prefixes.find(([start]) => key.startsWith(start));
    const text =
      ANNOTATIONS[key] ?? (prefix !== undefined && names.has(key.slice(prefix[0].length)) ? prefix[1] : undefined);
    return text === undefined ? [] : [`${path}[${key}]: ${text}`];
  });
}

/** Paths of a volume's files of which one is the other, or lies in it; `by` is who makes the file, where several may. */
function overlapWarnings(volume: Json): string[] {
  const pathsOf = (source: unknown, by = ""): (readonly [string, string])[] =>
    listAt(source, "items").map(({ path }) => [String(path ?? ""), by] as const);
  const filesOf = (source: Json) => [
    ...pathsOf(source["secret"], ` (Secret ${JSON.stringify(valueAt(source, "secret.name"))})`),
    ...pathsOf(source["configMap"], ` (ConfigMap ${JSON.stringify(valueAt(source, "configMap.name"))})`),
    ...pathsOf(source["downwardAPI"], " (DownwardAPI)"),
    ...(source["serviceAccountToken"] === undefined
      ? []
      : [[String(valueAt(source, "serviceAccountToken.path")), " (ServiceAccountToken)"] as const]),
  ];
  const kinds: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
    [`ConfigMap ${JSON.stringify(valueAt(volume, "configMap.name"))}`, pathsOf(volume["configMap"])],
    [`Secret ${JSON.stringify(valueAt(volume, "secret.secretName"))}`, pathsOf(volume["secret"])],
    ["DownwardAPI", pathsOf(volume["downwardAPI"])],
    ["Projected", listAt(volume, "projected.sources").flatMap(filesOf)],
  ];
  const isIn = (one: string, other: string) => one === other || one.startsWith(`${other}/`);
  const shown = ([path, by]: readonly [string, string]) => `${JSON.stringify(path)}${by}`;
  return kinds.flatMap(([kind, files]) => [
    ...new Set(
      files.flatMap((file, at) =>
        files
          .slice(0, at)
          .filter(([path]) => isIn(file[0], path) || isIn(path, file[0]))
          .map(
            (other) =>
              `volume ${JSON.stringify(volume["name"])} (${kind}): overlapping paths: ${shown(file)} with ${shown(other)}`,
          ),
      ),
    ),
  ]);
}

function duplicateWarnings(list: readonly Json[], name: string, path: string): string[] {
  const wasThere = repetitions();
  return list.flatMap((item, at) => {
    const value = item[name];
    if (!value) return name === "name" ? [`${path}[${at}].name: invalid empty name ""`] : [];
    const isTwice = wasThere(value);
    return isTwice ? [`${path}[${at}].${name}: duplicate ${name} ${JSON.stringify(value)}`] : [];
  });
}

function containerWarnings(spec: Json, path: string): string[] {
  const ports = new Map<string, SeenPort[]>();
  return ["initContainers", "containers"].flatMap((list) =>
    listAt(spec, list).flatMap((container, at) => {
      const where = `${path}.${list}[${at}]`;
      return [
        ...amountWarnings(container, where),
        ...variableWarnings(container, where),
        ...portWarnings(container, where, ports),
      ];
    }),
  );
}

const amountWarnings = (container: Json, path: string): string[] =>
  ["limits", "requests"].flatMap((part) =>
    ["memory", "ephemeral-storage"].flatMap((name) => {
      const amount = valueAt(container, `resources.${part}.${name}`) as string | undefined;
      const quantity = amount === undefined ? undefined : parseQuantity(amount);
      return quantity === undefined || quantity.nano % 1_000_000_000n === 0n
        ? []
        : [
            `${path}.resources.${part}[${name}]: fractional byte value ${JSON.stringify(amount)} is invalid, must be an integer`,
          ];
    }),
  );

function variableWarnings(container: Json, path: string): string[] {
  const seen = new Map<string, boolean>();
  return listAt(container, "env").flatMap((variable, at) => {
    const name = String(variable["name"] ?? "");
    const isTwice = seen.has(name);
    seen.set(name, true);
    return isTwice && !String(variable["value"] ?? "").includes(`$(${name})`)
      ? [
          `${path}.env[${at}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`,
        ]
      : [];
  });
}

interface SeenPort {
  readonly where: string;
  readonly hostPort: number;
  readonly hostIP: string;
}

/** Ports of one number and protocol, in any container of the pod. */
function portWarnings(container: Json, path: string, ports: Map<string, SeenPort[]>): string[] {
  return listAt(container, "ports").flatMap((port, at) => {
    const where = `${path}.ports[${at}]`;
    const [number, protocol] = [String(port["containerPort"]), String(port["protocol"])];
    const mine: SeenPort = { where, hostPort: Number(port["hostPort"] ?? 0), hostIP: String(port["hostIP"] ?? "") };
    const others = ports.get(`${number}/${protocol}`) ?? [];
    ports.set(`${number}/${protocol}`, [...others, mine]);
    const shown = `{Name:${String(port["name"] ?? "")} HostPort:${mine.hostPort} ContainerPort:${number} Protocol:${protocol} HostIP:${mine.hostIP}}`;
    return [
      ...(mine.hostIP !== "" && mine.hostPort === 0 ? [`${where}: hostIP set without hostPort: ${shown}`] : []),
      ...others.flatMap((other) => {
        const how = clashOf(mine, other);
        return how === undefined ? [] : [`${where}: ${how} port definition with ${other.where}`];
      }),
    ];
  });
}

/** How two definitions of one port get in each other's way. */
function clashOf(one: SeenPort, other: SeenPort): string | undefined {
  if (one.hostIP === other.hostIP && one.hostPort === other.hostPort) return "duplicate";
  if (one.hostPort === 0 || other.hostPort === 0) return "overlapping";
  const isOnOneOnly = (one.hostIP === "") !== (other.hostIP === "");
  return one.hostPort === other.hostPort && isOnOneOnly ? "dangerously ambiguous" : undefined;
}

function affinityWarnings(spec: Json, path: string): string[] {
  return ["podAffinity", "podAntiAffinity"].flatMap((part) => {
    const affinity = valueAt(spec, `affinity.${part}`);
    const where = `${path}.affinity.${part}`;
    const text = "labelSelector: a null labelSelector results in matching no pod";
    return [
      ...listAt(affinity, REQUIRED).flatMap((term, at) =>
        isNever(term["labelSelector"]) ? [`${where}.${REQUIRED}[${at}].${text}`] : [],
      ),
      ...listAt(affinity, PREFERRED).flatMap((term, at) =>
        isNever(valueAt(term, "podAffinityTerm.labelSelector"))
          ? [`${where}.${PREFERRED}[${at}].podAffinityTerm.${text}`]
          : [],
      ),
    ];
  });
}
