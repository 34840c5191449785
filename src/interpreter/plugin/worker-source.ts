/**
 * The program of a module's worker, as text: it must run from a bundle, from sources and in tests alike, and shares no code
 * with the interpreter. It answers questions and reports what the module threw.
 */
export const workerSource = `
const { parentPort, workerData } = require("node:worker_threads");
const PARTS = ["replicas", "components", "revise", "retain", "aggregate", "dependencies", "reflect", "health"];
let plugin;
const text = (error) => (error instanceof Error ? error.message : String(error));
const shown = (value) => { try { return JSON.stringify(value) ?? String(value); } catch { return String(value); } };

async function load() {
  const module = await import(workerData.url);
  plugin = module.default ?? module.plugin;
  if (typeof plugin !== "object" || plugin === null) throw new Error("the module must export the plugin as default");
  if (plugin.apiVersion !== workerData.apiVersion) throw new Error("apiVersion must be " + workerData.apiVersion + ", not " + shown(plugin.apiVersion));
  if (typeof plugin.name !== "string" || !/^[A-Za-z][A-Za-z0-9]*$/.test(plugin.name)) throw new Error("name must be a word of letters and digits, not " + shown(plugin.name));
  if (typeof plugin.kinds !== "object" || plugin.kinds === null) throw new Error("kinds must map apiVersion/Kind to rules");
  const kinds = {};
  for (const [kind, rules] of Object.entries(plugin.kinds)) {
    if (!/^([^/]+\\/)?v[^/]*\\/[A-Z][A-Za-z0-9]*$/.test(kind)) throw new Error("kinds: " + shown(kind) + " must read apiVersion/Kind");
    for (const [part, rule] of Object.entries(rules)) {
      if (!PARTS.includes(part)) throw new Error("kinds." + kind + ": there is no rule " + shown(part) + "; rules are " + PARTS.join(", "));
      if (typeof rule !== "function") throw new Error("kinds." + kind + "." + part + " must be a function");
    }
    kinds[kind] = Object.keys(rules);
  }
  return { name: plugin.name, kinds };
}

parentPort.on("message", async ({ id, kind, part, given }) => {
  try {
    const answer = await plugin.kinds[kind][part](...given);
    parentPort.postMessage({ id, answer: answer === undefined || answer === null ? undefined : JSON.parse(JSON.stringify(answer)) });
  } catch (error) {
    parentPort.postMessage({ id, error: text(error) });
  }
});
load().then((loaded) => parentPort.postMessage({ id: 0, answer: loaded }), (error) => parentPort.postMessage({ id: 0, error: text(error) }));
`;
