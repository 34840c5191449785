import type { FieldError, KubeObject, ResourceKind, Schema } from "#machinery";

/** One column of the Table form. */
export interface TableColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
  /** JSONPath of a CRD's printer column. */
  readonly jsonPath?: string;
}

/** Who asks. */
export interface User {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** The in-process user: the control plane itself. */
export const systemUser: User = { name: "system:flotilla", groups: ["system:masters", "system:authenticated"] };

/** For whom warnings are: nobody. */
export const unheard = (): void => {};

export interface RequestContext {
  readonly user: User;
  readonly warn: (message: string) => void;
  /** Notes a fact in the audit log. */
  readonly annotate?: (key: string, value: string) => void;
  /** Whether the owners of written fields are recorded; true for clients outside. */
  readonly tracksFields?: boolean;
  /** Called when an update or an apply is about to create what it does not find; throws when it may not. */
  readonly beforeCreateInstead?: () => void;
  /** What a strict decoder refuses in the text of the request, such as members given twice. */
  readonly strictErrors?: readonly string[];
}

/** What a kind does beyond what its schema says. Every part is optional. Objects are never changed in place. */
export interface Strategy {
  /** Brings values of a request into the form they are stored in, before the schema looks at them; `known` ones are. */
  normalise?(object: KubeObject, known?: KubeObject): KubeObject;
  /** Drops what Go's types cannot tell from absent, before defaults are filled in. `known` was looked at before. */
  trim?(object: KubeObject, known?: KubeObject): KubeObject;
  /** Brings an object into the form Go's types have in JSON, after defaults: their order, and zero values they write. */
  settle?(object: KubeObject, known?: KubeObject): KubeObject;
  /** What the store makes of an object that is written. `known` came from there. */
  stored?(object: KubeObject, known?: KubeObject): KubeObject;
  /** Fills in what the schema cannot say. */
  applyDefaults?(object: KubeObject): KubeObject;
  prepareForCreate?(object: KubeObject, context: RequestContext): KubeObject;
  /** `time` is that of the write, where it is one to the store. */
  prepareForUpdate?(object: KubeObject, old: KubeObject, context: RequestContext, time?: string): KubeObject;
  validate?(object: KubeObject, old?: KubeObject): readonly FieldError[];
  /** What only a new object must keep to, before everything else. */
  validateCreate?(object: KubeObject): readonly FieldError[];
  /** Whether an update leaves the generation as it is; default false. */
  readonly keepsGeneration?: boolean;
  /** Whether a change of its labels counts as one of the desired state; default false. */
  readonly countsLabels?: boolean;
  /** Whether a client's change of its annotations counts as one; what runs in this process notes there what it knows. */
  readonly countsAnnotations?: boolean;
  /** What only a new object must keep to, after everything else. */
  validateNew?(object: KubeObject): readonly FieldError[];
  validateUpdate?(object: KubeObject, old: KubeObject): readonly FieldError[];
  /** Whether `validateUpdate` is told before `validate`; default false. */
  readonly checksChangesFirst?: boolean;
  /** Mistakes of a status written through its own subresource; nothing else is looked at there. */
  validateStatus?(object: KubeObject, old: KubeObject): readonly FieldError[];
  /** Parts that are written through a subresource of their own, by its name. */
  readonly parts?: Readonly<Record<string, WrittenPart>>;
  /** Mistakes of what `/approval` writes. */
  validateApproval?(object: KubeObject, old: KubeObject): readonly FieldError[];
  /** Mistakes of what `/finalize` writes. */
  validateFinalize?(object: KubeObject): readonly FieldError[];
  /** Whether `validate` says all there is to say, as Kubernetes does: then the schema checks nothing. */
  readonly rulesAreWhole?: boolean;
  /**
   * Whether `applyDefaults` and `validate` read nothing but the spec: of a very spec that went through them before they would
   * say nothing again.
   */
  readonly rulesReadSpec?: boolean;
  /** What a client is told about an object that is taken all the same. */
  warnings?(object: KubeObject, old: KubeObject | undefined): readonly string[];
  /** Where the template of its pods stands; empty where the object itself is one. */
  readonly hasTemplate?: string;
  /** What follows from what plugins made of a new object. */
  settleCreated?(object: KubeObject): KubeObject;
  /** Values for field selectors beyond metadata.name and metadata.namespace. */
  fields?(object: KubeObject): Readonly<Record<string, string>>;
  /** Seconds until a deletion is carried out; 0 means at once. */
  gracePeriodSeconds?(object: KubeObject, asked: number | undefined): number;
  /** The status a new object has; default `{}`. A client cannot set one. */
  readonly emptyStatus?: Readonly<Record<string, unknown>>;
  /** Whether a new object keeps the status it is sent with, as Nodes do; default false. */
  readonly keepsStatusOnCreate?: boolean;
  /** Whether an update of an object that does not exist creates it; default false. */
  readonly createsOnUpdate?: boolean;
  /** Whether an update by a client outside must name the version it was made from; default false. */
  readonly needsVersionOnUpdate?: boolean;
  /** What becomes of dependents when a deletion does not say; default `Background`. */
  readonly dependentsByDefault?: "Orphan";
  /** Whether a deletion that is done answers with the object instead of a Status; default false. */
  readonly returnsDeleted?: boolean;
  /** Marks an object whose deletion begins, as Namespaces' phase. */
  prepareForDelete?(object: KubeObject, time: string): KubeObject;
  /** A finalizer that deletions leave behind, for whoever cleans up. */
  readonly deletionFinalizer?: string;
}

/** A part of an object that is written through a subresource, such as a pod's ephemeral containers. */
export interface WrittenPart {
  /** The present object with what a client sent of this part, and with the owners the sent object names. */
  take(sent: KubeObject, old: KubeObject): KubeObject;
  validate(object: KubeObject, old: KubeObject): readonly FieldError[];
}

/** How a version that is not the stored one is read and written. */
export interface VersionConversion {
  fromStored(object: KubeObject): KubeObject;
  /** `stored` is what the store holds now, whose fields this version may have no words for. */
  toStored(object: KubeObject, stored: KubeObject | undefined): KubeObject;
}

/** Converts objects of a custom resource outside this process. Rejects with an `ApiError` that names the webhook. */
export interface ConversionWebhook {
  convert(objects: readonly KubeObject[], apiVersion: string): Promise<readonly KubeObject[]>;
}

/** Answers a kind that is never stored, such as SubjectAccessReview. */
export type VirtualHandler = (object: KubeObject, context: RequestContext) => Promise<KubeObject> | KubeObject;

/** Objects that are made when they are asked for. */
export interface ComputedObjects {
  /** All of a namespace, or of every one. */
  list(namespace: string | undefined): readonly KubeObject[];
  find(namespace: string | undefined, name: string): KubeObject | undefined;
}

/** One resource of one version as the server serves it. */
export interface ResourceDefinition {
  readonly kind: ResourceKind;
  readonly singular: string;
  /** The kind of its lists, where that is not its own with `List` behind it. */
  readonly listKind?: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
  /** Names such as `status` and `scale`. */
  readonly subresources: readonly SubresourceDefinition[];
  readonly schema: Schema | undefined;
  /** Since which revision of the store a custom kind has its schema: objects from before are read by it anew. */
  readonly schemaRevision?: number;
  readonly columns: readonly TableColumn[];
  /** Where objects lie: shared by all versions of a resource. */
  readonly storage: {
    readonly prefix: string;
    readonly version: string /** Default: the kind's own. */;
    readonly group?: string;
    /** Where another program keeps them; found there at the start, they are moved. */
    readonly formerPrefix?: string;
    /** Objects end by themselves after this time without a write, where the store can do that. */
    readonly leaseSeconds?: number;
  };
  /** `remote`: another server has it; here it is only discovered. */
  readonly origin: "builtin" | "custom" | "aggregated" | "remote";
  /** Absent when versions differ in nothing but their name. */
  readonly conversion?: VersionConversion;
  readonly strategy: Strategy;
  /** Whether `metadata.generation` counts changes of the desired state. */
  readonly hasGeneration: boolean;
  readonly scale?: ScalePaths;
  readonly virtual?: VirtualHandler;
  /** Makes its objects when they are asked for and keeps none, as measurements are; get and list only. */
  readonly computed?: ComputedObjects;
  /** Asked for conversions between the versions of a custom resource. */
  readonly webhook?: ConversionWebhook;
  /** All versions of a kind that a CRD defines, served or not, by name. */
  readonly versions?: ReadonlyMap<string, ResourceDefinition>;
  /** Told to whoever uses this version, as a warning. */
  readonly deprecation?: string;
  /** Whether its CRD is about to go: nothing new may be created. */
  readonly isTerminating?: boolean;
  /** Further fields objects may be selected by (CRDs). */
  readonly selectableFields?: readonly string[];
}

export interface SubresourceDefinition {
  readonly name: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly verbs: readonly string[];
}

export interface ScalePaths {
  readonly spec: readonly string[];
  readonly status: readonly string[];
  /** Path of the selector: an object for built-in kinds, a text for custom ones. */
  readonly selector?: readonly string[];
}

export const hasSubresource = (definition: ResourceDefinition, name: string): boolean =>
  definition.subresources.some((subresource) => subresource.name === name);

/** The internal Go type of a kind, as messages name it. */
export const goNameOf = ({ kind }: Pick<ResourceDefinition, "kind">): string =>
  `${kind.group === "" ? "core" : (kind.group.split(".")[0] as string)}.${kind.kind}`;
