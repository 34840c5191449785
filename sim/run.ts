/** `npm run sim -- --seed N --steps M [--seeds K] [--verbose]`: runs K simulations from seed N on; exit code 1 when one fails. */
import { runSimulation } from "./simulation.ts";

function numberOf(name: string, fallback: number): number {
  const words = process.argv.slice(2);
  const at = words.findIndex((word) => word === `--${name}` || word.startsWith(`--${name}=`));
  if (at < 0) return fallback;
  const text = words[at]?.split("=")[1] ?? words[at + 1] ?? "";
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`--${name}: ${JSON.stringify(text)} must be a whole number`);
  return value;
}

const first = numberOf("seed", 1);
const steps = numberOf("steps", 40);
const seeds = numberOf("seeds", 1);
const isVerbose = process.argv.includes("--verbose");
const failed: number[] = [];
for (let seed = first; seed < first + seeds; seed++) {
  const { failure, history, settledAfterMs } = await runSimulation({ seed, steps });
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
