import { VERSION } from "#config";
import { parseArguments, withHelp } from "../flags.ts";

/** `flotilla version` */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(() => {
    parseArguments(words, [], `${program} version`);
    process.stdout.write(`${program} version: ${VERSION} (API of Karmada v1.19, Kubernetes v1.36)\n`);
    return Promise.resolve(0);
  });
}
