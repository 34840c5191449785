import type { Interpreter } from "#interpreter";
import type { ResourceKind } from "#machinery";

export interface DetectorDeps {
  readonly interpreter: Interpreter;
  readonly gates: ReadonlySet<string>;
  /** Kinds whose objects may be templates, now; tells of changes. */
  readonly templates: TemplateKinds;
}

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
