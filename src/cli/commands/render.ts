import { stringify } from "yaml";
import { kubeconfigFlags, openConnection } from "../connection.ts";
import { readable, renderTemplate } from "../diff/plan.ts";
import { loadDiffWorld, readObjects } from "../diff/world.ts";
import { parseArguments, withHelp } from "../flags.ts";
import { systemClock } from "../process.ts";
import { resolveType, typeAndName } from "../resolve.ts";

/** `flotilla render (TYPE NAME | -f FILE) -C CLUSTER`: the manifest as it would arrive in a member. */
export function run(words: readonly string[], program: string): Promise<number> {
  return withHelp(async () => {
    const parsed = parseArguments(
      words,
      [
        ...kubeconfigFlags,
        { name: "namespace", short: "n", meaning: "namespace of the object; default is the context's" },
        { name: "filename", short: "f", meaning: "file of a template that is not applied" },
        { name: "policy", meaning: "file of policies that are not applied; may stand several times" },
        { name: "cluster", short: "C", meaning: "member to render for; without it every one it goes to" },
        { name: "show-marks", isSwitch: true, meaning: "the control plane's own labels and annotations too" },
        { name: "output", short: "o", default: "yaml", meaning: "yaml or json" },
      ],
      `${program} render (TYPE NAME | -f FILE) [-C CLUSTER]`,
    );
    const connection = openConnection(parsed.get("kubeconfig"), parsed.get("karmada-context"));
    try {
      const namespace = parsed.get("namespace") ?? connection.endpoint.namespace ?? "default";
      const given = readObjects([...parsed.all("filename"), ...parsed.all("policy")], namespace);
      const nowMs = systemClock.now();
      const world = await loadDiffWorld(connection, given, nowMs);
      let templates = world.templates;
      if (parsed.args.length > 0) {
        const [type, name] = typeAndName(parsed.args);
        const kind = await resolveType(connection.transport, type);
        templates = [await connection.client.get(kind, { namespace: kind.namespaced ? namespace : undefined, name })];
      }
      if (templates.length === 0) throw new Error("one object such as deployment/nginx, or -f FILE, is required");
      const wanted = parsed.get("cluster");
      let hasProblems = false;
      const manifests = templates.flatMap((template) => {
        const { manifests: found, problems } = renderTemplate(template, world.after, world, nowMs);
        if (problems.length > 0) {
          const problem = `${template.kind} ${template.metadata.name}: ${problems.join(", ")}`;
          if (found.size === 0 && templates.length === 1) throw new Error(problem);
          process.stderr.write(`${problem}\n`);
          hasProblems = true;
          if (found.size === 0) return [];
        }
        if (wanted !== undefined && !found.has(wanted))
          throw new Error(
            `${template.kind} ${template.metadata.name} does not go to ${wanted}: it goes to ${[...found.keys()].join(", ") || "no cluster"}`,
          );
        return [...found].filter(([cluster]) => wanted === undefined || cluster === wanted);
      });
      const shown = manifests.map(([cluster, manifest]) => ({
        cluster,
        manifest: parsed.isOn("show-marks") ? manifest : readable(manifest),
      }));
      process.stdout.write(
        parsed.get("output") === "json"
          ? `${JSON.stringify(shown, null, 2)}\n`
          : shown.map(({ cluster, manifest }) => `---\n# ${cluster}\n${stringify(manifest)}`).join(""),
      );
      return hasProblems ? 1 : 0;
    } finally {
      await connection.transport.close();
    }
  });
}
