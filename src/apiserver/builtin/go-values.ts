/** Values in messages as Go shows its internal types: every field under its Go name, absent ones too. */
import { isJsonObject, type JsonSchema } from "#machinery";
import { emptyAt, goFields } from "./go-shape.ts";
import { builtinSchemas } from "./schemas.ts";
import { unifiedDiff } from "./text-diff.ts";

const REF = "#/components/schemas/";
const CORE = "io.k8s.api.core.v1.";

const HOST_PARTS = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];
const SECURITY: Readonly<Record<string, string>> = {
  HostNetwork: "boolean",
  HostPID: "boolean",
  HostIPC: "boolean",
  ShareProcessNamespace: "pointer",
  HostUsers: "pointer",
};

/** Sources of volumes are a type of their own inside kube-apiserver. */
const VOLUME_SOURCE =
  "GCEPersistentDisk AWSElasticBlockStore HostPath Glusterfs NFS RBD Quobyte ISCSI FlexVolume Cinder CephFS FC Flocker AzureFile VsphereVolume AzureDisk PhotonPersistentDisk PortworxVolume ScaleIO Local StorageOS CSI".split(
    " ",
  );

/** Types whose fields stand in another order inside kube-apiserver than in what it publishes. */
const ORDERS: Readonly<Record<string, readonly string[]>> = {
  [`${CORE}Volume`]:
    "Name HostPath EmptyDir GCEPersistentDisk AWSElasticBlockStore GitRepo Secret NFS ISCSI Glusterfs PersistentVolumeClaim RBD Quobyte FlexVolume Cinder CephFS Flocker DownwardAPI FC AzureFile ConfigMap VsphereVolume AzureDisk PhotonPersistentDisk Projected PortworxVolume ScaleIO StorageOS CSI Ephemeral Image".split(
      " ",
    ),
  [`${CORE}PodSpec`]:
    "Volumes InitContainers Containers EphemeralContainers RestartPolicy TerminationGracePeriodSeconds ActiveDeadlineSeconds DNSPolicy NodeSelector ServiceAccountName AutomountServiceAccountToken NodeName SecurityContext ImagePullSecrets Hostname Subdomain SetHostnameAsFQDN Affinity SchedulerName Tolerations HostAliases PriorityClassName Priority PreemptionPolicy DNSConfig ReadinessGates RuntimeClassName Overhead EnableServiceLinks TopologySpreadConstraints OS SchedulingGates ResourceClaims Resources HostnameOverride SchedulingGroup".split(
      " ",
    ),
  [`${CORE}PersistentVolumeSpec`]: [
    "Capacity",
    ...VOLUME_SOURCE,
    ..."AccessModes ClaimRef PersistentVolumeReclaimPolicy StorageClassName MountOptions VolumeMode NodeAffinity VolumeAttributesClassName".split(
      " ",
    ),
  ],
  [`${CORE}PodSecurityContext`]:
    "SELinuxOptions WindowsOptions RunAsUser RunAsGroup RunAsNonRoot SupplementalGroups SupplementalGroupsPolicy FSGroup FSGroupChangePolicy Sysctls SeccompProfile AppArmorProfile SELinuxChangePolicy".split(
      " ",
    ),
};

const refOf = (schema: JsonSchema | undefined): string | undefined => {
  const ref = schema?.$ref ?? (schema?.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  return ref?.slice(REF.length);
};

/** What Go prints of a value of a published type, given by the last part of its name in the core group or by its whole name. */
export function goValue(type: string, value: unknown): unknown {
  if (type === "PersistentVolumeSource") {
    const whole = named(`${CORE}PersistentVolumeSpec`, value ?? {}) as Readonly<Record<string, unknown>>;
    return Object.fromEntries(VOLUME_SOURCE.map((name) => [name, whole[name]]));
  }
  return named(type.includes(".") ? type : CORE + type, value ?? {});
}

/** Difference of two values as Kubernetes appends it to a refusal. */
export const goDiff = (type: string, before: unknown, after: unknown): string =>
  unifiedDiff(
    JSON.stringify(goValue(type, before), undefined, " "),
    JSON.stringify(goValue(type, after), undefined, " "),
  );

function named(name: string, value: unknown): unknown {
  const fields = goFields(name);
  // Types of the machinery have one form for all; others of them are single values.
  if (fields === undefined || name.includes("apimachinery")) return value;
  if (!isJsonObject(value)) return value;
  const { properties = {} } = builtinSchemas()[name] ?? {};
  const order = ORDERS[name];
  const ordered = order === undefined ? fields : order.flatMap((go) => fields.filter((field) => field.go === go));
  const result: Record<string, unknown> = {};
  for (const field of ordered) {
    const schema = properties[field.json];
    // Metadata is embedded in what it describes.
    if (field.go === "ObjectMeta") Object.assign(result, sortedMaps((value["metadata"] ?? {}) as object));
    else if (field.json === "securityContext" && name === `${CORE}PodSpec`) result[field.go] = podSecurity(value);
    else result[field.go] = shown(schema, value[field.json] ?? emptyAt(value, field.json), field.isPointer);
  }
  return result;
}

const sortedMap = (map: object) =>
  Object.fromEntries(Object.entries(map).sort(([left], [right]) => (left < right ? -1 : 1)));

/** Metadata with its maps in the order of their keys. */
const sortedMaps = (metadata: object): object =>
  Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [key, isJsonObject(value) ? sortedMap(value) : (value as unknown)]),
  );

/** Internally what a pod shares with its host is a part of its security context. */
function podSecurity(spec: Readonly<Record<string, unknown>>): unknown {
  const context = spec["securityContext"];
  if (!isJsonObject(context)) return null;
  const host = Object.entries(SECURITY).map(([go, kind], at) => [
    go,
    spec[HOST_PARTS[at] as string] ?? (kind === "boolean" ? false : null),
  ]);
  return { ...(Object.fromEntries(host) as object), ...(named(`${CORE}PodSecurityContext`, context) as object) };
}

function shown(schema: JsonSchema | undefined, value: unknown, isPointer: boolean): unknown {
  if (schema === undefined) return value ?? null;
  const ref = refOf(schema);
  if (value === undefined || value === null) {
    if (isPointer) return null;
    if (ref !== undefined) return /\.(?:Time|Quantity|RawExtension)$/.test(ref) ? null : named(ref, {});
    return schema.type === "string" ? "" : schema.type === "boolean" ? false : schema.type === "integer" ? 0 : null;
  }
  if (ref !== undefined) return named(ref, value);
  if (Array.isArray(value)) return value.map((item) => shown(schema.items, item, false));
  if (isJsonObject(value) && typeof schema.additionalProperties === "object") {
    const { additionalProperties } = schema;
    return Object.fromEntries(
      Object.entries(value)
        .sort(([left], [right]) => (left < right ? -1 : 1))
        .map(([key, item]) => [key, shown(additionalProperties, item, false)]),
    );
  }
  return value;
}
