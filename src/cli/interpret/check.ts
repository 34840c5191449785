import { CUSTOMIZATION_RULES, type LuaEngine } from "#interpreter";
import type { Source } from "./load.ts";

/** The report of `interpret --check`, and whether every script passed. */
export function checkReport(
  sources: readonly Source[],
  engine: LuaEngine,
): { readonly text: string; readonly isGood: boolean } {
  let isGood = true;
  const lines: string[] = [];
  const fail = (message: string) => {
    isGood = false;
    return `ERROR: ${message}`;
  };
  const width = Math.max(...CUSTOMIZATION_RULES.map(({ operation }) => operation.length)) + 1;
  for (const { source, customization } of sources) {
    lines.push("-".repeat(35), `SOURCE: ${source}`);
    const { target, customizations } = customization.spec;
    if (!target.kind) lines.push(fail("target.kind no set"));
    if (!target.apiVersion) lines.push(fail("target.apiVersion no set"));
    if (!target.kind || !target.apiVersion) continue;
    lines.push(`TARGET: ${target.apiVersion} ${target.kind}\t`, "RULERS:");
    for (const { rule, operation, function: name } of CUSTOMIZATION_RULES)
      lines.push(`    ${`${operation}:`.padEnd(width)}   ${verdictOf(customizations[rule]?.luaScript, name)}`);
  }
  function verdictOf(script: string | undefined, name: string): string {
    if (!script) return "UNSET";
    try {
      engine.probe(script, name);
      return "PASS";
    } catch (error) {
      return fail(error instanceof Error ? error.message : String(error));
    }
  }
  return { text: `${lines.join("\n")}\n`, isGood };
}
