import { assert, deepFreeze } from "#base";
import { apiVersionOf, type KubeObject, type Schema } from "#machinery";
import type { ResourceDefinition, VersionConversion } from "../definition.ts";

/** Whether an object may have been written before its kind had the schema it has now. */
const isOlder = ({ metadata }: KubeObject, { schemaRevision }: ResourceDefinition): boolean =>
  schemaRevision !== undefined && Number(metadata.resourceVersion) < schemaRevision;

/** Without what the schema does not know, and with its defaults; the object itself when it is so already. */
function readBy(schema: Schema | undefined, object: KubeObject): KubeObject {
  if (schema === undefined) return object;
  return schema.applyDefaults(schema.prune(object, [])) as KubeObject;
}

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
    return webhook.convert(missing, apiVersion).then((converted) => {
      for (const [at, object] of missing.entries())
        cache.set(object, deepFreeze(readBy(schema, converted[at] as KubeObject)));
    });
  }

  /** The same for an object that is about to be stored. */
  prepareStore(definition: ResourceDefinition, object: KubeObject): Promise<void> | undefined {
    const { webhook, storage, kind } = definition;
    if (webhook === undefined || storage.version === kind.version) return undefined;
    return webhook
      .convert([object], apiVersionOf({ group: kind.group, version: storage.version }))
      .then(([stored]) => void this.#stored.set(object, stored as KubeObject));
  }

  #cacheOf(definition: ResourceDefinition): WeakMap<KubeObject, KubeObject> {
    let cache = this.#converted.get(definition);
    if (cache === undefined) this.#converted.set(definition, (cache = new WeakMap()));
    return cache;
  }

  /** The object in the version that was asked for; one that was stored in that version, by the schema it has now. */
  convert(object: KubeObject, definition: ResourceDefinition): KubeObject {
    const { kind, webhook, schema } = definition;
    const apiVersion = apiVersionOf(kind);
    const isAsked = object.apiVersion === apiVersion && object.kind === kind.kind;
    if (isAsked && !isOlder(object, definition)) return object;
    const cache = this.#cacheOf(definition);
    let shown = cache.get(object);
    if (shown === undefined) {
      assert(isAsked || webhook === undefined, "what a webhook converts is prepared before it is shown");
      shown = deepFreeze(
        isAsked
          ? readBy(schema, object)
          : { ...(this.#conversionOf(definition)?.fromStored(object) ?? object), apiVersion, kind: kind.kind },
      );
      cache.set(object, shown);
    }
    return shown;
  }

  /** The object as it is stored; `stored` is what the store holds now. */
  forStore(definition: ResourceDefinition, object: KubeObject, stored?: KubeObject): KubeObject {
    const { version, group = definition.kind.group } = definition.storage;
    if (definition.webhook !== undefined && version !== definition.kind.version) {
      const made = this.#stored.get(object);
      assert(made !== undefined, "what a webhook converts is prepared before it is stored");
      return made;
    }
    return version === definition.kind.version && group === definition.kind.group
      ? object
      : {
          ...(this.#conversionOf(definition)?.toStored(object, stored) ?? object),
          apiVersion: apiVersionOf({ group, version }),
        };
  }

  #conversionOf(definition: ResourceDefinition): VersionConversion | undefined {
    const { group, version, resource } = definition.kind;
    return definition.conversion ?? this.#conversions?.get(`${group}/${version}/${resource}`);
  }
}
