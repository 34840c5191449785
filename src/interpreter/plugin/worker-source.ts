import { modulePrelude } from "#user-modules";

/** The program of an interpreter module's thread, as text: it answers by the rule it is asked for. */
export const workerSource = `${modulePrelude}
const PARTS = ["replicas", "components", "revise", "retain", "aggregate", "dependencies", "reflect", "health"];

function check({ name, kinds: given }) {
  if (typeof given !== "object" || given === null) throw new Error("kinds must map apiVersion/Kind to rules");
  const kinds = {};
  for (const [kind, rules] of Object.entries(given)) {
    if (!/^([^/]+\\/)?v[^/]*\\/[A-Z][A-Za-z0-9]*$/.test(kind)) throw new Error("kinds: " + shown(kind) + " must read apiVersion/Kind");
    for (const [part, rule] of Object.entries(rules)) {
      if (!PARTS.includes(part)) throw new Error("kinds." + kind + ": there is no rule " + shown(part) + "; rules are " + PARTS.join(", "));
      if (typeof rule !== "function") throw new Error("kinds." + kind + "." + part + " must be a function");
    }
    kinds[kind] = Object.keys(rules);
  }
  return { name, kinds };
}

const hear = () => undefined;
async function answer({ kind, part, given }) {
  const found = await plugin.kinds[kind][part](...given);
  return found === undefined || found === null ? undefined : JSON.parse(JSON.stringify(found));
}
`;
