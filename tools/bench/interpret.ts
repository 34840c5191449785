import type { ResourceInterpreterCustomization } from "#apis/karmada";
import { createCustomizations, createInterpreter, createLuaEngine, nativeSource, thirdPartySource } from "#interpreter";
import type { KubeObject } from "#machinery";
import { aDeployment } from "#testing";
import type { Bench, Row } from "./measure.ts";

const ROUNDS = 20_000;

const SCRIPT = `function InterpretHealth(o)
  return o.status.updatedReplicas == o.spec.replicas and o.metadata.generation == o.status.observedGeneration
end`;

/** How often a second of CPU time answers whether an object is healthy. */
function perCpuSecond(ask: () => unknown): number {
  for (let warm = 0; warm < 2_000; warm++) ask();
  const before = process.cpuUsage();
  for (let round = 0; round < ROUNDS; round++) ask();
  const { user, system } = process.cpuUsage(before);
  return ROUNDS / ((user + system) / 1e6);
}

/** Health by a script, by a rule of ours in code, and how long a script that loops holds up the others. */
export const interpret: Bench = () => {
  const deployment = {
    ...aDeployment("web", 3),
    status: { replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3, observedGeneration: 1 },
  } as unknown as KubeObject;
  const object = { ...deployment, metadata: { ...deployment.metadata, generation: 1 } };
  const customization = (rule: string, luaScript: string) =>
    ({
      apiVersion: "config.karmada.io/v1alpha1",
      kind: "ResourceInterpreterCustomization",
      metadata: { name: rule },
      spec: { target: { apiVersion: "apps/v1", kind: "Deployment" }, customizations: { [rule]: { luaScript } } },
    }) as unknown as ResourceInterpreterCustomization;
  const own = createCustomizations({ engine: createLuaEngine({ now: () => 0 }), now: () => 0 });
  own.set([
    customization("healthInterpretation", SCRIPT),
    customization("statusReflection", "function ReflectStatus(o) while true do end end"),
  ]);
  const lua = createInterpreter([own.source]);
  const code = createInterpreter([thirdPartySource, nativeSource]);
  const script = perCpuSecond(() => lua.health(object));
  const startMs = performance.now();
  try {
    lua.reflect(object);
  } catch {
    // Stopped, which is what is measured.
  }
  const stoppedMs = performance.now() - startMs;
  const row = (measure: string, value: number, unit: string): Row => ({ name: "interpret", measure, value, unit });
  return Promise.resolve([
    { ...row("health by a Lua script", script, "/s"), reference: "goal ≥ 5000 /s", ratio: script / 5_000 },
    row(
      "health by a rule in code",
      perCpuSecond(() => code.health(object)),
      "/s",
    ),
    row("a script that loops is stopped after", stoppedMs, "ms"),
  ]);
};
