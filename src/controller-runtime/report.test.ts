import { afterEach, expect, it } from "vitest";
import { ConfigMap } from "#apis/kubernetes";
import { seededRandom, silentLogger, systemClock } from "#base";
import { createClient } from "#client";
import { createTestServer, eventually } from "#testing";
import { defineController, done } from "./definition.ts";
import { createManager, type Manager } from "./manager.ts";
import { type Turn, Turns, type Urgency } from "./turns.ts";

/** Turns that keep background work waiting until it is let go. */
class HeldTurns extends Turns {
  readonly #held = new Set<Turn>();
  #isHeld = true;

  override ask(turn: Turn, urgency: Urgency): void {
    if (this.#isHeld && urgency === "background") this.#held.add(turn);
    else super.ask(turn, urgency);
  }

  letGo(): void {
    this.#isHeld = false;
    for (const turn of this.#held) super.ask(turn, "background");
  }
}

let manager: Manager | undefined;
afterEach(() => manager?.stop());

it("writes reports as background work: the last one of a request, and the request again where it failed", async () => {
  const { inside } = await createTestServer({ clock: systemClock });
  const turns = new HeldTurns();
  const written: string[] = [];
  const reconciled: string[] = [];
  let failures = 1;
  const reporter = defineController<object, object>({
    name: "reporter",
    reconciles: [ConfigMap],
    writes: [],
    options: {},
    reconcile: (request, context) => {
      // The server keeps ConfigMaps of its own.
      if (request.namespace !== "default") return done;
      const { data } = context.cache(ConfigMap).get(request.key) ?? {};
      const value = `${request.name}=${data?.["value"]}`;
      reconciled.push(value);
      context.report(request, async () => {
        if (request.name === "failing" && failures-- > 0) throw new Error("not now");
        written.push(value);
      });
      return done;
    },
  });
  manager = createManager({ transport: inside, clock: systemClock, random: seededRandom(1), log: silentLogger, turns });
  manager.add(reporter, { deps: {} });
  await manager.start();
  const client = createClient(inside);
  const write = (name: string, value: string, verb: "create" | "update") =>
    client[verb](ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: "default", name },
      data: { value },
    } as unknown as ConfigMap);
  await write("a", "1", "create");
  await write("failing", "1", "create");
  await eventually(() => reconciled.length === 2);
  await write("a", "2", "update");
  await eventually(() => reconciled.length === 3);
  expect(written).toEqual([]);
  turns.letGo();
  await eventually(() => written.length === 2);
  expect(written.sort()).toEqual(["a=2", "failing=1"]);
  expect(reconciled).toEqual(["a=1", "failing=1", "a=2", "failing=1"]);
  await manager.whenIdle();
  expect(manager.depth).toBe(0);
});
