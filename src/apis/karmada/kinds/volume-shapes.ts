import { labelSelector, typedLocalReference } from "./kubernetes-shapes.ts";
import {
  ATOMIC_MAP,
  atomicList,
  boolean,
  int32,
  int64,
  labels,
  object,
  quantities,
  quantity,
  type Schema,
  shape,
  string,
  strings,
} from "./schema.ts";

/** Volumes of pods, as Kubernetes has them; the operator's kind embeds them. */

const MODE = "Mode bits, 0 to 0777 or in decimal.";
const fsType = (rules = {}) => string("Type of the file system, for instance `ext4`.", rules);
const readOnly = (rules = {}) => boolean("Mounts for reading only. Default false.", rules);
const partition = int32("Number of the partition to mount; zero or absent for the whole disk.");
const optional = (what: string, rules = {}) => boolean(`Goes on without ${what} where it does not exist.`, rules);

export const localReference = shape(
  "LocalObjectReference",
  "Names an object in the same namespace.",
  { name: string("Name of the object.", { default: "" }) },
  [],
  ATOMIC_MAP,
);

const keyToPath = shape(
  "KeyToPath",
  "Puts one key into one file.",
  {
    key: string("The key."),
    mode: int32(`${MODE} Absent: those of the volume.`),
    path: string("The file, relative to the volume; never with `..`."),
  },
  ["key", "path"],
);
const items = atomicList("Keys to take, with their files. Empty: every key, each in a file of its name.", keyToPath());

export const fieldReference = shape(
  "ObjectFieldSelector",
  "A field of the pod.",
  {
    apiVersion: string("API version the path is written in. Default v1."),
    fieldPath: string("Path of the field, for instance `metadata.name`."),
  },
  ["fieldPath"],
  ATOMIC_MAP,
);
export const resourceFieldReference = shape(
  "ResourceFieldSelector",
  "A resource of a container.",
  {
    containerName: string("Name of the container; needed in volumes."),
    divisor: quantity("Unit of the number that comes out. Default 1."),
    resource: string("The resource, for instance `limits.cpu`."),
  },
  ["resource"],
  ATOMIC_MAP,
);

const downwardItem = shape(
  "DownwardAPIVolumeFile",
  "Puts one fact about the pod into a file. Give either `fieldRef` or `resourceFieldRef`.",
  {
    fieldRef: fieldReference(),
    mode: int32(`${MODE} Absent: those of the volume.`),
    path: string("The file, relative to the volume; never with `..`."),
    resourceFieldRef: resourceFieldReference(),
  },
  ["path"],
);
const downwardItems = atomicList("Facts about the pod, with their files.", downwardItem());

const projectedKeys = (what: string) =>
  object(
    `Keys of a ${what}.`,
    { items, name: string(`Name of the ${what}.`, { default: "" }), optional: optional(`the ${what} or its keys`) },
    [],
    ATOMIC_MAP,
  );

export const emptyDir = shape("EmptyDirVolumeSource", "An empty folder that lives as long as the pod.", {
  medium: string("Memory keeps it in memory; empty on the node's disk."),
  sizeLimit: quantity("Most that it may hold. Absent: no limit."),
});

export const hostPath = shape(
  "HostPathVolumeSource",
  "A file or folder of the node.",
  {
    path: string("Path on the node."),
    type: string("What must be there, or is made: for instance Directory or DirectoryOrCreate. Empty: not looked at."),
  },
  ["path"],
);

export const claimTemplate = shape(
  "PersistentVolumeClaimTemplate",
  "A claim for a volume that is made together with the pod.",
  {
    metadata: object("Labels and annotations the claim gets.", {
      annotations: labels("Annotations of the claim."),
      finalizers: strings("Finalizers of the claim."),
      labels: labels("Labels of the claim."),
      name: string("Name; not used, the claim is called after the pod."),
      namespace: string("Namespace; not used, the claim is made in that of the pod."),
    }),
    spec: object("The volume that is asked for.", {
      accessModes: atomicList("How it may be mounted, for instance ReadWriteOnce.", string()),
      dataSource: typedLocalReference("A snapshot or claim whose content it starts with."),
      dataSourceRef: object(
        "As `dataSource`, for every kind and perhaps in another namespace.",
        {
          apiGroup: string("API group of the object; empty for the core group."),
          kind: string("Kind of the object."),
          name: string("Name of the object."),
          namespace: string("Namespace of the object. Empty: the same."),
        },
        ["kind", "name"],
      ),
      resources: object("How large it is to be.", {
        limits: quantities("Most it may have."),
        requests: quantities("Least it must have, as `storage`."),
      }),
      selector: labelSelector("Labels of the volumes that may be taken."),
      storageClassName: string("Storage class. Absent: the default class."),
      volumeAttributesClassName: string("Class of changeable attributes of the volume."),
      volumeMode: string("Filesystem (the default) or Block."),
      volumeName: string("Name of the volume to take."),
    }),
  },
  ["spec"],
);

const projectedSources = object("One source. Exactly one of its fields is given.", {
  clusterTrustBundle: object(
    "Trusted certificates of the cluster.",
    {
      labelSelector: labelSelector("Labels of the bundles to take, together with `signerName`."),
      name: string("Name of one bundle."),
      optional: optional("the bundle"),
      path: string("The file, relative to the volume."),
      signerName: string("Takes every bundle of this signer."),
    },
    ["path"],
  ),
  configMap: projectedKeys("ConfigMap"),
  downwardAPI: object("Facts about the pod.", { items: downwardItems }),
  podCertificate: object(
    "A certificate made for the pod, with its key.",
    {
      certificateChainPath: string("File for the certificates, relative to the volume."),
      credentialBundlePath: string("File for key and certificates together, relative to the volume."),
      keyPath: string("File for the key, relative to the volume."),
      keyType: string("Type of the key, for instance ED25519 or ECDSAP256."),
      maxExpirationSeconds: int32("Longest life of the certificate, in seconds."),
      signerName: string("Who is to sign."),
      userAnnotations: labels("Facts handed to the signer."),
    },
    ["keyType", "signerName"],
  ),
  secret: projectedKeys("Secret"),
  serviceAccountToken: object(
    "A token of the pod's service account.",
    {
      audience: string("Whom the token is for. Default: the API server."),
      expirationSeconds: int64("Life of the token, in seconds, from 600. Default 3600."),
      path: string("The file, relative to the volume."),
    },
    ["path"],
  ),
});

const secretRef = (what: string) => localReference(`Secret with ${what}.`);

const networkStorage: Readonly<Record<string, Schema>> = {
  awsElasticBlockStore: object(
    "A disk of AWS.",
    { fsType: fsType(), partition, readOnly: readOnly(), volumeID: string("Id of the disk.") },
    ["volumeID"],
  ),
  azureDisk: object(
    "A disk of Azure.",
    {
      cachingMode: string("None, ReadOnly or ReadWrite."),
      diskName: string("Name of the disk."),
      diskURI: string("URI of the disk."),
      fsType: fsType({ default: "ext4" }),
      kind: string("Shared, Dedicated or Managed."),
      readOnly: readOnly({ default: false }),
    },
    ["diskName", "diskURI"],
  ),
  azureFile: object(
    "A share of Azure Files.",
    {
      readOnly: readOnly(),
      secretName: string("Secret with account and key."),
      shareName: string("Name of the share."),
    },
    ["secretName", "shareName"],
  ),
  cephfs: object(
    "A Ceph file system.",
    {
      monitors: atomicList("Addresses of the monitors.", string()),
      path: string("Folder to mount. Default `/`."),
      readOnly: readOnly(),
      secretFile: string("File on the node with the key."),
      secretRef: secretRef("the key, in place of the file"),
      user: string("User. Default admin."),
    },
    ["monitors"],
  ),
  cinder: object(
    "A disk of OpenStack.",
    {
      fsType: fsType(),
      readOnly: readOnly(),
      secretRef: secretRef("credentials for OpenStack"),
      volumeID: string("Id of the disk."),
    },
    ["volumeID"],
  ),
  fc: object("A disk behind Fibre Channel.", {
    fsType: fsType(),
    lun: int32("Number of the logical unit."),
    readOnly: readOnly(),
    targetWWNs: atomicList("Names of the targets.", string()),
    wwids: atomicList("Ids of the disk, in place of targets and unit.", string()),
  }),
  flexVolume: object(
    "A volume of a driver that is a program on the node.",
    {
      driver: string("Name of the driver."),
      fsType: fsType(),
      options: labels("Options for the driver."),
      readOnly: readOnly(),
      secretRef: secretRef("what the driver needs to know in secret"),
    },
    ["driver"],
  ),
  flocker: object("A volume of Flocker.", {
    datasetName: string("Name of the data set."),
    datasetUUID: string("UUID of the data set."),
  }),
  gcePersistentDisk: object(
    "A disk of Google's cloud.",
    { fsType: fsType(), partition, pdName: string("Name of the disk."), readOnly: readOnly() },
    ["pdName"],
  ),
  glusterfs: object(
    "A volume of GlusterFS.",
    {
      endpoints: string("Name of the Endpoints that list the servers."),
      path: string("Name of the volume."),
      readOnly: readOnly(),
    },
    ["endpoints", "path"],
  ),
  iscsi: object(
    "A disk behind iSCSI.",
    {
      chapAuthDiscovery: boolean("Uses CHAP for discovery."),
      chapAuthSession: boolean("Uses CHAP for sessions."),
      fsType: fsType(),
      initiatorName: string("Name of the initiator."),
      iqn: string("Qualified name of the target."),
      iscsiInterface: string("Interface of the initiator.", { default: "default" }),
      lun: int32("Number of the logical unit."),
      portals: atomicList("Further addresses of the target.", string()),
      readOnly: readOnly(),
      secretRef: secretRef("credentials for CHAP"),
      targetPortal: string("Address of the target."),
    },
    ["iqn", "lun", "targetPortal"],
  ),
  nfs: object(
    "A folder served over NFS.",
    {
      path: string("Folder on the server."),
      readOnly: readOnly(),
      server: string("Name or address of the server."),
    },
    ["path", "server"],
  ),
  photonPersistentDisk: object("A disk of Photon.", { fsType: fsType(), pdID: string("Id of the disk.") }, ["pdID"]),
  portworxVolume: object(
    "A volume of Portworx.",
    { fsType: fsType(), readOnly: readOnly(), volumeID: string("Id of the volume.") },
    ["volumeID"],
  ),
  quobyte: object(
    "A volume of Quobyte.",
    {
      group: string("Group that owns the files."),
      readOnly: readOnly(),
      registry: string("Addresses of the registry, as `host:port`, separated by commas."),
      tenant: string("Tenant the volume belongs to."),
      user: string("User that owns the files."),
      volume: string("Name of the volume."),
    },
    ["registry", "volume"],
  ),
  rbd: object(
    "A block device of Ceph.",
    {
      fsType: fsType(),
      image: string("Name of the image."),
      keyring: string("File on the node with the keys.", { default: "/etc/ceph/keyring" }),
      monitors: atomicList("Addresses of the monitors.", string()),
      pool: string("Pool the image is in.", { default: "rbd" }),
      readOnly: readOnly(),
      secretRef: secretRef("the key, in place of the file"),
      user: string("User.", { default: "admin" }),
    },
    ["image", "monitors"],
  ),
  scaleIO: object(
    "A volume of ScaleIO.",
    {
      fsType: fsType({ default: "xfs" }),
      gateway: string("Address of the gateway."),
      protectionDomain: string("Protection domain of the volume."),
      readOnly: readOnly(),
      secretRef: secretRef("user and password"),
      sslEnabled: boolean("Speaks TLS with the gateway. Default false."),
      storageMode: string("ThickProvisioned or ThinProvisioned.", { default: "ThinProvisioned" }),
      storagePool: string("Storage pool of the volume."),
      system: string("Name of the system."),
      volumeName: string("Name of the volume."),
    },
    ["gateway", "secretRef", "system"],
  ),
  storageos: object("A volume of StorageOS.", {
    fsType: fsType(),
    readOnly: readOnly(),
    secretRef: secretRef("credentials for StorageOS"),
    volumeName: string("Name of the volume."),
    volumeNamespace: string("Namespace of the volume within StorageOS. Absent: that of the pod."),
  }),
  vsphereVolume: object(
    "A disk of vSphere.",
    {
      fsType: fsType(),
      storagePolicyID: string("Id of the storage policy."),
      storagePolicyName: string("Name of the storage policy."),
      volumePath: string("Path of the disk."),
    },
    ["volumePath"],
  ),
};

export const volume = shape(
  "Volume",
  "A volume of a pod: its name, and exactly one source.",
  {
    ...networkStorage,
    configMap: object(
      "The keys of a ConfigMap as files.",
      {
        defaultMode: int32(`${MODE} Default 0644.`),
        items,
        name: string("Name of the ConfigMap.", { default: "" }),
        optional: optional("the ConfigMap or its keys"),
      },
      [],
      ATOMIC_MAP,
    ),
    csi: object(
      "A volume that a CSI driver makes for this pod.",
      {
        driver: string("Name of the driver."),
        fsType: fsType(),
        nodePublishSecretRef: secretRef("what the driver needs to know in secret"),
        readOnly: readOnly(),
        volumeAttributes: labels("Attributes for the driver."),
      },
      ["driver"],
    ),
    downwardAPI: object("Facts about the pod as files.", {
      defaultMode: int32(`${MODE} Default 0644.`),
      items: downwardItems,
    }),
    emptyDir: emptyDir(),
    ephemeral: object("A volume made by a claim that lives as long as the pod.", {
      volumeClaimTemplate: claimTemplate(),
    }),
    gitRepo: object(
      "A clone of a git repository; no longer served by Kubernetes.",
      {
        directory: string("Folder to clone into."),
        repository: string("Address of the repository."),
        revision: string("Commit to check out."),
      },
      ["repository"],
    ),
    hostPath: hostPath(),
    image: object("The content of an image.", {
      pullPolicy: string("Always, IfNotPresent or Never."),
      reference: string("Name of the image."),
    }),
    name: string("Name of the volume, unique in the pod."),
    persistentVolumeClaim: object(
      "A claim in the same namespace.",
      { claimName: string("Name of the claim."), readOnly: readOnly() },
      ["claimName"],
    ),
    projected: object("Several sources in one folder.", {
      defaultMode: int32(`${MODE} Default 0644.`),
      sources: atomicList("The sources.", projectedSources),
    }),
    secret: object("The keys of a Secret as files.", {
      defaultMode: int32(`${MODE} Default 0644.`),
      items,
      optional: optional("the Secret or its keys"),
      secretName: string("Name of the Secret."),
    }),
  },
  ["name"],
);
