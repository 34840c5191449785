import type { AnyBinding } from "#apis/karmada";
import type { Interpreter } from "#interpreter";
import type { KubeObject, ResourceKind } from "#machinery";

export interface DetectorDeps {
  readonly interpreter: Interpreter;
  readonly gates: ReadonlySet<string>;
  /** Kinds whose objects may be templates, now; tells of changes. */
  readonly templates: TemplateKinds;
  /** Takes, once the detector runs, by what a new template is marked as it is stored; absent where the API server is elsewhere. */
  readonly marksNew?: (mark: MarkNew) => void;
  /** Where a binding goes that is about to be created, as far as that is known; absent where nobody is asked. */
  readonly placeNew?: PlaceNew;
}

/** Gives where a new binding goes, to be written with it; `undefined` where it is created without, and placed after. */
export type PlaceNew = (binding: AnyBinding) =>
  | {
      readonly binding: AnyBinding;
      readonly statusPatch: Readonly<Record<string, unknown>>;
      created(binding: AnyBinding): Promise<void>;
      failed(): void;
    }
  | undefined;

/** Gives an object that is about to be created, with the marks of the policy that claims it where that is certain. */
export type MarkNew = (object: KubeObject) => KubeObject;

/** What the control plane serves, as far as propagation goes. */
export interface TemplateKinds {
  list(): readonly ResourceKind[];
  onChange(react: () => void): () => void;
  find(apiVersion: string, kind: string): ResourceKind | undefined;
}

export interface DetectorOptions {
  /** `--skipped-propagating-apis`. */
  readonly skippedPropagatingApis: string;
  /** `--skipped-propagating-namespaces`. */
  readonly skippedPropagatingNamespaces: readonly string[];
  readonly concurrentSyncs: number;
}
