/** A taint of a node or a cluster. */
export interface TaintLike {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

export interface TolerationLike {
  readonly key?: string;
  readonly operator?: string;
  readonly value?: string;
  readonly effect?: string;
}

/**
 * Whether a toleration covers a taint: an empty effect or key covers all, `Exists` any value, `Equal` (or no operator) the
 * same value; any other operator covers nothing.
 */
export function tolerates({ key, value, effect, operator }: TolerationLike, taint: TaintLike): boolean {
  if (effect && effect !== taint.effect) return false;
  if (key && key !== taint.key) return false;
  if (operator === "Exists") return true;
  return (!operator || operator === "Equal") && (value ?? "") === (taint.value ?? "");
}
