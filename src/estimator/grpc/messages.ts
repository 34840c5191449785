import protobuf from "protobufjs";

/** Full name of the service (wire). */
export const SERVICE = "github.com.karmada_io.karmada.pkg.estimator.service.Estimator";

const text = (id: number) => ({ type: "string", id });
const repeated = (type: string, id: number) => ({ rule: "repeated", type, id });
const bytesByName = (id: number) => ({ keyType: "string", type: "bytes", id });

/** The messages by their published field numbers; the last five are Kubernetes' own, carried as bytes. */
const root = protobuf.Root.fromJSON({
  nested: {
    MaxAvailableReplicasRequest: {
      fields: {
        cluster: text(1),
        replicaRequirements: { type: "ReplicaRequirements", id: 2 },
        assumedWorkloads: repeated("AssumedWorkload", 3),
      },
    },
    MaxAvailableReplicasResponse: { fields: { maxReplicas: { type: "int32", id: 1 } } },
    MaxAvailableComponentSetsRequest: {
      fields: {
        cluster: text(1),
        components: repeated("Component", 2),
        namespace: text(3),
        assumedWorkloads: repeated("AssumedWorkload", 4),
      },
    },
    MaxAvailableComponentSetsResponse: { fields: { maxSets: { type: "int32", id: 1 } } },
    UnschedulableReplicasRequest: {
      fields: {
        cluster: text(1),
        resource: { type: "ObjectReference", id: 2 },
        unschedulableThreshold: { type: "int64", id: 3 },
      },
    },
    UnschedulableReplicasResponse: { fields: { unschedulableReplicas: { type: "int32", id: 1 } } },
    ReplicaRequirements: {
      fields: {
        nodeClaim: { type: "NodeClaim", id: 1 },
        namespace: text(3),
        priorityClassName: text(4),
        resourceRequestBytes: bytesByName(5),
      },
    },
    ComponentReplicaRequirements: {
      fields: {
        nodeClaim: { type: "NodeClaim", id: 1 },
        priorityClassName: text(3),
        resourceRequestBytes: bytesByName(4),
      },
    },
    Component: {
      fields: {
        name: text(1),
        replicaRequirements: { type: "ComponentReplicaRequirements", id: 2 },
        replicas: { type: "int32", id: 3 },
      },
    },
    NodeClaim: {
      fields: {
        nodeSelector: { keyType: "string", type: "string", id: 2 },
        nodeAffinityBytes: { type: "bytes", id: 4 },
        tolerationsBytes: repeated("bytes", 5),
      },
    },
    AssumedWorkload: { fields: { namespace: text(1), components: repeated("Component", 2) } },
    ObjectReference: { fields: { apiVersion: text(1), kind: text(2), namespace: text(3), name: text(4) } },
    Quantity: { fields: { string: text(1) } },
    NodeSelector: { fields: { nodeSelectorTerms: repeated("NodeSelectorTerm", 1) } },
    NodeSelectorTerm: {
      fields: {
        matchExpressions: repeated("NodeSelectorRequirement", 1),
        matchFields: repeated("NodeSelectorRequirement", 2),
      },
    },
    NodeSelectorRequirement: { fields: { key: text(1), operator: text(2), values: repeated("string", 3) } },
    Toleration: {
      fields: {
        key: text(1),
        operator: text(2),
        value: text(3),
        effect: text(4),
        tolerationSeconds: { type: "int64", id: 5 },
      },
    },
  },
} as protobuf.INamespace);

/** A message as plain JSON; unset members are absent. */
export type Message = Readonly<Record<string, unknown>>;

export interface Codec {
  encode(message: Message): Buffer;
  decode(bytes: Uint8Array): Message;
}

export function codecOf(name: string): Codec {
  const type = root.lookupType(name);
  return {
    encode: (message) => Buffer.from(type.encode(type.fromObject(message)).finish()),
    decode: (bytes) => type.toObject(type.decode(bytes), { longs: Number }) as Message,
  };
}

interface Method {
  readonly path: string;
  readonly request: Codec;
  readonly response: Codec;
}

const method = (name: string, request: string, response: string): Method => ({
  path: `/${SERVICE}/${name}`,
  request: codecOf(request),
  response: codecOf(response),
});

export const methods = {
  MaxAvailableReplicas: method("MaxAvailableReplicas", "MaxAvailableReplicasRequest", "MaxAvailableReplicasResponse"),
  MaxAvailableComponentSets: method(
    "MaxAvailableComponentSets",
    "MaxAvailableComponentSetsRequest",
    "MaxAvailableComponentSetsResponse",
  ),
  GetUnschedulableReplicas: method(
    "GetUnschedulableReplicas",
    "UnschedulableReplicasRequest",
    "UnschedulableReplicasResponse",
  ),
};
