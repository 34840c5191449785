import { VERSION } from "#config";

/** `flotilla version` */
export function run(_words: readonly string[], program: string): Promise<number> {
  process.stdout.write(`${program} version: ${VERSION} (API of Karmada v1.19, Kubernetes v1.36)\n`);
  return Promise.resolve(0);
}
