/**
 * The program of a plugin's worker, as text: it must run from a bundle, from sources and in tests alike, and shares no code
 * with the scheduler. It keeps the clusters it was told of, answers one question at a time, and reports what the plugin threw.
 */
export const workerSource = `
const { parentPort, workerData } = require("node:worker_threads");
const clusters = new Map();
let plugin;
const text = (error) => (error instanceof Error ? error.message : String(error));
const shown = (value) => { try { return JSON.stringify(value) ?? String(value); } catch { return String(value); } };

async function load() {
  const module = await import(workerData.url);
  plugin = module.default ?? module.plugin;
  if (typeof plugin !== "object" || plugin === null) throw new Error("the module must export the plugin as default");
  if (plugin.apiVersion !== workerData.apiVersion) throw new Error("apiVersion must be " + workerData.apiVersion + ", not " + shown(plugin.apiVersion));
  if (typeof plugin.name !== "string" || !/^[A-Za-z][A-Za-z0-9]*$/.test(plugin.name)) throw new Error("name must be a word of letters and digits, not " + shown(plugin.name));
  for (const point of ["filter", "score", "normalizeScores", "estimate"])
    if (plugin[point] !== undefined && typeof plugin[point] !== "function") throw new Error(point + " must be a function");
  return { name: plugin.name, points: ["filter", "score", "estimate"].filter((point) => plugin[point] !== undefined) };
}

async function answer({ names, binding }) {
  const reasons = {}, scores = {}, estimates = {};
  const fitting = [];
  for (const name of names) {
    const cluster = clusters.get(name);
    if (plugin.filter !== undefined) {
      const reason = await plugin.filter({ binding, cluster });
      if (reason !== undefined && reason !== null) {
        if (typeof reason !== "string" || reason === "") throw new Error("filter must answer a reason or nothing, not " + shown(reason));
        reasons[name] = reason;
        continue;
      }
    }
    fitting.push(name);
    if (plugin.score !== undefined) scores[name] = await plugin.score({ binding, cluster });
    if (plugin.estimate !== undefined) {
      const room = await plugin.estimate({ binding, cluster });
      if (room !== undefined && (!Number.isInteger(room) || room < -1)) throw new Error("estimate must answer a whole number from -1, not " + shown(room));
      estimates[name] = room ?? -1;
    }
  }
  if (plugin.score !== undefined) {
    const final = plugin.normalizeScores === undefined ? scores : await plugin.normalizeScores({ binding, scores });
    for (const name of fitting) {
      const score = final?.[name];
      if (typeof score !== "number" || !(score >= 0 && score <= 100)) throw new Error("score must be a number from 0 to 100, not " + shown(score) + " (cluster " + name + ")");
      scores[name] = score;
    }
  }
  return { reasons, scores, estimates };
}

parentPort.on("message", async (message) => {
  try {
    if (message.kind === "clusters") {
      for (const cluster of message.set) clusters.set(cluster.metadata.name, cluster);
      for (const name of message.gone) clusters.delete(name);
    } else parentPort.postMessage({ id: message.id, answer: await answer(message) });
  } catch (error) {
    parentPort.postMessage({ id: message.id, error: text(error) });
  }
});
load().then((loaded) => parentPort.postMessage({ id: 0, answer: loaded }), (error) => parentPort.postMessage({ id: 0, error: text(error) }));
`;
