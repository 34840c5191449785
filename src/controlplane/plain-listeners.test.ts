import { afterEach, describe, expect, it } from "vitest";
import { type PlainListeners, startPlainListeners } from "./plain-listeners.ts";

const free = { host: "127.0.0.1", port: 0 };
const started: PlainListeners[] = [];
const start = async (options: Partial<Parameters<typeof startPlainListeners>[0]>): Promise<PlainListeners> => {
  const listeners = await startPlainListeners({
    metrics: undefined,
    health: undefined,
    metricsText: () => Promise.resolve("a_metric 1\n"),
    isReady: () => true,
    ...options,
  });
  started.push(listeners);
  return listeners;
};
afterEach(async () => {
  await Promise.all(started.splice(0).map((listeners) => listeners.close()));
});

const ask = async (port: number | undefined, path: string) => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`);
  return [answer.status, await answer.text()];
};

describe("plain listeners", () => {
  it("opens nothing unless asked", async () => {
    expect((await start({})).ports).toEqual([]);
  });

  it("serves metrics and health on ports of their own, each only its own paths", async () => {
    let isReady = false;
    const { ports } = await start({ metrics: free, health: free, isReady: () => isReady });
    const [metrics, health] = ports;
    expect(await ask(metrics, "/metrics")).toEqual([200, "a_metric 1\n"]);
    expect((await ask(metrics, "/healthz"))[0]).toBe(404);
    expect(await ask(health, "/healthz")).toEqual([200, "ok"]);
    expect((await ask(health, "/readyz"))[0]).toBe(500);
    isReady = true;
    expect(await ask(health, "/readyz")).toEqual([200, "ok"]);
  });

  it("shares one port where both addresses are equal, and names one that is taken", async () => {
    const [port = 0] = (await start({ metrics: free })).ports;
    const address = { host: "127.0.0.1", port };
    await expect(start({ health: address })).rejects.toThrow(`port ${port} on 127.0.0.1 is in use`);
    await started.splice(0)[0]?.close();
    const { ports } = await start({ metrics: address, health: address });
    expect(ports).toEqual([port]);
    expect(await ask(port, "/metrics")).toEqual([200, "a_metric 1\n"]);
    expect(await ask(port, "/livez")).toEqual([200, "ok"]);
  });
});
