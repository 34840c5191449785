import { assert, deepFreeze } from "#base";
import { apiVersionOf, type KubeObject, parseApiVersion, plainFailure, type Schema, kindKey } from "#machinery";
import type { ResourceDefinition, VersionConversion } from "../definition.ts";

/** Whether an object may have been written before its kind had the schema it has now. */
const isOlder = ({ metadata }: KubeObject, { schemaRevision }: ResourceDefinition): boolean =>
  schemaRevision !== undefined && Number(metadata.resourceVersion) < schemaRevision;

/** Without what the schema does not know, and with its defaults; the object itself when it is so already. */
function readBy(schema: Schema | undefined, object: KubeObject): KubeObject {
  if (schema === undefined) return object;
  return schema.applyDefaults(schema.prune(object, [])) as KubeObject;
}

/** Without what the schema does not know; the object itself when it knows all of it. */
const prunedBy = (schema: Schema | undefined, object: KubeObject): KubeObject =>
  (schema?.prune(object, []) as KubeObject | undefined) ?? object;

/**
 * The definition of the version an object is stored in; itself where nothing else is known. Throws for a version that its
 * CRD names no longer: nobody knows how to read it.
 */
function sourceOf(object: KubeObject, definition: ResourceDefinition): ResourceDefinition {
  const { versions, kind } = definition;
  if (versions === undefined) return definition;
  const { group, version } = parseApiVersion(object.apiVersion);
  const source = group === kind.group ? versions.get(version) : undefined;
  if (source === undefined)
    throw plainFailure(`request to convert CR from an invalid group/version: ${object.apiVersion}`);
  return source;
}

/** A custom object as its own version reads it. */
const asStored = (object: KubeObject, source: ResourceDefinition): KubeObject =>
  isOlder(object, source) ? readBy(source.schema, object) : object;

/** Objects in the versions clients ask for, and in the one that is stored. */
export class Versions {
  readonly #conversions: ReadonlyMap<string, VersionConversion> | undefined;
  /** Objects in other versions, made once for all readers. */
  readonly #converted = new WeakMap<ResourceDefinition, WeakMap<KubeObject, KubeObject>>();

  /** What webhooks made of objects that are being written. */
  readonly #stored = new WeakMap<KubeObject, KubeObject>();

  /** `conversions` of custom resources by `group/version/resource`; without one, versions differ in their name only. */
  constructor(conversions: ReadonlyMap<string, VersionConversion> | undefined) {
    this.#conversions = conversions;
  }

  /**
   * Fetches what a webhook must convert before `convert` and `forStore` are asked for it; `undefined` when nothing has to
   * be fetched.
   */
  prepare(definition: ResourceDefinition, objects: readonly KubeObject[]): Promise<void> | undefined {
    const { webhook, kind, schema } = definition;
    if (webhook === undefined) return undefined;
    const apiVersion = apiVersionOf(kind);
    const cache = this.#cacheOf(definition);
    const missing = [...new Set(objects)].filter((object) => object.apiVersion !== apiVersion && !cache.has(object));
    if (missing.length === 0) return undefined;
    const read = missing.map((object) => asStored(object, sourceOf(object, definition)));
    return webhook.convert(read, apiVersion).then((converted) => {
      for (const [at, object] of missing.entries())
        cache.set(object, deepFreeze(prunedBy(schema, converted[at] as KubeObject)));
    });
  }

  /** The same for an object that is about to be stored. */
  prepareStore(definition: ResourceDefinition, object: KubeObject): Promise<void> | undefined {
    const { webhook, storage, kind, versions } = definition;
    if (webhook === undefined || storage.version === kind.version) return undefined;
    const schema = versions?.get(storage.version)?.schema;
    return webhook
      .convert([object], apiVersionOf({ group: kind.group, version: storage.version }))
      .then(([stored]) => void this.#stored.set(object, readBy(schema, stored as KubeObject)));
  }

  #cacheOf(definition: ResourceDefinition): WeakMap<KubeObject, KubeObject> {
    let cache = this.#converted.get(definition);
    if (cache === undefined) this.#converted.set(definition, (cache = new WeakMap()));
    return cache;
  }

  /**
   * The object in the version that was asked for; one that was stored in that version, by the schema it has now. A custom
   * object has the defaults of the version it is stored in, and of that what the other version knows.
   */
  convert(object: KubeObject, definition: ResourceDefinition): KubeObject {
    const { kind, webhook, schema } = definition;
    const apiVersion = apiVersionOf(kind);
    const isAsked = object.apiVersion === apiVersion && object.kind === kind.kind;
    if (isAsked && !isOlder(object, definition)) return object;
    const cache = this.#cacheOf(definition);
    let shown = cache.get(object);
    if (shown === undefined) {
      assert(isAsked || webhook === undefined, "what a webhook converts is prepared before it is shown");
      shown = deepFreeze(isAsked ? readBy(schema, object) : this.#inOther(object, definition, apiVersion));
      cache.set(object, shown);
    }
    return shown;
  }

  #inOther(object: KubeObject, definition: ResourceDefinition, apiVersion: string): KubeObject {
    const { kind, schema } = definition;
    const conversion = this.#conversionOf(definition);
    if (conversion !== undefined) return { ...conversion.fromStored(object), apiVersion, kind: kind.kind };
    const renamed = { ...asStored(object, sourceOf(object, definition)), apiVersion, kind: kind.kind };
    return definition.versions === undefined ? renamed : prunedBy(schema, renamed);
  }

  /** The object as it is stored; `stored` is what the store holds now. */
  forStore(definition: ResourceDefinition, object: KubeObject, stored?: KubeObject): KubeObject {
    const { version, group = definition.kind.group } = definition.storage;
    if (definition.webhook !== undefined && version !== definition.kind.version) {
      const made = this.#stored.get(object);
      assert(made !== undefined, "what a webhook converts is prepared before it is stored");
      return made;
    }
    if (version === definition.kind.version && group === definition.kind.group) return object;
    const apiVersion = apiVersionOf({ group, version });
    const conversion = this.#conversionOf(definition);
    if (conversion !== undefined) return { ...conversion.toStored(object, stored), apiVersion };
    return readBy(definition.versions?.get(version)?.schema, { ...object, apiVersion });
  }

  /**
   * An object in another version of its kind with all it holds, whether that version knows it or not: so it is looked at
   * to tell who owns what.
   */
  rewritten(object: KubeObject, from: ResourceDefinition, to: ResourceDefinition): KubeObject | Promise<KubeObject> {
    const apiVersion = apiVersionOf(to.kind);
    if (from.webhook !== undefined)
      return from.webhook.convert([object], apiVersion).then(([made]) => made as KubeObject);
    if (this.#conversionOf(from) === undefined && this.#conversionOf(to) === undefined)
      return { ...object, apiVersion };
    return this.convert(this.forStore(from, object), to);
  }

  #conversionOf(definition: ResourceDefinition): VersionConversion | undefined {
    return definition.conversion ?? this.#conversions?.get(kindKey(definition.kind));
  }
}
