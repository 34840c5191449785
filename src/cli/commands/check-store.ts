import { existsSync } from "node:fs";
import { join } from "node:path";
import { damageOf } from "#apiserver";
import { type Backend, openBackend } from "#store";
import { UsageError } from "../errors.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { formatTable } from "../table.ts";

const PAGE = 500;
const ROOT = "/registry/";

const FLAGS = [
  { name: "data-dir", meaning: "folder of a server that does not run" },
  { name: "remove-damaged", isSwitch: true, meaning: "delete the entries that are damaged, after listing them" },
] as const;

interface Damage {
  readonly key: string;
  readonly revision: number;
  readonly why: string;
}

/** Reads every entry once. */
async function look(backend: Backend): Promise<{ readonly count: number; readonly damages: readonly Damage[] }> {
  const damages: Damage[] = [];
  let count = 0;
  let after: string | undefined;
  for (;;) {
    const { entries, hasMore } = await backend.list(ROOT, { limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const { key, value, revision } of entries) {
      const why = damageOf(value);
      if (why !== undefined) damages.push({ key, revision, why });
    }
    count += entries.length;
    after = entries.at(-1)?.key;
    if (!hasMore || after === undefined) return { count, damages };
  }
}

/** `flotilla check store --data-dir DIR` */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(words, FLAGS, `${program} check store --data-dir DIR [flags]`);
    if (parsed.args.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(parsed.args[0])}`);
    const folder = parsed.get("data-dir");
    if (folder === undefined || folder === "") throw new UsageError("required flag: --data-dir");
    const store = join(folder, "store");
    // Opening makes a new store where there is none.
    if (!existsSync(join(store, "format"))) throw new Error(`--data-dir: there is no store in ${store}`);
    const backend = await openBackend(`file:${store}`);
    try {
      const { count, damages } = await look(backend);
      process.stdout.write(`${count} entries, ${damages.length} damaged\n`);
      if (damages.length === 0) return 0;
      process.stdout.write(
        formatTable(
          ["KEY", "DAMAGE"],
          damages.map(({ key, why }) => [key, why]),
        ),
      );
      if (!parsed.isOn("remove-damaged")) return 1;
      for (const { key, revision } of damages) await backend.txn([{ type: "delete", key, expected: revision }]);
      process.stdout.write(`${damages.length} entries deleted\n`);
      return 0;
    } finally {
      await backend.close();
    }
  });
}
