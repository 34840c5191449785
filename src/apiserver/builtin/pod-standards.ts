/**
 * The Pod Security Standards: what a pod may not do below a level, in the words of kube-apiserver. A level's checks grew
 * with Kubernetes' versions; a policy names the version whose checks hold.
 */
import type { KubeObject } from "#machinery";
import { APP_ARMOR } from "./app-armor.ts";
import { listAt, type List, valueAt } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";
import { everyContainer } from "./pod-security.ts";

export const LEVELS = ["privileged", "baseline", "restricted"] as const;
export type Level = (typeof LEVELS)[number];

/** `minor` is the Kubernetes version 1.minor whose checks hold; absent for the latest. */
export interface Policy {
  readonly level: Level;
  readonly minor?: number;
}

/** What is wrong, in a word, and where. */
export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

/** A pod, or the template of one, taken apart. */
interface Subject {
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: Json;
  readonly containers: List;
}

type Find = (pod: Subject) => Violation | undefined;

interface Check {
  readonly id: string;
  readonly level: Exclude<Level, "privileged">;
  /** The checks it takes the place of, which ask for less. */
  readonly replaces?: string;
  /** By the minor version since which it is made like this, ascending. */
  readonly versions: readonly (readonly [since: number, find: Find])[];
}

export const policyText = ({ level, minor }: Policy): string =>
  `${level}:${minor === undefined ? "latest" : `v1.${minor}`}`;

const quoted = (names: Iterable<unknown>) => [...names].map((name) => `"${String(name)}"`).join(", ");
const plural = (word: string, { length }: { readonly length: number }) => (length === 1 ? word : `${word}s`);
const sorted = (values: Iterable<string>) => [...new Set(values)].sort();
const named = (word: string, things: List) => `${plural(word, things)} ${quoted(things.map(({ name }) => name))}`;
const verb = (word: string, { length }: { readonly length: number }) => (length === 1 ? `${word}s` : word);

/** Who set something: the pod, some of its containers, or both. */
const setters = (isPod: boolean, containers: List, ...others: readonly string[]) =>
  [...(isPod ? ["pod"] : []), ...(containers.length === 0 ? [] : [named("container", containers)]), ...others].join(
    " and ",
  );

const ofPod = (pod: Subject, path: string) => valueAt(pod.spec, `securityContext.${path}`);
const ofContainer = (container: Json, path: string) => valueAt(container, `securityContext.${path}`);
const added = (container: Json) => listAt(container, "securityContext.capabilities.add") as readonly unknown[];

const unlessWindows =
  (find: Find): Find =>
  (pod) =>
    valueAt(pod.spec, "os.name") === "windows" ? undefined : find(pod);
/** Root in a pod with users of its own is nobody on the host. */
const unlessOwnUsers =
  (find: Find): Find =>
  (pod) =>
    pod.spec["hostUsers"] === false ? undefined : find(pod);

const isSafeProfile = (type: unknown) => type === undefined || type === "RuntimeDefault" || type === "Localhost";
const isSafeAnnotation = (value: string) =>
  value === "" || value === "runtime/default" || value === "docker/default" || value.startsWith("localhost/");

const findAppArmor: Find = (pod) => {
  const type = ofPod(pod, "appArmorProfile.type");
  const typeOf = (container: Json) => ofContainer(container, "appArmorProfile.type");
  const containers = pod.containers.filter((container) => !isSafeProfile(typeOf(container)));
  const annotations = Object.entries(pod.annotations)
    .filter(([key, value]) => key.startsWith(APP_ARMOR) && !isSafeAnnotation(value))
    .map(([key, value]) => `${key}="${value}"`);
  const isPod = !isSafeProfile(type);
  if (!isPod && containers.length === 0 && annotations.length === 0) return undefined;
  const values = sorted([
    ...(isPod ? [String(type)] : []),
    ...containers.map((one) => String(typeOf(one))),
    ...annotations,
  ]);
  const others = annotations.length === 0 ? [] : [plural("annotation", annotations)];
  return {
    reason: plural("forbidden AppArmor profile", values),
    detail: `${setters(isPod, containers, ...others)} must not set AppArmor profile type to ${quoted(values)}`,
  };
};

const DEFAULT_CAPABILITIES = new Set(
  "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT".split(
    " ",
  ),
);

const addsBeyond = (pod: Subject, allowed: ReadonlySet<string>): string | undefined => {
  const isBeyond = (name: unknown) => !allowed.has(String(name));
  const containers = pod.containers.filter((container) => added(container).some(isBeyond));
  if (containers.length === 0) return undefined;
  const names = sorted(containers.flatMap((container) => added(container).filter(isBeyond).map(String)));
  return `${named("container", containers)} must not include ${quoted(names)} in securityContext.capabilities.add`;
};

const findCapabilities: Find = (pod) => {
  const detail = addsBeyond(pod, DEFAULT_CAPABILITIES);
  return detail === undefined ? undefined : { reason: "non-default capabilities", detail };
};

const RESTRICTED_CAPABILITIES = new Set(["NET_BIND_SERVICE"]);

const findRestrictedCapabilities: Find = (pod) => {
  const keeping = pod.containers.filter(
    (container) => !(listAt(container, "securityContext.capabilities.drop") as readonly unknown[]).includes("ALL"),
  );
  const details = [
    ...(keeping.length === 0
      ? []
      : [`${named("container", keeping)} must set securityContext.capabilities.drop=["ALL"]`]),
    ...[addsBeyond(pod, RESTRICTED_CAPABILITIES)].filter((text) => text !== undefined),
  ];
  return details.length === 0 ? undefined : { reason: "unrestricted capabilities", detail: details.join("; ") };
};

const findHostNamespaces: Find = ({ spec }) => {
  const shared = ["hostNetwork", "hostPID", "hostIPC"].filter((name) => spec[name] === true);
  return shared.length === 0
    ? undefined
    : { reason: "host namespaces", detail: shared.map((name) => `${name}=true`).join(", ") };
};

const findHostPaths: Find = ({ spec }) => {
  const volumes = listAt(spec, "volumes").filter(({ hostPath }) => hostPath !== undefined);
  return volumes.length === 0 ? undefined : { reason: "hostPath volumes", detail: named("volume", volumes) };
};

const findHostPorts: Find = (pod) => {
  const portsOf = (container: Json) =>
    listAt(container, "ports")
      .map(({ hostPort }) => hostPort)
      .filter((port) => typeof port === "number" && port !== 0);
  const containers = pod.containers.filter((container) => portsOf(container).length > 0);
  if (containers.length === 0) return undefined;
  const ports = sorted(containers.flatMap((container) => portsOf(container).map(String)));
  return {
    reason: "hostPort",
    detail: `${named("container", containers)} ${verb("use", containers)} ${plural("hostPort", ports)} ${ports.join(", ")}`,
  };
};

const HANDLERS = [
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle.postStart",
  "lifecycle.preStop",
].flatMap((place) => [`${place}.httpGet.host`, `${place}.tcpSocket.host`]);

const findProbeHosts: Find = (pod) => {
  const hostsOf = (container: Json) =>
    HANDLERS.map((path) => valueAt(container, path))
      .filter(Boolean)
      .map(String);
  const containers = pod.containers.filter((container) => hostsOf(container).length > 0);
  if (containers.length === 0) return undefined;
  const hosts = sorted(containers.flatMap(hostsOf));
  return {
    reason: "probe or lifecycle host",
    // Other than elsewhere, containers are sorted.
    detail: `${plural("container", containers)} ${quoted(sorted(containers.map(({ name }) => String(name))))} ${verb("use", containers)} probe or lifecycle ${plural("host", hosts)} ${quoted(hosts)}`,
  };
};

const findPrivileged: Find = (pod) => {
  const containers = pod.containers.filter((container) => ofContainer(container, "privileged") === true);
  return containers.length === 0
    ? undefined
    : {
        reason: "privileged",
        detail: `${named("container", containers)} must not set securityContext.privileged=true`,
      };
};

const findProcMounts: Find = (pod) => {
  const mountOf = (container: Json) => ofContainer(container, "procMount");
  const containers = pod.containers.filter((one) => mountOf(one) !== undefined && mountOf(one) !== "Default");
  return containers.length === 0
    ? undefined
    : {
        reason: "procMount",
        detail: `${named("container", containers)} must not set securityContext.procMount to ${quoted(sorted(containers.map((one) => String(mountOf(one)))))}`,
      };
};

const SELINUX_TYPES = ["", "container_t", "container_init_t", "container_kvm_t"];

const findSelinux =
  (allowed: readonly string[]): Find =>
  (pod) => {
    const isWrongType = (type: unknown) => type !== undefined && !allowed.includes(String(type));
    const isWrong = (options: unknown) =>
      isWrongType(valueAt(options, "type")) || Boolean(valueAt(options, "user")) || Boolean(valueAt(options, "role"));
    const own = ofPod(pod, "seLinuxOptions");
    const containers = pod.containers.filter((container) => isWrong(ofContainer(container, "seLinuxOptions")));
    if (!isWrong(own) && containers.length === 0) return undefined;
    const wrong = [
      ...(isWrong(own) ? [own] : []),
      ...containers.map((container) => ofContainer(container, "seLinuxOptions")),
    ];
    const types = sorted(
      wrong
        .map((options) => valueAt(options, "type"))
        .filter(isWrongType)
        .map(String),
    );
    const what = [
      ...(types.length === 0 ? [] : [`${plural("type", types)} ${quoted(types)}`]),
      ...["user", "role"]
        .filter((name) => wrong.some((options) => Boolean(valueAt(options, name))))
        .map((name) => `${name} may not be set`),
    ];
    return {
      reason: "seLinuxOptions",
      detail: `${setters(isWrong(own), containers)} set forbidden securityContext.seLinuxOptions: ${what.join("; ")}`,
    };
  };

const SECCOMP_OF_POD = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/";

const findSeccompAnnotations: Find = ({ annotations, containers }) => {
  const keys = [SECCOMP_OF_POD, ...containers.map(({ name }) => `${SECCOMP_OF_CONTAINER}${String(name)}`)];
  const wrong = sorted(keys.filter((key) => !isSafeAnnotation(annotations[key] ?? "")));
  return wrong.length === 0
    ? undefined
    : {
        reason: "seccompProfile",
        detail: `forbidden ${plural("annotation", wrong)} ${wrong.map((key) => `${key}="${annotations[key]}"`).join(", ")}`,
      };
};

const findSeccomp: Find = (pod) => {
  const type = ofPod(pod, "seccompProfile.type");
  const typeOf = (container: Json) => ofContainer(container, "seccompProfile.type");
  const containers = pod.containers.filter((container) => !isSafeProfile(typeOf(container)));
  const isPod = !isSafeProfile(type);
  if (!isPod && containers.length === 0) return undefined;
  const values = sorted([...(isPod ? [String(type)] : []), ...containers.map((one) => String(typeOf(one)))]);
  return {
    reason: "seccompProfile",
    detail: `${setters(isPod, containers)} must not set securityContext.seccompProfile.type to ${quoted(values)}`,
  };
};

const findNoSeccomp: Find = (pod) => {
  const explicit = findSeccomp(pod);
  if (explicit !== undefined || ofPod(pod, "seccompProfile.type") !== undefined) return explicit;
  const containers = pod.containers.filter((one) => ofContainer(one, "seccompProfile.type") === undefined);
  return containers.length === 0
    ? undefined
    : {
        reason: "seccompProfile",
        detail: `pod or ${named("container", containers)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
      };
};

const SYSCTLS = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start",
];
const SYSCTLS_27 = [...SYSCTLS, "net.ipv4.ip_local_reserved_ports"];
const SYSCTLS_29 = [
  ...SYSCTLS_27,
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
];
const SYSCTLS_32 = [...SYSCTLS_29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"];

const findSysctls =
  (allowed: readonly string[]): Find =>
  (pod) => {
    const wrong = listAt(pod.spec, "securityContext.sysctls")
      .map(({ name }) => String(name))
      .filter((name) => !allowed.includes(name));
    return wrong.length === 0 ? undefined : { reason: "forbidden sysctls", detail: wrong.join(", ") };
  };

const findHostProcesses: Find = (pod) => {
  const path = "windowsOptions.hostProcess";
  const containers = pod.containers.filter((container) => ofContainer(container, path) === true);
  const isPod = ofPod(pod, path) === true;
  return !isPod && containers.length === 0
    ? undefined
    : {
        reason: "hostProcess",
        detail: `${setters(isPod, containers)} must not set securityContext.windowsOptions.hostProcess=true`,
      };
};

const findEscalation: Find = (pod) => {
  const containers = pod.containers.filter((container) => ofContainer(container, "allowPrivilegeEscalation") !== false);
  return containers.length === 0
    ? undefined
    : {
        reason: "allowPrivilegeEscalation != false",
        detail: `${named("container", containers)} must set securityContext.allowPrivilegeEscalation=false`,
      };
};

const VOLUMES = new Set(
  "name configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret".split(" "),
);

const findVolumes: Find = ({ spec }) => {
  const typeOf = (volume: Json) => Object.keys(volume).find((key) => !VOLUMES.has(key) && volume[key] !== undefined);
  const volumes = listAt(spec, "volumes").filter((volume) => typeOf(volume) !== undefined);
  if (volumes.length === 0) return undefined;
  const types = sorted(volumes.map((volume) => String(typeOf(volume))));
  return {
    reason: "restricted volume types",
    detail: `${named("volume", volumes)} ${verb("use", volumes)} restricted volume ${plural("type", types)} ${quoted(types)}`,
  };
};

const findRoot: Find = (pod) => {
  const own = ofPod(pod, "runAsNonRoot");
  const given = (container: Json) => ofContainer(container, "runAsNonRoot");
  const reason = "runAsNonRoot != true";
  const explicit = pod.containers.filter((container) => given(container) === false);
  if (own === false || explicit.length > 0)
    return { reason, detail: `${setters(own === false, explicit)} must not set securityContext.runAsNonRoot=false` };
  const silent = own === true ? [] : pod.containers.filter((container) => given(container) === undefined);
  return silent.length === 0
    ? undefined
    : { reason, detail: `pod or ${named("container", silent)} must set securityContext.runAsNonRoot=true` };
};

const findRootUser: Find = (pod) => {
  const containers = pod.containers.filter((container) => ofContainer(container, "runAsUser") === 0);
  const isPod = ofPod(pod, "runAsUser") === 0;
  return !isPod && containers.length === 0
    ? undefined
    : { reason: "runAsUser=0", detail: `${setters(isPod, containers)} must not set runAsUser=0` };
};

/** In the order in which violations are told. */
const CHECKS: readonly Check[] = [
  { id: "appArmorProfile", level: "baseline", versions: [[0, findAppArmor]] },
  { id: "capabilities", level: "baseline", versions: [[0, findCapabilities]] },
  { id: "hostNamespaces", level: "baseline", versions: [[0, findHostNamespaces]] },
  { id: "hostPathVolumes", level: "baseline", versions: [[0, findHostPaths]] },
  { id: "hostPorts", level: "baseline", versions: [[0, findHostPorts]] },
  { id: "hostProbesAndHostLifecycle", level: "baseline", versions: [[34, findProbeHosts]] },
  { id: "privileged", level: "baseline", versions: [[0, findPrivileged]] },
  {
    id: "procMount",
    level: "baseline",
    versions: [
      [0, findProcMounts],
      [35, unlessOwnUsers(findProcMounts)],
    ],
  },
  {
    id: "seLinuxOptions",
    level: "baseline",
    versions: [
      [0, findSelinux(SELINUX_TYPES)],
      [31, findSelinux([...SELINUX_TYPES, "container_engine_t"])],
    ],
  },
  {
    id: "seccompProfile",
    level: "baseline",
    versions: [
      [0, findSeccompAnnotations],
      [19, findSeccomp],
    ],
  },
  {
    id: "sysctls",
    level: "baseline",
    versions: [
      [0, findSysctls(SYSCTLS)],
      [27, findSysctls(SYSCTLS_27)],
      [29, findSysctls(SYSCTLS_29)],
      [32, findSysctls(SYSCTLS_32)],
    ],
  },
  { id: "windowsHostProcess", level: "baseline", versions: [[0, findHostProcesses]] },
  {
    id: "allowPrivilegeEscalation",
    level: "restricted",
    versions: [
      [8, findEscalation],
      [25, unlessWindows(findEscalation)],
    ],
  },
  {
    id: "restrictedCapabilities",
    level: "restricted",
    replaces: "capabilities",
    versions: [
      [22, findRestrictedCapabilities],
      [25, unlessWindows(findRestrictedCapabilities)],
    ],
  },
  { id: "restrictedProcMount", level: "restricted", replaces: "procMount", versions: [[35, findProcMounts]] },
  { id: "restrictedVolumes", level: "restricted", replaces: "hostPathVolumes", versions: [[0, findVolumes]] },
  {
    id: "runAsNonRoot",
    level: "restricted",
    versions: [
      [0, findRoot],
      [35, unlessOwnUsers(findRoot)],
    ],
  },
  {
    id: "runAsUser",
    level: "restricted",
    versions: [
      [23, findRootUser],
      [35, unlessOwnUsers(findRootUser)],
    ],
  },
  {
    id: "restrictedSeccompProfile",
    level: "restricted",
    replaces: "seccompProfile",
    versions: [
      [19, findNoSeccomp],
      [25, unlessWindows(findNoSeccomp)],
    ],
  },
];

const chosen = new Map<string, readonly Find[]>();

/** The checks of a policy. Versions beyond the last that changed a check are one, so that few sets are kept. */
function checksOf({ level, minor = Number.POSITIVE_INFINITY }: Policy): readonly Find[] {
  const until = Math.min(minor, Math.max(...CHECKS.flatMap(({ versions }) => versions.map(([since]) => since))));
  const key = `${level}:${until}`;
  const known = chosen.get(key);
  if (known !== undefined) return known;
  const made = CHECKS.filter((check) => level === "restricted" || check.level === level).flatMap((check) => {
    const find = check.versions.findLast(([since]) => since <= until)?.[1];
    return find === undefined ? [] : [{ id: check.id, replaces: check.replaces, find }];
  });
  const replaced = new Set(made.map(({ replaces }) => replaces));
  const finds = made.filter(({ id }) => !replaced.has(id)).map(({ find }) => find);
  chosen.set(key, finds);
  return finds;
}

/** What of a pod, or of a template of pods, a policy forbids, in the order in which users are told. */
export function podViolations(
  policy: Policy,
  metadata: Pick<KubeObject["metadata"], "annotations"> | undefined,
  spec: Json,
): readonly Violation[] {
  if (policy.level === "privileged") return [];
  const subject: Subject = {
    annotations: metadata?.annotations ?? {},
    spec,
    containers: everyContainer(spec).map(([, container]) => container),
  };
  return checksOf(policy).flatMap((find) => find(subject) ?? []);
}
