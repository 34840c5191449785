import { deepEqual } from "#base";
import {
  apiError,
  formatTime,
  getPath,
  type JsonSchema,
  type KubeObject,
  Schema,
  withoutFinalizer,
  withFinalizer,
} from "#machinery";
import type { ResourceDefinition, ScalePaths, SubresourceDefinition, TableColumn } from "../definition.ts";
import type { ApiServer } from "../server.ts";

interface CrdVersion {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly deprecated?: boolean;
  readonly schema?: { readonly openAPIV3Schema?: JsonSchema };
  readonly subresources?: {
    readonly status?: object;
    readonly scale?: {
      readonly specReplicasPath: string;
      readonly statusReplicasPath: string;
      readonly labelSelectorPath?: string;
    };
  };
  readonly additionalPrinterColumns?: readonly TableColumn[];
  readonly selectableFields?: readonly { readonly jsonPath: string }[];
}

interface CrdSpec {
  readonly group: string;
  readonly scope: string;
  readonly names: {
    readonly plural: string;
    readonly singular?: string;
    readonly kind: string;
    readonly listKind?: string;
    readonly shortNames?: readonly string[];
    readonly categories?: readonly string[];
  };
  readonly versions: readonly CrdVersion[];
}

const FINALIZER = "customresourcecleanup.apiextensions.k8s.io";
const VERBS = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
const pathOf = (jsonPath: string) => jsonPath.split(".").filter(Boolean);

/** The definitions a CRD leads to: one a served version. */
export function definitionsOf(crd: KubeObject): readonly ResourceDefinition[] {
  const spec = getPath(crd, "spec") as CrdSpec;
  const stored = spec.versions.find(({ storage }) => storage)?.name ?? spec.versions[0]?.name ?? "v1";
  return spec.versions
    .filter(({ served }) => served)
    .map((version): ResourceDefinition => {
      const scale = version.subresources?.scale;
      const paths: ScalePaths | undefined =
        scale === undefined
          ? undefined
          : {
              spec: pathOf(scale.specReplicasPath),
              status: pathOf(scale.statusReplicasPath),
              ...(scale.labelSelectorPath === undefined ? {} : { selector: pathOf(scale.labelSelectorPath) }),
            };
      const subresources: SubresourceDefinition[] = [];
      const own = { group: spec.group, version: version.name, kind: spec.names.kind };
      if (version.subresources?.status !== undefined)
        subresources.push({ name: "status", kind: own, verbs: ["get", "patch", "update"] });
      if (scale !== undefined)
        subresources.push({
          name: "scale",
          kind: { group: "autoscaling", version: "v1", kind: "Scale" },
          verbs: ["get", "patch", "update"],
        });
      const schema = version.schema?.openAPIV3Schema;
      return {
        kind: {
          group: spec.group,
          version: version.name,
          kind: spec.names.kind,
          resource: spec.names.plural,
          namespaced: spec.scope === "Namespaced",
        },
        singular: spec.names.singular ?? spec.names.kind.toLowerCase(),
        shortNames: spec.names.shortNames ?? [],
        categories: spec.names.categories ?? [],
        verbs: VERBS,
        subresources,
        schema: schema === undefined ? undefined : Schema.compile(schema),
        columns: [
          { name: "Name", type: "string", format: "name", priority: 0 },
          ...(version.additionalPrinterColumns ?? [
            { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
          ]),
        ],
        storage: { prefix: `/registry/${spec.group}/${spec.names.plural}/`, version: stored },
        origin: "custom",
        strategy: {},
        hasGeneration: true,
        ...(paths === undefined ? {} : { scale: paths }),
        ...(version.selectableFields === undefined
          ? {}
          : { selectableFields: version.selectableFields.map(({ jsonPath }) => jsonPath.replace(/^\./, "")) }),
      };
    });
}

/** Serves what CRDs say, live: names accepted, established, and objects removed with their CRD. */
export class CustomResources {
  readonly #server: ApiServer;
  readonly #served = new Map<string, { readonly definitions: readonly ResourceDefinition[]; readonly spec: unknown }>();
  readonly #busy = new Set<Promise<void>>();

  constructor(server: ApiServer) {
    this.#server = server;
  }

  /** Follows the stored CRDs; resolves when those that exist are served. */
  async start(): Promise<void> {
    const definition = this.#server.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    if (definition === undefined) return;
    const store = this.#server.store(definition);
    await store.load();
    for (const [, { object }] of store.range(undefined)) this.#serve(object);
    store.watch({
      event: ({ type, object }) => {
        if (type === "DELETED") this.#remove(object.metadata.name ?? "");
        else if (object.metadata.deletionTimestamp !== undefined) this.#run(this.#cleanUp(object));
        else {
          this.#serve(object);
          this.#run(this.#accept(object));
        }
      },
      closed() {},
    });
    await Promise.all([...store.range(undefined)].map(([, { object }]) => this.#accept(object)));
  }

  #run(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#server.log.warn("custom resource definition not settled", { error }))
      .finally(() => this.#busy.delete(tracked));
    this.#busy.add(tracked);
  }

  #serve(crd: KubeObject): void {
    const name = crd.metadata.name ?? "";
    const spec = getPath(crd, "spec");
    const present = this.#served.get(name);
    if (present !== undefined && deepEqual(present.spec, spec)) return;
    const definitions = definitionsOf(crd);
    if (present !== undefined) {
      const kept = new Set(definitions.map(({ kind }) => kind.version));
      this.#server.registry.remove(present.definitions.filter(({ kind }) => !kept.has(kind.version)));
    }
    this.#served.set(name, { definitions, spec });
    this.#server.registry.put(definitions);
  }

  #remove(name: string): void {
    const present = this.#served.get(name);
    if (present === undefined) return;
    this.#served.delete(name);
    this.#server.registry.remove(present.definitions);
    for (const definition of present.definitions)
      this.#server.store(definition).closeWatchers(apiError(410, "Gone", "the resource is no longer served"));
  }

  async #accept(crd: KubeObject): Promise<void> {
    const spec = getPath(crd, "spec") as CrdSpec;
    const conditions =
      (getPath(crd, "status", "conditions") as
        | readonly { readonly type: string; readonly status: string }[]
        | undefined) ?? [];
    const isDone = ["NamesAccepted", "Established"].every((type) =>
      conditions.some((condition) => condition.type === type && condition.status === "True"),
    );
    const storedVersions = [
      ...new Set([
        ...((getPath(crd, "status", "storedVersions") as string[] | undefined) ?? []),
        ...spec.versions.filter(({ storage }) => storage).map(({ name }) => name),
      ]),
    ];
    const acceptedNames = spec.names;
    const isSame =
      deepEqual(getPath(crd, "status", "acceptedNames"), acceptedNames) &&
      deepEqual(getPath(crd, "status", "storedVersions"), storedVersions);
    if (isDone && isSame && (crd.metadata.finalizers ?? []).includes(FINALIZER)) return;
    const transport = this.#server.transport();
    const address = {
      group: "apiextensions.k8s.io",
      version: "v1",
      resource: "customresourcedefinitions",
      name: crd.metadata.name ?? "",
    };
    const time = formatTime(this.#server.clock.now());
    try {
      let latest = crd;
      if (!(crd.metadata.finalizers ?? []).includes(FINALIZER))
        latest = await transport.send({ verb: "update", ...address, body: withFinalizer(latest, FINALIZER) });
      await transport.send({
        verb: "update",
        ...address,
        subresource: "status",
        body: {
          ...latest,
          status: {
            acceptedNames,
            storedVersions,
            conditions: [
              {
                type: "NamesAccepted",
                status: "True",
                reason: "NoConflicts",
                message: "no conflicts found",
                lastTransitionTime: time,
              },
              {
                type: "Established",
                status: "True",
                reason: "InitialNamesAccepted",
                message: "the initial names have been accepted",
                lastTransitionTime: time,
              },
            ],
          },
        } as KubeObject,
      });
    } catch (error) {
      // Somebody wrote in between: the event of that write brings us back.
      if (
        !(error instanceof Error && "reason" in error && (error.reason === "Conflict" || error.reason === "NotFound"))
      )
        throw error;
    }
  }

  async #cleanUp(crd: KubeObject): Promise<void> {
    if (!(crd.metadata.finalizers ?? []).includes(FINALIZER)) return;
    const transport = this.#server.transport();
    const definition = definitionsOf(crd)[0];
    if (
      definition !== undefined &&
      this.#server.registry.find(definition.kind.group, definition.kind.version, definition.kind.resource) !== undefined
    ) {
      const { group, version, resource } = definition.kind;
      await transport.send({ verb: "deletecollection", group, version, resource });
      const left = await transport.list({ group, version, resource });
      if (left.items.length > 0) {
        // Objects held by finalizers go later; look again when they may have.
        this.#server.clock.after(1000, () => this.#run(this.#again(crd)));
        return;
      }
    }
    await transport.send({
      verb: "update",
      group: "apiextensions.k8s.io",
      version: "v1",
      resource: "customresourcedefinitions",
      name: crd.metadata.name ?? "",
      body: withoutFinalizer(crd, FINALIZER),
    });
  }

  async #again(crd: KubeObject): Promise<void> {
    const latest = await this.#server.transport().send({
      verb: "get",
      group: "apiextensions.k8s.io",
      version: "v1",
      resource: "customresourcedefinitions",
      name: crd.metadata.name ?? "",
    });
    await this.#cleanUp(latest);
  }
}
