import { deepEqual, fnv1a32 } from "#base";
import {
  fieldInvalid,
  type FieldError,
  formatTime,
  getPath,
  internalError,
  invalid,
  isConflict,
  type KubeObject,
  setPath,
} from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { ApiServer } from "../server.ts";
import { asApiServer } from "../bootstrap-writes.ts";
import { canonicalAddress } from "./checks.ts";
import type { Json } from "./pod-defaults.ts";
import { planFamilies } from "./service-families.ts";
import { keyOf, ServiceLedger } from "./service-ledger.ts";
import {
  type AddressRange,
  addressText,
  candidateAddresses,
  candidatePorts,
  type Family,
  isUsable,
  parseAddressRanges,
  parsePortRange,
  type PortRange,
} from "./service-ranges.ts";

const SERVICE = { group: "", kind: "Service" };
const CIDRS = { group: "networking.k8s.io", version: "v1", resource: "servicecidrs" };
const DEFAULT_CIDR = "kubernetes";
const API_SERVER = "default/kubernetes";

export interface ServiceRanges {
  /** One of each family at most; default `10.96.0.0/12`. */
  readonly addresses?: readonly AddressRange[];
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
  readonly #addresses: readonly AddressRange[];
  readonly #families: readonly Family[];
  readonly #ports: PortRange;
  #ledger: ServiceLedger | undefined;

  constructor(server: ApiServer, { addresses, ports }: ServiceRanges = {}) {
    this.#server = server;
    this.#addresses = addresses ?? parseAddressRanges("10.96.0.0/12");
    this.#families = this.#addresses.map(({ family }) => family);
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

  /**
   * The ServiceCIDR `kubernetes` says what the flag says; a store that was begun with another range keeps that one, but may
   * get a second family.
   */
  async #publishRange(): Promise<void> {
    const store = this.#server.store(this.#server.definition(CIDRS));
    await store.load();
    const present = store.get(DEFAULT_CIDR)?.object;
    const texts = this.#addresses.map(({ text }) => text);
    const send = asApiServer(this.#server);
    if (present !== undefined) {
      const cidrs = (getPath(present, "spec", "cidrs") ?? []) as readonly string[];
      if (cidrs.length === 1 && texts.length === 2 && cidrs[0] === texts[0])
        await send({
          verb: "update",
          ...CIDRS,
          name: DEFAULT_CIDR,
          body: setPath(present, ["spec", "cidrs"], texts),
        }).catch((error: unknown) => {
          // Another replica does the same.
          if (!isConflict(error)) throw error;
        });
      else if (!deepEqual(cidrs, texts))
        this.#server.log.warn("ServiceCIDR kubernetes names other ranges than --service-cluster-ip-range; they hold", {
          cidrs,
          flag: texts,
        });
      return;
    }
    const body = {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: DEFAULT_CIDR },
      spec: { cidrs: texts },
    } as unknown as KubeObject;
    const ready = {
      type: "Ready",
      status: "True",
      lastTransitionTime: formatTime(this.#server.clock.now()),
      message: "Kubernetes default Service CIDR is ready",
    };
    try {
      await send({ verb: "create", ...CIDRS, body });
      await send({
        verb: "patch",
        ...CIDRS,
        name: DEFAULT_CIDR,
        subresource: "status",
        patchType: "application/apply-patch+yaml",
        body: { ...body, spec: undefined, status: { conditions: [ready] } },
        options: { fieldManager: "kubernetes-service-cidr-controller", force: true },
      });
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

  mutate({ object, oldObject, isDryRun }: Change): KubeObject {
    const outcome = planFamilies(object, oldObject, this.#families);
    if ("errors" in outcome) throw invalid(SERVICE, object.metadata.name ?? "", outcome.errors);
    const { service } = outcome;
    const type = getPath(service, "spec", "type");
    const ledger = this.#ledger;
    if (ledger === undefined || type === "ExternalName") return service;
    return this.#withPorts(this.#withAddresses(service, oldObject, ledger, isDryRun), ledger, type);
  }

  /** Gives an address of each family, or checks the one that is asked for; what a Service has already is its own. */
  #withAddresses(
    object: KubeObject,
    old: KubeObject | undefined,
    ledger: ServiceLedger,
    isDryRun: boolean,
  ): KubeObject {
    if (getPath(object, "spec", "clusterIP") === "None") return object;
    const families = (getPath(object, "spec", "ipFamilies") ?? []) as readonly Family[];
    const given = (getPath(object, "spec", "clusterIPs") ?? []) as readonly string[];
    const had =
      old === undefined || getPath(old, "spec", "type") === "ExternalName"
        ? []
        : ((getPath(old, "spec", "clusterIPs") ?? []) as readonly string[]);
    for (const address of given.slice(had.length)) this.#checkAddress(object, given, address, ledger);
    if (given.length >= families.length) return object;
    const addresses = families.map(
      (family, at) => given[at] ?? this.#freeAddress(object, family, given, ledger, isDryRun),
    );
    return setPath(setPath(object, ["spec", "clusterIP"], addresses[0]), ["spec", "clusterIPs"], addresses);
  }

  #freeAddress(
    object: KubeObject,
    family: Family,
    given: readonly string[],
    ledger: ServiceLedger,
    isDryRun: boolean,
  ): string {
    const key = keyOf(object);
    const seed = fnv1a32(key);
    for (const range of ledger.ranges.filter((one) => one.family === family)) {
      // Nothing is given, and nobody should think so: the network's own address is shown.
      if (isDryRun) return addressText(range.family, range.first - 1n);
      // The API server's own Service has the first address, which resolvers and certificates elsewhere count on.
      const first = addressText(range.family, range.first);
      if (key === API_SERVER && !ledger.isTaken(first, key)) return first;
      for (const address of candidateAddresses(range, seed)) if (!ledger.isTaken(address, key)) return address;
    }
    return refuse(object, fieldInvalid("spec.clusterIPs", given, "failed to allocate a serviceIP: range is full"));
  }

  #checkAddress(object: KubeObject, given: readonly string[], address: string, ledger: ServiceLedger): void {
    const what = canonicalAddress(address);
    const why = ledger.isTaken(what, keyOf(object))
      ? "provided IP is already allocated"
      : // What a Service has stays its own, also when ranges change.
        !ledger.isHeldBy(what, keyOf(object)) && !ledger.ranges.some((range) => isUsable(range, address))
        ? "the provided network does not match the current range"
        : undefined;
    if (why !== undefined)
      refuse(object, fieldInvalid("spec.clusterIPs", given, `failed to allocate IP ${address}: ${why}`));
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

const isSameProtocol = (port: Json) => (other: Json) => (other["protocol"] ?? "TCP") === (port["protocol"] ?? "TCP");
