import type { Component, ReplicaRequirements } from "#apis/karmada";
import type { AssumedWorkload } from "../general.ts";
import type { NodeClaim } from "../node-claim.ts";
import { codecOf, type Message } from "./messages.ts";

const quantity = codecOf("Quantity");
const nodeSelector = codecOf("NodeSelector");
const toleration = codecOf("Toleration");

type ComponentRequirements = NonNullable<Component["replicaRequirements"]>;
type Bytes = Readonly<Record<string, Uint8Array>>;

/** A list of no terms would be no bytes, read as no affinity; one empty term matches no node either (docs/decisions/0509). */
const NO_NODE = { nodeSelectorTerms: [{}] };

function claimToWire(claim: NodeClaim): Message {
  const affinity = claim.hardNodeAffinity;
  const terms = affinity?.nodeSelectorTerms ?? [];
  return {
    ...(claim.nodeSelector === undefined ? {} : { nodeSelector: claim.nodeSelector }),
    ...(affinity === undefined
      ? {}
      : { nodeAffinityBytes: nodeSelector.encode(terms.length === 0 ? NO_NODE : affinity) }),
    tolerationsBytes: (claim.tolerations ?? []).map((one) => toleration.encode(one)),
  };
}

function claimFromWire(message: Message): NodeClaim {
  const affinity = message["nodeAffinityBytes"] as Uint8Array | undefined;
  const tolerations = ((message["tolerationsBytes"] ?? []) as readonly Uint8Array[]).map((bytes) =>
    toleration.decode(bytes),
  );
  return {
    ...(message["nodeSelector"] === undefined
      ? {}
      : { nodeSelector: message["nodeSelector"] as Readonly<Record<string, string>> }),
    ...(affinity === undefined
      ? {}
      : {
          hardNodeAffinity: { nodeSelectorTerms: [], ...nodeSelector.decode(affinity) } as NonNullable<
            NodeClaim["hardNodeAffinity"]
          >,
        }),
    ...(tolerations.length === 0 ? {} : { tolerations: tolerations as NonNullable<NodeClaim["tolerations"]> }),
  };
}

function requestToWire(request: Readonly<Record<string, number | string>> | undefined): Message {
  return Object.fromEntries(
    Object.entries(request ?? {}).map(([name, amount]) => [name, quantity.encode({ string: String(amount) })]),
  );
}

function requestFromWire(message: Message): Readonly<Record<string, string>> {
  const bytes = (message["resourceRequestBytes"] ?? {}) as Bytes;
  return Object.fromEntries(
    Object.entries(bytes).map(([name, one]) => [name, (quantity.decode(one)["string"] as string | undefined) ?? "0"]),
  );
}

export function requirementsToWire(requirements: ReplicaRequirements | ComponentRequirements): Message {
  const { nodeClaim, priorityClassName, resourceRequest } = requirements;
  return {
    ...(nodeClaim === undefined ? {} : { nodeClaim: claimToWire(nodeClaim) }),
    ...("namespace" in requirements && requirements.namespace ? { namespace: requirements.namespace } : {}),
    ...(priorityClassName ? { priorityClassName } : {}),
    resourceRequestBytes: requestToWire(resourceRequest),
  };
}

export function requirementsFromWire(message: Message | undefined): ReplicaRequirements | undefined {
  if (message === undefined) return undefined;
  return {
    ...(message["nodeClaim"] === undefined ? {} : { nodeClaim: claimFromWire(message["nodeClaim"] as Message) }),
    ...(message["namespace"] ? { namespace: message["namespace"] as string } : {}),
    ...(message["priorityClassName"] ? { priorityClassName: message["priorityClassName"] as string } : {}),
    resourceRequest: requestFromWire(message),
  };
}

export function componentToWire({ name, replicas, replicaRequirements }: Component): Message {
  return {
    name,
    replicas,
    ...(replicaRequirements === undefined ? {} : { replicaRequirements: requirementsToWire(replicaRequirements) }),
  };
}

export function componentFromWire(message: Message): Component {
  const requirements = requirementsFromWire(message["replicaRequirements"] as Message | undefined);
  return {
    name: (message["name"] as string | undefined) ?? "",
    replicas: (message["replicas"] as number | undefined) ?? 0,
    ...(requirements === undefined ? {} : { replicaRequirements: requirements }),
  };
}

export function componentsFromWire(messages: unknown): readonly Component[] {
  return ((messages ?? []) as readonly Message[]).map(componentFromWire);
}

export function assumedToWire(assumed: readonly AssumedWorkload[] | undefined): readonly Message[] {
  return (assumed ?? []).map(({ namespace, components = [] }) => ({
    ...(namespace ? { namespace } : {}),
    components: components.map(componentToWire),
  }));
}

export function assumedFromWire(messages: unknown): readonly AssumedWorkload[] {
  return ((messages ?? []) as readonly Message[]).map((message) => ({
    namespace: (message["namespace"] as string | undefined) ?? "",
    components: componentsFromWire(message["components"]),
  }));
}
