import { type FieldError, fieldInvalid } from "#machinery";

interface FieldSelecting {
  readonly fieldSelector?:
    | {
        readonly matchExpressions?: readonly { readonly key: string; readonly operator: string }[];
      }
    | undefined;
}

/** What a choice of clusters may say about their spec; the first wrong demand only. */
export function fieldSelectorErrors(affinity: FieldSelecting | undefined, path: string): FieldError[] {
  const selector = affinity?.fieldSelector;
  for (const { key, operator } of selector?.matchExpressions ?? []) {
    if (!["provider", "region", "zone"].includes(key))
      return [
        fieldInvalid(
          `${path}.fieldSelector`,
          selector,
          `unsupported key ${JSON.stringify(key)}, must be provider, region, or zone`,
        ),
      ];
    if (operator !== "In" && operator !== "NotIn")
      return [
        fieldInvalid(
          `${path}.fieldSelector`,
          selector,
          `unsupported operator ${JSON.stringify(operator)}, must be In or NotIn`,
        ),
      ];
  }
  return [];
}
