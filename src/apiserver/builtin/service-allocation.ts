import { fieldInvalid, getPath, invalid, type KubeObject, setPath } from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { ApiServer } from "../server.ts";
import type { Json } from "./pod-defaults.ts";

const PORT_FIRST = 30_000;
const PORT_LAST = 32_767;
const SERVICE = { group: "", kind: "Service" };

/** How many addresses 10.96.0.0/12 has. */
const ADDRESSES = 1 << 20;
/** A reservation of a write that was refused later is given back after this many other reservations. */
const RESERVED_MAX = 1_000;

type Change = AdmissionRequest & { readonly object: KubeObject };

/** Gives Services their cluster addresses and node ports, each only once. Addresses lie in 10.96.0.0/12. */
export class ServiceAllocation implements AdmissionPlugin {
  readonly name = "ServiceAllocation";
  readonly #server: ApiServer;
  #nextAddress = 1;
  #nextPort = PORT_FIRST;
  /** What stored Services hold: an address or `:port`, and the Service's key. */
  readonly #held = new Map<string, string>();
  /** Taken by a write that is under way, until it is seen stored. */
  readonly #reserved = new Map<string, string>();
  #isFollowing = false;

  constructor(server: ApiServer) {
    this.#server = server;
  }

  handles(request: AdmissionRequest): boolean {
    const { group, resource } = request.definition.kind;
    return (
      group === "" && resource === "services" && request.operation !== "DELETE" && request.subresource === undefined
    );
  }

  mutate(request: Change): KubeObject {
    this.#follow(request);
    const owner = `${request.object.metadata.namespace}/${request.object.metadata.name}`;
    const type = getPath(request.object, "spec", "type");
    if (type === "ExternalName") return request.object;
    return this.#allocatePorts(this.#allocateAddress(request.object, owner), owner, type);
  }

  /** Reads the Services that are there, once, and from then on hears of changes. */
  #follow(request: AdmissionRequest): void {
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    const store = this.#server.store(request.definition);
    for (const [key, { object }] of store.range(undefined))
      for (const what of allocatedBy(object)) this.#held.set(what, key);
    store.watch({
      event: ({ type, object, previous }) => {
        const key = `${object.metadata.namespace}/${object.metadata.name}`;
        for (const what of previous === undefined ? [] : allocatedBy(previous))
          if (this.#held.get(what) === key) this.#held.delete(what);
        if (type === "DELETED") return;
        for (const what of allocatedBy(object)) {
          this.#held.set(what, key);
          this.#reserved.delete(what);
        }
      },
      closed: () => {},
    });
  }

  #isTaken(what: string, owner: string): boolean {
    const holder = this.#held.get(what) ?? this.#reserved.get(what);
    return holder !== undefined && holder !== owner;
  }

  #reserve(what: string, owner: string): void {
    this.#reserved.delete(what);
    this.#reserved.set(what, owner);
    if (this.#reserved.size > RESERVED_MAX)
      for (const [oldest] of this.#reserved) return void this.#reserved.delete(oldest);
  }

  #allocateAddress(object: KubeObject, owner: string): KubeObject {
    const given = getPath(object, "spec", "clusterIP");
    if (typeof given === "string" && given !== "") {
      if (given !== "None") {
        if (this.#isTaken(given, owner))
          throw invalid(SERVICE, object.metadata.name ?? "", [
            fieldInvalid(
              "spec.clusterIPs",
              [given],
              `failed to allocate IP ${given}: provided IP is already allocated`,
            ),
          ]);
        this.#reserve(given, owner);
      }
      return getPath(object, "spec", "clusterIPs") === undefined
        ? setPath(object, ["spec", "clusterIPs"], [given])
        : object;
    }
    for (let tries = 0; tries < ADDRESSES; tries++) {
      const at = this.#nextAddress++ % ADDRESSES;
      const last = at & 255;
      const address = `10.${96 + (at >> 16)}.${(at >> 8) & 255}.${last}`;
      if (last === 0 || last === 255 || this.#held.has(address) || this.#reserved.has(address)) continue;
      this.#reserve(address, owner);
      return setPath(setPath(object, ["spec", "clusterIP"], address), ["spec", "clusterIPs"], [address]);
    }
    throw invalid(SERVICE, object.metadata.name ?? "", [
      fieldInvalid("spec.clusterIPs", [], "failed to allocate a serviceIP: range is full"),
    ]);
  }

  #allocatePorts(object: KubeObject, owner: string, type: unknown): KubeObject {
    if (type !== "NodePort" && type !== "LoadBalancer") return object;
    const ports = (getPath(object, "spec", "ports") as readonly Json[] | undefined) ?? [];
    const allocates = type === "NodePort" || getPath(object, "spec", "allocateLoadBalancerNodePorts") !== false;
    let result = setPath(
      object,
      ["spec", "ports"],
      ports.map((port, at) => {
        const given = port["nodePort"];
        if (typeof given === "number" && given !== 0) {
          const path = `spec.ports[${at}].nodePort`;
          if (given < PORT_FIRST || given > PORT_LAST)
            throw invalid(SERVICE, object.metadata.name ?? "", [
              fieldInvalid(
                path,
                given,
                `provided port is not in the valid range. The range of valid ports is ${PORT_FIRST}-${PORT_LAST}`,
              ),
            ]);
          // One number may serve TCP and UDP of the same Service.
          if (this.#isTaken(`:${given}`, owner))
            throw invalid(SERVICE, object.metadata.name ?? "", [
              fieldInvalid(path, given, "provided port is already allocated"),
            ]);
          this.#reserve(`:${given}`, owner);
          return port;
        }
        return allocates ? { ...port, nodePort: this.#freePort(object, owner, `spec.ports[${at}].nodePort`) } : port;
      }),
    );
    const isLocal = type === "LoadBalancer" && getPath(object, "spec", "externalTrafficPolicy") === "Local";
    if (isLocal && !getPath(object, "spec", "healthCheckNodePort"))
      result = setPath(
        result,
        ["spec", "healthCheckNodePort"],
        this.#freePort(object, owner, "spec.healthCheckNodePort"),
      );
    return result;
  }

  #freePort(object: KubeObject, owner: string, path: string): number {
    const count = PORT_LAST - PORT_FIRST + 1;
    for (let tries = 0; tries < count; tries++) {
      const port = this.#nextPort;
      this.#nextPort = port === PORT_LAST ? PORT_FIRST : port + 1;
      if (this.#held.has(`:${port}`) || this.#reserved.has(`:${port}`)) continue;
      this.#reserve(`:${port}`, owner);
      return port;
    }
    throw invalid(SERVICE, object.metadata.name ?? "", [
      fieldInvalid(path, 0, "failed to allocate a nodePort: range is full"),
    ]);
  }
}

function allocatedBy(service: KubeObject): readonly string[] {
  const address = getPath(service, "spec", "clusterIP");
  const ports = (getPath(service, "spec", "ports") as readonly { readonly nodePort?: number }[] | undefined) ?? [];
  const health = getPath(service, "spec", "healthCheckNodePort");
  return [
    ...(typeof address === "string" && address !== "" && address !== "None" ? [address] : []),
    ...ports.flatMap(({ nodePort }) => (nodePort ? [`:${nodePort}`] : [])),
    ...(typeof health === "number" && health !== 0 ? [`:${health}`] : []),
  ];
}
