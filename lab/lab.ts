/** `npm run lab -- build|up|down|status`: real Kubernetes members on this machine. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildParts } from "./build.ts";
import { down, status, up } from "./fleet.ts";

const USAGE = `Real Kubernetes members on loopback, built from source and ended by process id.

Usage:
  npm run lab -- build                     build what is missing
  npm run lab -- up [flags]                build what is missing and start members
  npm run lab -- status [--data-dir DIR]   say how the members are
  npm run lab -- down [--data-dir DIR]     end the members and remove their data

Flags:
  --members N      members to start (default 3)
  --nodes N        nodes of each member, played by kwok (default 2)
  --port PORT      port of the first member's API server; the next members take the next ones (default: free ports)
  --data-dir DIR   where kubeconfigs, data and logs are (default lab/.data)
  --keep           down: leave the members' data for the next up
`;

const say = (line: string) => {
  process.stdout.write(`${line}\n`);
};

function whole(text: string, flag: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Error(`${flag}: ${JSON.stringify(text)} must be a whole number from ${min} to ${max}`);
  return value;
}

async function run(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      members: { type: "string", default: "3" },
      nodes: { type: "string", default: "2" },
      port: { type: "string" },
      "data-dir": { type: "string", default: fileURLToPath(new URL(".data", import.meta.url)) },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const [command, ...rest] = positionals;
  const dataDir = values["data-dir"];
  if (values.help || command === undefined) {
    process.stdout.write(USAGE);
    return values.help ? 0 : 1;
  }
  if (rest.length > 0) throw new Error(`unexpected word ${JSON.stringify(rest[0])} after ${command}`);
  switch (command) {
    case "build":
      await buildParts(say);
      return 0;
    case "up": {
      const members = whole(values.members, "--members", 1, 20);
      const nodes = whole(values.nodes, "--nodes", 0, 1000);
      const port = values.port === undefined ? undefined : whole(values.port, "--port", 1, 65_535);
      await buildParts(say);
      await up({ dataDir, members, nodes, port, say });
      return 0;
    }
    case "down":
      await down(dataDir, values.keep, say);
      return 0;
    case "status":
      return (await status(dataDir, say)) ? 0 : 1;
    default:
      throw new Error(`unknown command ${JSON.stringify(command)}: build, up, down or status`);
  }
}

try {
  process.exitCode = await run();
} catch (error) {
  process.stderr.write(`lab: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
