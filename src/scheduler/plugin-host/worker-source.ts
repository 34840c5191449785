import { modulePrelude } from "#user-modules";

/** The program of a scheduler plugin's thread, as text: it keeps the clusters it was told of and answers one pass at a time. */
export const workerSource = `${modulePrelude}
const clusters = new Map();

function check(plugin) {
  for (const point of ["filter", "score", "normalizeScores", "estimate"])
    if (plugin[point] !== undefined && typeof plugin[point] !== "function") throw new Error(point + " must be a function");
  return { name: plugin.name, points: ["filter", "score", "normalizeScores", "estimate"].filter((point) => plugin[point] !== undefined) };
}

function hear({ set, gone }) {
  for (const cluster of set) clusters.set(cluster.metadata.name, cluster);
  for (const name of gone) clusters.delete(name);
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
  const raw = { ...scores };
  if (plugin.score !== undefined) {
    const final = plugin.normalizeScores === undefined ? scores : await plugin.normalizeScores({ binding, scores });
    for (const name of fitting) {
      const score = final?.[name];
      if (typeof score !== "number" || !(score >= 0 && score <= 100)) throw new Error("score must be a number from 0 to 100, not " + shown(score) + " (cluster " + name + ")");
      scores[name] = score;
    }
  }
  return { reasons, raw, scores, estimates };
}
`;
