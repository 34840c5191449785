/**
 * What the program of a module's thread begins with, as text: it must run from a bundle, from sources and in tests alike, and
 * shares no code with the program that asks it. After it stand functions `check(plugin)`, which throws what is wrong with a
 * module and gives what is told of it, `answer(message)`, and `hear(message)` for what needs no answer.
 */
export const modulePrelude = `
const { parentPort, workerData } = require("node:worker_threads");
let plugin;
const text = (error) => (error instanceof Error ? error.message : String(error));
const shown = (value) => { try { return JSON.stringify(value) ?? String(value); } catch { return String(value); } };

async function load() {
  const module = await import(workerData.url);
  plugin = module.default ?? module.plugin;
  if (typeof plugin !== "object" || plugin === null) throw new Error("the module must export the plugin as default");
  if (plugin.apiVersion !== workerData.apiVersion) throw new Error("apiVersion must be " + workerData.apiVersion + ", not " + shown(plugin.apiVersion));
  if (typeof plugin.name !== "string" || !/^[A-Za-z][A-Za-z0-9]*$/.test(plugin.name)) throw new Error("name must be a word of letters and digits, not " + shown(plugin.name));
  return check(plugin);
}

parentPort.on("message", async ({ id, ...message }) => {
  if (id === undefined) return hear(message);
  try {
    parentPort.postMessage({ id, answer: await answer(message) });
  } catch (error) {
    parentPort.postMessage({ id, error: text(error) });
  }
});
load().then((loaded) => parentPort.postMessage({ id: 0, answer: loaded }), (error) => parentPort.postMessage({ id: 0, error: text(error) }));
`;
