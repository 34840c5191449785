import type { ResourceModel } from "#apis/karmada";
import { amountOf } from "./amounts.ts";

/** Free resources of one node, as quantities. */
export type NodeFree = Readonly<Record<string, string | number>>;

export const MAX_INT64 = "9223372036854775807";

const DEFAULT_MINIMA: readonly (readonly [number, number])[] = [
  [0, 0],
  [1, 4],
  [2, 16],
  [4, 32],
  [8, 64],
  [16, 128],
  [32, 256],
  [64, 512],
  [128, 1024],
];

/** The models of a cluster that sets none: nine grades of cpu and memory. */
export function defaultResourceModels(): readonly ResourceModel[] {
  return DEFAULT_MINIMA.map(([cpu, memory], grade) => {
    const next = DEFAULT_MINIMA[grade + 1];
    return {
      grade,
      ranges: [
        { name: "cpu", min: String(cpu), max: next === undefined ? MAX_INT64 : String(next[0]) },
        {
          name: "memory",
          min: memory === 0 ? "0" : `${memory}Gi`,
          max: next === undefined ? MAX_INT64 : `${next[1]}Gi`,
        },
      ],
    };
  });
}

export interface ModelCount {
  readonly grade: number;
  readonly count: number;
}

/** Which model a node falls under: a position in the models by grade, or -1. */
export interface ModelGrader {
  readonly grades: readonly number[];
  positionOf(free: NodeFree): number;
}

/** Reads models once for many nodes. Throws when they do not all range over the same resources. */
export function gradeByModels(models: readonly ResourceModel[]): ModelGrader {
  const sorted = [...models].sort((a, b) => a.grade - b.grade);
  const names = (sorted[0]?.ranges ?? []).map(({ name }) => name);
  for (const model of sorted)
    if (model.ranges.length !== names.length)
      throw new Error("the number of resourceName is not equal the number of resourceList");
  const minima = names.map((name) => ({
    name,
    list: sorted.map(({ ranges }) => amountOf(name, ranges.find((range) => range.name === name)?.min)),
  }));
  return {
    grades: sorted.map(({ grade }) => grade),
    positionOf(node) {
      let position = sorted.length - 1;
      for (const { name, list } of minima) {
        const free = amountOf(name, node[name] ?? 0);
        let own = -1;
        for (const [at, minimum] of list.entries()) if (minimum <= free) own = at;
        position = Math.min(position, own);
      }
      return position;
    },
  };
}

/** Counts nodes by model. Throws when the models do not all range over the same resources. */
export function countModels(models: readonly ResourceModel[], nodes: readonly NodeFree[]): readonly ModelCount[] {
  const { grades, positionOf } = gradeByModels(models);
  const counts = grades.map(() => 0);
  for (const node of nodes) {
    const position = positionOf(node);
    if (position >= 0) counts[position] = (counts[position] ?? 0) + 1;
  }
  return grades.map((grade, at) => ({ grade, count: counts[at] ?? 0 }));
}
