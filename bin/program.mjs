// Loads the built program, or the sources where nothing is built, and hands it the name it was called by.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const built = new URL("../dist/main.js", import.meta.url);

export async function run(programName) {
  if (!existsSync(fileURLToPath(built))) {
    console.error("flotilla is not built yet: run `npm install && npm run build` in its folder, or `npm start`.");
    process.exit(1);
  }
  const { main } = await import(built.href);
  await main(programName, process.argv.slice(2));
}
