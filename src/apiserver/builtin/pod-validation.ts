/** What a pod must keep to as a whole, and what of it may change, in the order and the words of kube-apiserver. */
import {
  compareQuantities,
  type FieldError,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  formatQuantity,
  type KubeObject,
  parseQuantity,
} from "#machinery";
import { isIP } from "node:net";
import { validateAnnotations, validateLabels } from "../metadata.ts";
import { APP_ARMOR, appArmorConflicts } from "./app-armor.ts";
import { ipErrors, listAt, repetitions, valueAt } from "./checks.ts";
import { goValue } from "./go-values.ts";
import { dnsLabelErrors, nameErrorsAt, subdomainErrorsAt } from "./name-checks.ts";
import { allContainerErrors, containerAmountErrors, resourceErrors } from "./pod-containers.ts";
import { type Amounts, containerAmounts, isOfWholePod } from "./pod-amounts.ts";
import type { Json } from "./pod-defaults.ts";
import { affinityErrors, gateErrors, readinessGateErrors, spreadErrors, tolerationErrors } from "./pod-scheduling.ts";
import { descendingErrors } from "./pod-paths.ts";
import { hostProcessErrors, hostUserErrors, podSecurityErrors, systemErrors } from "./pod-security.ts";
import { volumeErrors } from "./pod-volumes.ts";

const DEADLINE_MAX = 2_147_483_647;
const GRACE_DEFAULT = 30;
const NAMESERVERS_MAX = 3;
const SEARCHES_MAX = 32;
const SEARCH_CHARACTERS_MAX = 2048;
const SEARCH_MAX = 253;
const HOSTNAME_MAX = 64;
const MIRROR = "kubernetes.io/config.mirror";

/** Specs without a mistake. A workload's template goes through many hands and stays the same object. */
const sound = new WeakSet<Json>();

/** What is known of the pod whose spec is looked at. */
interface PodOfSpec {
  readonly name?: string;
  /** The spec it had. */
  readonly before?: Json;
}

/** Mistakes of a pod's spec; `pod` is whose it is, where that is known. */
export function podSpecErrors(spec: Json, path: string, pod: PodOfSpec = {}): FieldError[] {
  if (sound.has(spec)) return [];
  const errors = mistakesOf(spec, path, pod);
  if (errors.length === 0) sound.add(spec);
  return errors;
}

function mistakesOf(spec: Json, path: string, { name, before }: PodOfSpec): FieldError[] {
  const volumes = new Map<string, Json>();
  const found = volumeErrors(spec, path, volumes, name);
  const claims = new Set(listAt(spec, "resourceClaims").flatMap(({ name }) => (name ? [String(name)] : [])));
  const graceSeconds = Number(spec["terminationGracePeriodSeconds"] ?? GRACE_DEFAULT);
  return [
    ...found,
    ...claimErrors(spec, path),
    ...allContainerErrors({ spec, volumes, claims, graceSeconds }, path),
    ...(spec["resources"] === undefined ? [] : wholeErrors(spec, path, claims)),
    ...oneOf(spec["restartPolicy"], `${path}.restartPolicy`, ["Always", "OnFailure", "Never"]),
    ...oneOf(spec["dnsPolicy"], `${path}.dnsPolicy`, ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]),
    ...validateLabels(spec["nodeSelector"] as Readonly<Record<string, string>> | undefined, `${path}.nodeSelector`),
    ...podSecurityErrors(spec, path, before),
    ...affinityErrors(spec, path),
    ...dnsErrors(spec, path),
    ...readinessGateErrors(spec, path),
    ...gateErrors(spec, path),
    ...spreadErrors(spec, path),
    ...hostProcessErrors(spec, path),
    ...hostUserErrors(spec, path),
    ...subdomainAt(spec, "serviceAccountName", path),
    ...subdomainAt(spec, "nodeName", path),
    ...deadlineErrors(spec, path),
    ...["hostname", "subdomain"].flatMap((name) => (spec[name] ? dnsLabelErrors(spec[name], `${path}.${name}`) : [])),
    ...hostnameErrors(spec, path),
    ...tolerationErrors(spec, path),
    ...listAt(spec, "hostAliases").flatMap((alias, at) => [
      ...ipErrors(alias["ip"] ?? "", `${path}.hostAliases[${at}].ip`),
      ...listAt(alias, "hostnames").flatMap((name, number) =>
        subdomainErrorsAt(name, `${path}.hostAliases[${at}].hostnames[${number}]`),
      ),
    ]),
    ...subdomainAt(spec, "priorityClassName", path),
    ...subdomainAt(spec, "runtimeClassName", path),
    ...(spec["preemptionPolicy"] === undefined
      ? []
      : oneOf(spec["preemptionPolicy"], `${path}.preemptionPolicy`, ["PreemptLowerPriority", "Never"])),
    ...Object.entries((spec["overhead"] ?? {}) as Readonly<Record<string, string>>).flatMap(([name, amount]) =>
      containerAmountErrors(name, amount, `${path}.overhead[${name}]`),
    ),
    ...systemErrors(spec, path),
    ...tokenErrors(spec, path),
  ];
}

/** What a pod as a whole asks for: a few resources, and no less than its containers do. */
function wholeErrors(spec: Json, path: string, claims: ReadonlySet<string>): FieldError[] {
  const resources = spec["resources"] as Json;
  const where = `${path}.resources`;
  const requests = (resources["requests"] ?? {}) as Amounts;
  const unsupported = ["limits", "requests"].flatMap((part) =>
    Object.keys((resources[part] ?? {}) as Amounts)
      .filter((name) => !isOfWholePod(name))
      .map((name) => fieldNotSupported(`${where}.${part}[${name}]`, name, ["cpu", "hugepages-", "memory"])),
  );
  const together = containerAmounts(spec, "requests");
  return [
    ...(listAt(resources, "claims").length === 0
      ? []
      : [fieldForbidden(`${where}.claims`, "claims may not be set for Resources at pod-level")]),
    ...unsupported,
    ...resourceErrors(resources, where, claims, true),
    ...Object.entries(requests).flatMap(([name, amount]) => {
      const [own, sum] = [parseQuantity(amount), together.get(name)];
      return own === undefined || sum === undefined || compareQuantities(sum, own) <= 0
        ? []
        : [
            fieldInvalid(
              `${where}.requests[${name}]`,
              amount,
              `must be greater than or equal to aggregate container requests of ${formatQuantity(sum)}`,
            ),
          ];
    }),
  ];
}

function oneOf(value: unknown, path: string, allowed: readonly string[]): FieldError[] {
  if (!value) return [fieldRequired(path)];
  return allowed.includes(String(value)) ? [] : [fieldNotSupported(path, value, allowed)];
}

const subdomainAt = (spec: Json, name: string, path: string): FieldError[] =>
  spec[name] ? subdomainErrorsAt(spec[name], `${path}.${name}`) : [];

function deadlineErrors(spec: Json, path: string): FieldError[] {
  const deadline = spec["activeDeadlineSeconds"];
  return typeof deadline === "number" && (deadline < 1 || deadline > DEADLINE_MAX)
    ? [fieldInvalid(`${path}.activeDeadlineSeconds`, deadline, `must be between 1 and ${DEADLINE_MAX}, inclusive`)]
    : [];
}

function hostnameErrors(spec: Json, path: string): FieldError[] {
  const name = spec["hostnameOverride"];
  if (name === undefined) return [];
  const where = `${path}.hostnameOverride`;
  const errors: FieldError[] = String(name).length > HOSTNAME_MAX ? [fieldTooLong(where, HOSTNAME_MAX)] : [];
  if (spec["setHostnameAsFQDN"] === true)
    errors.push(fieldForbidden(where, "may not be specified when setHostnameAsFQDN is true"));
  if (spec["hostNetwork"] === true) errors.push(fieldForbidden(where, "may not be specified when hostNetwork is true"));
  return [...errors, ...subdomainErrorsAt(name, where)];
}

function claimErrors(spec: Json, path: string): FieldError[] {
  const wasThere = repetitions();
  return listAt(spec, "resourceClaims").flatMap((claim, at) => {
    const where = `${path}.resourceClaims[${at}]`;
    const { name, resourceClaimName: own, resourceClaimTemplateName: template } = claim;
    const errors: FieldError[] = nameErrorsAt(name, `${where}.name`);
    if (wasThere(name) && errors.length === 0) errors.push(fieldDuplicate(`${where}.name`, name));
    const refuse = (what: string) => errors.push(fieldInvalid(where, goValue("PodResourceClaim", claim), what));
    if (own !== undefined && template !== undefined)
      refuse("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
    if (own === undefined && template === undefined)
      refuse("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
    if (own !== undefined) errors.push(...subdomainErrorsAt(own, `${where}.resourceClaimName`));
    if (template !== undefined) errors.push(...subdomainErrorsAt(template, `${where}.resourceClaimTemplateName`));
    return errors;
  });
}

function dnsErrors(spec: Json, path: string): FieldError[] {
  const config = spec["dnsConfig"] as Json | undefined;
  const where = `${path}.dnsConfig`;
  if (config === undefined)
    return spec["dnsPolicy"] === "None"
      ? [fieldRequired(where, "must provide `dnsConfig` when `dnsPolicy` is None")]
      : [];
  const errors: FieldError[] = [];
  const servers = listAt(config, "nameservers");
  const searches = listAt(config, "searches") as unknown as readonly string[];
  if (spec["dnsPolicy"] === "None" && servers.length === 0)
    errors.push(
      fieldRequired(`${where}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None"),
    );
  if (servers.length > NAMESERVERS_MAX)
    errors.push(
      fieldInvalid(`${where}.nameservers`, servers, `must not have more than ${NAMESERVERS_MAX} nameservers`),
    );
  for (const [at, server] of servers.entries())
    if (isIP(String(server)) === 0) errors.push(...ipErrors(server, `${where}.nameservers[${at}]`));
  if (searches.length > SEARCHES_MAX)
    errors.push(fieldInvalid(`${where}.searches`, searches, `must not have more than ${SEARCHES_MAX} search paths`));
  if (searches.join(" ").length > SEARCH_CHARACTERS_MAX)
    errors.push(
      fieldInvalid(
        `${where}.searches`,
        searches,
        `must not have more than ${SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list`,
      ),
    );
  for (const [at, search] of searches.entries())
    if (search !== ".") errors.push(...searchErrors(search.replace(/\.$/, ""), `${where}.searches[${at}]`));
  for (const [at, option] of listAt(config, "options").entries())
    if (!option["name"]) errors.push(fieldRequired(`${where}.options[${at}]`, "must not be empty"));
  return errors;
}

const SEARCH = /^_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$/;
const SEARCH_TEXT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";

/** A search domain, in which underscores are allowed. */
const searchErrors = (search: string, path: string): FieldError[] => [
  ...(search.length > SEARCH_MAX ? [fieldInvalid(path, search, `must be no more than ${SEARCH_MAX} characters`)] : []),
  ...(SEARCH.test(search) ? [] : [fieldInvalid(path, search, SEARCH_TEXT)]),
];

/** Tokens of service accounts need one. */
const tokenErrors = (spec: Json, path: string): FieldError[] =>
  spec["serviceAccountName"]
    ? []
    : listAt(spec, "volumes").flatMap((volume, at) =>
        listAt(volume, "projected.sources").flatMap((source, number) =>
          source["serviceAccountToken"] === undefined
            ? []
            : [
                fieldForbidden(
                  `${path}.volumes[${at}].projected.sources[${number}].serviceAccountToken`,
                  "must not be specified when serviceAccountName is not set",
                ),
              ],
        ),
      );

const SECCOMP = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP_PROFILES: readonly string[] = ["runtime/default", "docker/default", "unconfined"];
/** The pod's own profile is looked at before those of its containers. */
const podFirst = (left: string, right: string) => Number(right === SECCOMP) - Number(left === SECCOMP);

function seccompErrors(profile: string, path: string): FieldError[] {
  if (SECCOMP_PROFILES.includes(profile)) return [];
  return profile.startsWith("localhost/")
    ? descendingErrors(profile.slice("localhost/".length), path)
    : [fieldInvalid(path, profile, "must be a valid seccomp profile")];
}

/** Annotations that mean something for a pod. */
function annotationErrors(annotations: Readonly<Record<string, string>>, spec: Json, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (annotations[MIRROR] !== undefined && !spec["nodeName"])
    errors.push(
      fieldInvalid(`${path}[${MIRROR}]`, annotations[MIRROR], "must set spec.nodeName if mirror pod annotation is set"),
    );
  for (const key of Object.keys(annotations).sort(podFirst))
    if (key === SECCOMP || key.startsWith(SECCOMP_CONTAINER))
      errors.push(...seccompErrors(annotations[key] as string, `${path}.${key}`));
  for (const [key, profile] of Object.entries(annotations)) {
    if (!key.startsWith(APP_ARMOR)) continue;
    const name = key.slice(APP_ARMOR.length);
    const isThere = ["containers", "initContainers", "ephemeralContainers"].some((list) =>
      listAt(spec, list).some((container) => container["name"] === name),
    );
    if (!isThere) errors.push(fieldInvalid(`${path}[${key}]`, name, "container not found"));
    else if (!["", "runtime/default", "unconfined"].includes(profile) && !profile.startsWith("localhost/"))
      errors.push(
        fieldInvalid(`${path}[${key}]`, profile, `invalid AppArmor profile name: ${JSON.stringify(profile)}`),
      );
  }
  return errors;
}

/** Mistakes of the labels and annotations of a template of pods. */
export function podTemplateMetadataErrors(template: Json | undefined, path: string): FieldError[] {
  const { labels, annotations = {} } = (template?.["metadata"] ?? {}) as {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  return [
    ...validateLabels(labels, `${path}.labels`),
    ...validateAnnotations(annotations, `${path}.annotations`),
    ...annotationErrors(annotations, (template?.["spec"] ?? {}) as Json, `${path}.annotations`),
  ];
}

/** Mistakes of a template of pods. */
export function podTemplateErrors(template: Json | undefined, path: string): FieldError[] {
  const spec = (template?.["spec"] ?? {}) as Json;
  return [
    ...podTemplateMetadataErrors(template, path),
    ...podSpecErrors(spec, `${path}.spec`),
    ...(listAt(spec, "ephemeralContainers").length > 0
      ? [fieldForbidden(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template")]
      : []),
  ];
}

/** Mistakes of a pod. */
export function podErrors(pod: KubeObject, old?: KubeObject): FieldError[] {
  const spec = (valueAt(pod, "spec") ?? {}) as Json;
  return [
    ...annotationErrors(pod.metadata.annotations ?? {}, spec, "metadata.annotations"),
    ...podSpecErrors(spec, "spec", {
      ...(pod.metadata.name === undefined ? {} : { name: pod.metadata.name }),
      ...(old === undefined ? {} : { before: (valueAt(old, "spec") ?? {}) as Json }),
    }),
  ];
}

/** What only a new pod may not have. */
export function newPodErrors(pod: KubeObject): FieldError[] {
  const spec = (valueAt(pod, "spec") ?? {}) as Json;
  return [
    ...(listAt(spec, "ephemeralContainers").length > 0
      ? [fieldForbidden("spec.ephemeralContainers", "cannot be set on create")]
      : []),
    ...(spec["nodeName"] && listAt(spec, "schedulingGates").length > 0
      ? [fieldForbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")]
      : []),
    ...appArmorConflicts(spec, pod.metadata.annotations ?? {}),
  ];
}
