/** `npm run sim -- --seed N --steps M [--seeds K] [--profile policies|failover] [--verbose]`: runs K simulations from seed N on; exit code 1 when one fails. */
import { freezeObjects } from "#base";
import { failoverProfile } from "./failover/index.ts";
import { policiesProfile } from "./policies/index.ts";
import { runProfile, runSimulation } from "./simulation.ts";

function textOf(name: string): string | undefined {
  const words = process.argv.slice(2);
  const at = words.findIndex((word) => word === `--${name}` || word.startsWith(`--${name}=`));
  return at < 0 ? undefined : (words[at]?.split("=")[1] ?? words[at + 1] ?? "");
}

function numberOf(name: string, fallback: number): number {
  const text = textOf(name);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`--${name}: ${JSON.stringify(text)} must be a whole number`);
  return value;
}

freezeObjects();
const first = numberOf("seed", 1);
const steps = numberOf("steps", 40);
const seeds = numberOf("seeds", 1);
const profiles = {
  propagation: runSimulation,
  policies: (options: { readonly seed: number; readonly steps: number }) => runProfile(policiesProfile, options),
  failover: (options: { readonly seed: number; readonly steps: number }) => runProfile(failoverProfile, options),
};
const profile = textOf("profile") ?? "propagation";
if (!Object.hasOwn(profiles, profile))
  throw new Error(`--profile: ${JSON.stringify(profile)} must be one of ${Object.keys(profiles).join(", ")}`);
const simulate = profiles[profile as keyof typeof profiles];
const isVerbose = process.argv.includes("--verbose");
const failed: number[] = [];
for (let seed = first; seed < first + seeds; seed++) {
  const { failure, history, settledAfterMs } = await simulate({ seed, steps });
  if (failure === undefined) {
    console.log(
      `✓ seed ${seed}: ${steps} steps, at rest ${(settledAfterMs / 1000).toFixed(1)} virtual seconds after them`,
    );
    if (isVerbose) console.log(history.join("\n"));
    continue;
  }
  failed.push(seed);
  console.log(`✗ seed ${seed}: ${failure.checker}: ${failure.message}`);
  console.log(history.map((line) => `    ${line}`).join("\n"));
}
console.log(
  failed.length === 0
    ? `${seeds} seeds passed`
    : `${failed.length} of ${seeds} seeds failed: ${failed.join(", ")}; run one again with --seed N --steps ${steps}`,
);
if (failed.length > 0) process.exitCode = 1;
