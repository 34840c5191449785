import { deepFreeze } from "#base";
import { apiVersionOf, type KubeObject } from "#machinery";
import type { ResourceDefinition, VersionConversion } from "../definition.ts";

/** Objects in the versions clients ask for, and in the one that is stored. */
export class Versions {
  readonly #conversions: ReadonlyMap<string, VersionConversion> | undefined;
  /** Objects in other versions, made once for all readers. */
  readonly #converted = new WeakMap<ResourceDefinition, WeakMap<KubeObject, KubeObject>>();

  /** `conversions` of custom resources by `group/version/resource`; without one, versions differ in their name only. */
  constructor(conversions: ReadonlyMap<string, VersionConversion> | undefined) {
    this.#conversions = conversions;
  }

  /** The object in the version that was asked for. */
  convert(object: KubeObject, definition: ResourceDefinition): KubeObject {
    const { kind } = definition;
    const apiVersion = apiVersionOf(kind);
    if (object.apiVersion === apiVersion && object.kind === kind.kind) return object;
    let cache = this.#converted.get(definition);
    if (cache === undefined) this.#converted.set(definition, (cache = new WeakMap()));
    let shown = cache.get(object);
    if (shown === undefined) {
      shown = deepFreeze({
        ...(this.#conversionOf(definition)?.fromStored(object) ?? object),
        apiVersion,
        kind: kind.kind,
      });
      cache.set(object, shown);
    }
    return shown;
  }

  /** The object as it is stored; `stored` is what the store holds now. */
  forStore(definition: ResourceDefinition, object: KubeObject, stored?: KubeObject): KubeObject {
    const { version, group = definition.kind.group } = definition.storage;
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
