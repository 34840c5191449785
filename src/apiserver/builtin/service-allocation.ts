import { fieldInvalid, getPath, invalid, type KubeObject, setPath } from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { ApiServer } from "../server.ts";

const PORT_FIRST = 30_000;
const PORT_LAST = 32_767;

/** Gives Services their cluster addresses and node ports, each only once. Addresses lie in 10.96.0.0/12. */
export class ServiceAllocation implements AdmissionPlugin {
  readonly name = "ServiceAllocation";
  readonly #server: ApiServer;
  #next = 1;
  /** Taken by a write that is under way, until it is seen stored. */
  readonly #reserved = new Map<string, string>();

  constructor(server: ApiServer) {
    this.#server = server;
  }

  handles(request: AdmissionRequest): boolean {
    return request.definition.kind.group === "" && request.definition.kind.resource === "services" && request.operation !== "DELETE" && request.subresource === undefined;
  }

  mutate(request: AdmissionRequest & { readonly object: KubeObject }): KubeObject {
    let object = request.object;
    const type = getPath(object, "spec", "type");
    if (type === "ExternalName") return object;
    const owner = `${object.metadata.namespace}/${object.metadata.name}`;
    const taken = this.#taken(request, owner);
    if (!getPath(object, "spec", "clusterIP")) {
      const address = this.#freeAddress(taken);
      this.#reserved.set(address, owner);
      object = setPath(setPath(object, ["spec", "clusterIP"], address), ["spec", "clusterIPs"], [address]);
    } else {
      const address = String(getPath(object, "spec", "clusterIP"));
      if (address !== "None" && taken.get(address) !== undefined)
        throw invalid({ group: "", kind: "Service" }, object.metadata.name ?? "", [fieldInvalid("spec.clusterIPs", [address], `failed to allocate IP ${address}: provided IP is already allocated`)]);
      if (getPath(object, "spec", "clusterIPs") === undefined) object = setPath(object, ["spec", "clusterIPs"], [address]);
    }
    if (type !== "NodePort" && type !== "LoadBalancer") return object;
    const ports = (getPath(object, "spec", "ports") as readonly Readonly<Record<string, unknown>>[] | undefined) ?? [];
    const given = ports.map((port, at) => {
      if (port["nodePort"]) {
        if (taken.get(`:${port["nodePort"]}`) !== undefined)
          throw invalid({ group: "", kind: "Service" }, object.metadata.name ?? "", [fieldInvalid(`spec.ports[${at}].nodePort`, port["nodePort"], "provided port is already allocated")]);
        return port;
      }
      for (let nodePort = PORT_FIRST; nodePort <= PORT_LAST; nodePort++) {
        if (taken.get(`:${nodePort}`) !== undefined) continue;
        taken.set(`:${nodePort}`, owner);
        this.#reserved.set(`:${nodePort}`, owner);
        return { ...port, nodePort };
      }
      throw invalid({ group: "", kind: "Service" }, object.metadata.name ?? "", [fieldInvalid(`spec.ports[${at}].nodePort`, 0, "range is full")]);
    });
    return setPath(object, ["spec", "ports"], given);
  }

  #taken(request: AdmissionRequest, self: string): Map<string, string> {
    const taken = new Map<string, string>();
    for (const [key, { object }] of this.#server.store(request.definition).range(undefined)) {
      const address = getPath(object, "spec", "clusterIP");
      const ports = (getPath(object, "spec", "ports") as readonly { readonly nodePort?: number }[] | undefined) ?? [];
      for (const what of [address, ...ports.map(({ nodePort }) => (nodePort === undefined ? undefined : `:${nodePort}`))])
        if (typeof what === "string") {
          this.#reserved.delete(what);
          if (key !== self) taken.set(what, key);
        }
    }
    for (const [what, owner] of this.#reserved) if (owner !== self) taken.set(what, owner);
    return taken;
  }

  #freeAddress(taken: ReadonlyMap<string, string>): string {
    for (;;) {
      const at = this.#next++ % (1 << 20);
      const address = `10.${96 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`;
      if ((at & 255) !== 0 && (at & 255) !== 255 && !taken.has(address)) return address;
    }
  }
}
