import { fnv1a32 } from "#base";
import {
  fieldInvalid,
  type FieldError,
  formatTime,
  getPath,
  internalError,
  invalid,
  type KubeObject,
  setPath,
} from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { ApiServer } from "../server.ts";
import { asApiServer } from "../bootstrap-writes.ts";
import type { Json } from "./pod-defaults.ts";
import { keyOf, ServiceLedger } from "./service-ledger.ts";
import {
  type AddressRange,
  addressNumber,
  addressText,
  candidateAddresses,
  candidatePorts,
  isUsable,
  parseAddressRange,
  parsePortRange,
  type PortRange,
} from "./service-ranges.ts";

const SERVICE = { group: "", kind: "Service" };
const CIDRS = { group: "networking.k8s.io", version: "v1", resource: "servicecidrs" };
const DEFAULT_CIDR = "kubernetes";

export interface ServiceRanges {
  /** Default `10.96.0.0/12`. */
  readonly addresses?: AddressRange;
  /** Default `30000-32767`. */
  readonly ports?: PortRange;
}

type Change = AdmissionRequest & { readonly object: KubeObject };

const refuse = (service: KubeObject, error: FieldError): never => {
  throw invalid(SERVICE, service.metadata.name ?? "", [error]);
};

/** Gives Services their cluster addresses and node ports, each only once; the ledger holds them. */
export class ServiceAllocation implements AdmissionPlugin {
  readonly name = "ServiceAllocation";
  readonly #server: ApiServer;
  readonly #addresses: AddressRange;
  readonly #ports: PortRange;
  #ledger: ServiceLedger | undefined;

  constructor(server: ApiServer, { addresses, ports }: ServiceRanges = {}) {
    this.#server = server;
    this.#addresses = addresses ?? parseAddressRange("10.96.0.0/12");
    this.#ports = ports ?? parsePortRange("30000-32767");
  }

  /** To be called before anything is served. */
  async start(): Promise<void> {
    this.#ledger = new ServiceLedger(this.#server, this.#addresses);
    await this.#publishRange();
    await this.#ledger.start();
  }

  stop(): void {
    this.#ledger?.stop();
  }

  /** The ServiceCIDR `kubernetes` says what the flag says; a store that was begun with another range keeps that one. */
  async #publishRange(): Promise<void> {
    const store = this.#server.store(this.#server.definition(CIDRS));
    await store.load();
    const present = store.get(DEFAULT_CIDR)?.object;
    const { text } = this.#addresses;
    if (present !== undefined) {
      const cidrs = getPath(present, "spec", "cidrs") as readonly string[] | undefined;
      if (cidrs?.length !== 1 || cidrs[0] !== text)
        this.#server.log.warn("ServiceCIDR kubernetes names another range than --service-cluster-ip-range; it holds", {
          cidrs,
          flag: text,
        });
      return;
    }
    const body = {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: DEFAULT_CIDR },
      spec: { cidrs: [text] },
    } as unknown as KubeObject;
    const ready = {
      type: "Ready",
      status: "True",
      lastTransitionTime: formatTime(this.#server.clock.now()),
      reason: "",
      message: "Kubernetes default Service CIDR is ready",
    };
    const send = asApiServer(this.#server);
    try {
      const made = await send({ verb: "create", ...CIDRS, body });
      const next = { ...made, status: { conditions: [ready] } } as unknown as KubeObject;
      await send({ verb: "update", ...CIDRS, name: DEFAULT_CIDR, subresource: "status", body: next });
    } catch (error) {
      // Another replica begins at the same time.
      await this.#server.settle();
      if (store.get(DEFAULT_CIDR) === undefined) throw error;
    }
  }

  handles(request: AdmissionRequest): boolean {
    const { group, resource } = request.definition.kind;
    return (
      group === "" && resource === "services" && request.operation !== "DELETE" && request.subresource === undefined
    );
  }

  mutate({ object }: Change): KubeObject {
    const type = getPath(object, "spec", "type");
    const ledger = this.#ledger;
    if (ledger === undefined || type === "ExternalName") return object;
    return this.#withPorts(this.#withAddress(object, ledger), ledger, type);
  }

  #withAddress(object: KubeObject, ledger: ServiceLedger): KubeObject {
    const given = getPath(object, "spec", "clusterIP");
    const key = keyOf(object);
    if (typeof given === "string" && given !== "") {
      if (given !== "None") this.#checkAddress(object, given, ledger);
      return getPath(object, "spec", "clusterIPs") === undefined
        ? setPath(object, ["spec", "clusterIPs"], [given])
        : object;
    }
    const seed = fnv1a32(key);
    for (const range of ledger.ranges)
      for (const candidate of candidateAddresses(range, seed)) {
        const address = addressText(candidate);
        if (ledger.isTaken(address, key)) continue;
        return setPath(setPath(object, ["spec", "clusterIP"], address), ["spec", "clusterIPs"], [address]);
      }
    return refuse(object, fieldInvalid("spec.clusterIPs", [], "failed to allocate a serviceIP: range is full"));
  }

  #checkAddress(object: KubeObject, given: string, ledger: ServiceLedger): void {
    const number = addressNumber(given) ?? refuse(object, notOurs(given));
    const why = ledger.isTaken(given, keyOf(object))
      ? "provided IP is already allocated"
      : // What a Service has stays its own, also when ranges change.
        !ledger.isHeldBy(given, keyOf(object)) && !ledger.ranges.some((range) => isUsable(range, number))
        ? "the provided network does not match the current range"
        : undefined;
    if (why !== undefined)
      refuse(object, fieldInvalid("spec.clusterIPs", [given], `failed to allocate IP ${given}: ${why}`));
  }

  #withPorts(object: KubeObject, ledger: ServiceLedger, type: unknown): KubeObject {
    if (type !== "NodePort" && type !== "LoadBalancer") return object;
    const ports = (getPath(object, "spec", "ports") as readonly Json[] | undefined) ?? [];
    const allocates = type === "NodePort" || getPath(object, "spec", "allocateLoadBalancerNodePorts") !== false;
    const key = keyOf(object);
    /** Ports of this very write, by number; one number may serve several protocols of one Service. */
    const used = new Map<unknown, Json[]>();
    const note = (port: Json) => used.set(port["nodePort"], [...(used.get(port["nodePort"]) ?? []), port]);
    for (const [at, port] of ports.entries()) {
      const given = port["nodePort"];
      if (typeof given !== "number" || given === 0) continue;
      const why = this.#whyNotPort(given, key, ledger, used.get(given)?.some(isSameProtocol(port)) === true);
      if (why !== undefined) refuse(object, fieldInvalid(`spec.ports[${at}].nodePort`, given, why));
      note(port);
    }
    const isFree = (port: number) => !used.has(port) && !ledger.isTaken(`:${port}`, key);
    const filled = ports.map((port, at) => {
      if (port["nodePort"] || !allocates) return port;
      const sibling = [...used.values()].flat().find((other) => other["port"] === port["port"]);
      const canShare = sibling !== undefined && used.get(sibling["nodePort"])?.some(isSameProtocol(port)) !== true;
      const nodePort = canShare ? sibling["nodePort"] : this.#freePort(key, isFree);
      if (nodePort === undefined)
        return refuse(
          object,
          fieldInvalid(`spec.ports[${at}].nodePort`, 0, "failed to allocate a nodePort: range is full"),
        );
      const made = { ...port, nodePort } as Json;
      note(made);
      return made;
    });
    const result = filled.every((port, at) => port === ports[at]) ? object : setPath(object, ["spec", "ports"], filled);
    const isLocal = type === "LoadBalancer" && getPath(object, "spec", "externalTrafficPolicy") === "Local";
    if (!isLocal) return result;
    const health = getPath(object, "spec", "healthCheckNodePort");
    if (typeof health === "number" && health !== 0) {
      const why = this.#whyNotPort(health, key, ledger, used.has(health));
      if (why !== undefined) throw internalError(`failed to allocate requested HealthCheck NodePort ${health}: ${why}`);
      return result;
    }
    const port = this.#freePort(key, isFree);
    if (port === undefined) throw internalError("failed to allocate a HealthCheck NodePort : range is full");
    return setPath(result, ["spec", "healthCheckNodePort"], port);
  }

  #whyNotPort(port: number, key: string, ledger: ServiceLedger, isUsedHere: boolean): string | undefined {
    const { first, last } = this.#ports;
    if (isUsedHere || ledger.isTaken(`:${port}`, key)) return "provided port is already allocated";
    if ((port < first || port > last) && !ledger.isHeldBy(`:${port}`, key))
      return `provided port is not in the valid range. The range of valid ports is ${first}-${last}`;
    return undefined;
  }

  #freePort(key: string, isFree: (port: number) => boolean): number | undefined {
    for (const port of candidatePorts(this.#ports, fnv1a32(key))) if (isFree(port)) return port;
    return undefined;
  }
}

/** What is wrong with a text that is no IPv4 address. */
const notOurs = (given: string): FieldError =>
  /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(given)
    ? fieldInvalid("spec.clusterIPs[0]", [given], "IPv6 is not configured on this cluster")
    : fieldInvalid("spec.clusterIPs[0]", given, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");

const isSameProtocol = (port: Json) => (other: Json) => (other["protocol"] ?? "TCP") === (port["protocol"] ?? "TCP");
