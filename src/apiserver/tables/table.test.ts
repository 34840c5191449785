import { expect, it } from "vitest";
import type { KubeList } from "#machinery";
import type { ResourceDefinition } from "../definition.ts";
import { tableOf } from "./table.ts";

it("shows flow schemas in the order in which they are tried, and other lists as they come", () => {
  const rowsOf = (group: string, kind: string) => {
    const definition = { kind: { group, version: "v1", kind }, columns: [] } as unknown as ResourceDefinition;
    const items = [9_000, 2, 150].map((matchingPrecedence) => ({
      apiVersion: `${group}/v1`,
      kind,
      metadata: { name: `at-${matchingPrecedence}` },
      spec: { matchingPrecedence },
    }));
    const list = { apiVersion: `${group}/v1`, kind: `${kind}List`, metadata: {}, items } as KubeList;
    const { rows } = tableOf(definition, list, "None", 0) as { rows: { cells: unknown[] }[] };
    return rows.map(({ cells }) => cells[0]);
  };
  expect(rowsOf("flowcontrol.apiserver.k8s.io", "FlowSchema")).toEqual(["at-2", "at-150", "at-9000"]);
  expect(rowsOf("example.com", "FlowSchema")).toEqual(["at-9000", "at-2", "at-150"]);
});
