import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock, VirtualClock } from "#base";
import { createHttpTransport, type HttpTransport } from "#client";
import { type KubeObject, tooManyRequests, type Transport } from "#machinery";
import { settle } from "#testing";
import { withFlow } from "./flow.ts";

const pod = { verb: "get", group: "", version: "v1", resource: "pods", namespace: "a", name: "p" } as const;
const closers: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A member that treats requests as it likes, and a plain transport to it. */
async function fakeMember(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<HttpTransport> {
  const server: Server = createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const transport = createHttpTransport({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  closers.push(async () => {
    await transport.close();
    server.closeAllConnections();
    server.close();
  });
  return transport;
}

const outcome = (work: Promise<unknown>) =>
  work.then(
    () => "ok",
    (error: Error) => error.message,
  );

describe("what a member is asked at a time", () => {
  test("a member that accepts and never answers is given up with all that waits, and soon asked by one request alone", async () => {
    const clock = new VirtualClock(0, settle);
    let asked = 0;
    let isHanging = true;
    const send = () => {
      asked++;
      return isHanging ? new Promise<KubeObject>(() => undefined) : Promise.resolve({ kind: "Pod" } as KubeObject);
    };
    const flow = withFlow({ send } as unknown as Transport, { clock, stallMs: 100, breakMs: 150, inFlightStart: 8 });
    const sent = Promise.all(Array.from({ length: 40 }, () => outcome(flow.send(pod))));
    await clock.advance(100);
    const outcomes = await sent;
    expect(outcomes.filter((text) => text === "no answer to 8 requests within 0.1 s")).toHaveLength(8);
    expect(
      outcomes.filter((text) => text.startsWith("the member cluster cannot be reached: no answer to")),
    ).toHaveLength(32);
    expect(asked).toBe(8);
    expect(flow.flow).toMatchObject({
      isBroken: true,
      inFlight: 0,
      waiting: 0,
      failure: "no answer to 8 requests within 0.1 s",
    });
    expect(await outcome(flow.send(pod))).toContain("waiting before the next try");
    expect(asked).toBe(8);
    isHanging = false;
    await clock.advance(170);
    const [first, second] = await Promise.all([outcome(flow.send(pod)), outcome(flow.send(pod))]);
    expect([first, second.includes("cannot be reached")]).toEqual(["ok", true]);
    expect(flow.flow).toMatchObject({ isBroken: false, failure: undefined });
  });

  test.each([
    [
      "an error",
      500,
      '{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcd is gone","reason":"InternalError","code":500}',
      "etcd is gone",
    ],
    ["garbage", 200, "<html>", "the server answered 200 with something that is no object"],
    [
      "a list of another shape",
      200,
      '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":"many"}',
      /map is not a function|items/,
    ],
    ["half an answer", 200, "", /no object|terminated|aborted/],
  ])("a member that answers %s fails that request only, and gets less to do", async (_what, status, body, message) => {
    const transport = await fakeMember((_request, response) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(body);
    });
    const flow = withFlow(transport, { clock: systemClock });
    const said = await outcome(flow.list({ group: "", version: "v1", resource: "pods" }));
    if (typeof message === "string") expect(said).toContain(message);
    else expect(said).toMatch(message);
    expect(flow.flow.isBroken).toBe(false);
    for (let tries = 0; tries < 20; tries++) await outcome(flow.send(pod));
    expect(flow.flow).toMatchObject({ isBroken: false, inFlight: 0 });
  });

  test("a member that is gone is not asked again before a pause that doubles; the cause is said", async () => {
    const clock = new VirtualClock(0, settle);
    let asked = 0;
    const send = () => {
      asked++;
      return Promise.reject(new Error("connect ECONNREFUSED"));
    };
    const gone = { send } as unknown as Transport;
    const flow = withFlow(gone, { clock, breakAfterFailures: 3, breakMs: 1000 });
    for (let tries = 0; tries < 10; tries++) await outcome(flow.send(pod));
    expect(asked).toBe(3);
    expect(await outcome(flow.send(pod))).toBe(
      "the member cluster cannot be reached: connect ECONNREFUSED; waiting before the next try",
    );
    await clock.advance(1000);
    for (let tries = 0; tries < 5; tries++) await outcome(flow.send(pod));
    expect(asked).toBe(4);
    await clock.advance(1000);
    await outcome(flow.send(pod));
    expect(asked).toBe(4);
    await clock.advance(3000);
    await outcome(flow.send(pod));
    expect(asked).toBe(5);
  });

  test("429 halves what is asked and waits as long as the member wants; slow answers make room smaller; too many do not wait", async () => {
    const clock = new VirtualClock(0, settle);
    let throttled = 2;
    let slowMs = 0;
    const waitFor = async () => {
      if (slowMs > 0) await new Promise<void>((resolve) => clock.after(slowMs, resolve));
      if (throttled-- > 0) throw tooManyRequests("slow down", 5);
      return { kind: "Pod" } as KubeObject;
    };
    const flow = withFlow({ send: waitFor } as unknown as Transport, {
      clock,
      inFlightStart: 16,
      waitingMax: 1,
      patienceMs: 5_000,
    });
    const sent = outcome(flow.send(pod));
    await clock.advance(11_000);
    expect(await sent).toBe("ok");
    expect(flow.flow.inFlightLimit).toBe(4);
    slowMs = 3000;
    const many = Array.from({ length: 6 }, () => outcome(flow.send(pod)));
    expect(flow.flow).toMatchObject({ inFlight: 4, waiting: 1 });
    await clock.advance(7000);
    const said = await Promise.all(many);
    expect(said.filter((text) => text === "ok")).toHaveLength(5);
    expect(said.filter((text) => text.startsWith("the member cluster is busy"))).toHaveLength(1);
    expect(flow.flow.inFlightLimit).toBeLessThan(4);
  });

  test("of a member that answers nothing but 429 a few wait, the others stand aside and hold nobody, and it is said why", async () => {
    const clock = new VirtualClock(0, settle);
    let isThrottling = true;
    let asked = 0;
    const send = () => {
      asked++;
      return isThrottling
        ? Promise.reject(tooManyRequests("slow down", 1))
        : Promise.resolve({ kind: "Pod" } as KubeObject);
    };
    const transport = withFlow({ send } as unknown as Transport, { clock, inFlightStart: 32 });
    const gone: string[] = [];
    const sent: Promise<string>[] = [];
    for (let at = 0; at < 100; at++)
      if (!transport.room.standAside(`w${at}`, () => void gone.push(`w${at}`)))
        sent.push(outcome(transport.send(pod)).finally(() => transport.room.leave()));
    await settle();
    const turnedAway = await Promise.all(
      sent.map((work) =>
        Promise.race([work, new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))]),
      ),
    );
    expect(transport.flow).toMatchObject({ inFlightLimit: 1, inFlight: 0, delay: undefined });
    expect(transport.flow.throttled).toBeLessThan(6);
    expect(turnedAway.filter((said) => said === undefined)).toHaveLength(transport.flow.throttled);
    expect(new Set(turnedAway)).toEqual(new Set([undefined, "the member cluster is busy: it answers 429: slow down"]));
    expect(transport.room.standAside("late", () => void gone.push("late"))).toBe(true);
    const before = asked;
    await clock.advance(5_000);
    expect(asked - before).toBeLessThan(30);
    expect(transport.flow.delay).toBeUndefined();
    await clock.advance(5_000);
    expect(transport.flow.delay).toEqual({
      reason: "MemberThrottles",
      message: "the member cluster answers 429: slow down",
    });
    isThrottling = false;
    for (let turn = 0; turn < 20; turn++) {
      await clock.advance(1_000);
      for (const key of gone.splice(0)) {
        expect(transport.room.standAside(key, () => void gone.push(key))).toBe(false);
        await outcome(transport.send(pod));
        transport.room.leave();
      }
    }
    expect(transport.flow).toMatchObject({ aside: 0, throttled: 0, inFlight: 0, delay: undefined });
    expect(transport.flow.inFlightLimit).toBeGreaterThan(4);
  });

  test("whoever stands aside for long at a slow member learns why", async () => {
    const clock = new VirtualClock(0, settle);
    const send = () =>
      new Promise<KubeObject>((resolve) => clock.after(4_000, () => resolve({ kind: "Pod" } as KubeObject)));
    const transport = withFlow({ send } as unknown as Transport, { clock, inFlightStart: 1, inFlightMax: 1 });
    const keepBusy = () => void outcome(transport.send(pod)).then(keepBusy);
    for (let at = 0; at < 3; at++) keepBusy();
    expect(transport.room.standAside("w", () => undefined)).toBe(true);
    await clock.advance(9_000);
    expect(transport.flow.delay).toBeUndefined();
    await clock.advance(1_000);
    expect(transport.flow.delay).toEqual({
      reason: "MemberSlow",
      message: "answers of the member cluster take longer than 2 s",
    });
  });

  test("whoever gives up while waiting leaves the queue, and a large list may take its time", async () => {
    const clock = new VirtualClock(0, settle);
    const never = { send: () => new Promise<KubeObject>(() => {}) } as unknown as Transport;
    const flow = withFlow(never, { clock, inFlightStart: 2, stallMs: 1000 });
    void flow.send(pod).catch(() => {});
    void flow.send(pod).catch(() => {});
    const abort = new AbortController();
    const waiting = outcome(flow.send({ ...pod, signal: abort.signal }));
    await settle();
    expect(flow.flow).toMatchObject({ inFlight: 2, waiting: 1 });
    abort.abort(new Error("changed my mind"));
    expect(await waiting).toBe("changed my mind");
    await clock.advance(60_000);
    expect(flow.flow).toMatchObject({ inFlight: 2, waiting: 0, isBroken: false });
  });

  test.each([4, 128])(
    "of many that come at once no more go on than there is room for: %i at a time",
    async (places) => {
      const answers: (() => void)[] = [];
      const send = () =>
        new Promise<KubeObject>((resolve) => answers.push(() => resolve({ kind: "Pod" } as KubeObject)));
      const transport = withFlow({ send } as unknown as Transport, {
        clock: new VirtualClock(0, settle),
        inFlightStart: places,
        inFlightMax: places,
      });
      const said: string[] = [];
      const work = (key: string): void => {
        if (transport.room.standAside(key, () => work(key))) return;
        void settle()
          .then(() => outcome(transport.send(pod)))
          .then((words) => said.push(words))
          .finally(() => transport.room.leave());
      };
      const ahead = Math.min(places, 32);
      for (let at = 0; at < 500; at++) work(`w${at}`);
      // None has asked yet.
      expect(transport.flow).toMatchObject({ inFlight: 0, aside: 500 - places - ahead });
      while (said.length < 500) {
        await settle();
        expect(transport.flow.waiting).toBeLessThanOrEqual(ahead);
        for (const answer of answers.splice(0)) answer();
      }
      expect(said.filter((words) => words !== "ok")).toEqual([]);
    },
  );

  test("work in bulk stands aside while the member has enough to do, and goes on as it has room", async () => {
    const clock = new VirtualClock(0, settle);
    const answers: (() => void)[] = [];
    let isRefusing = false;
    const send = () =>
      isRefusing
        ? Promise.reject(new Error("gone"))
        : new Promise<KubeObject>((resolve) => answers.push(() => resolve({ kind: "Pod" } as KubeObject)));
    const transport = withFlow({ send } as unknown as Transport, {
      clock,
      inFlightStart: 2,
      inFlightMax: 2,
      breakAfterFailures: 1,
    });
    const { room } = transport;
    const gone: string[] = [];
    const come = (key: string) => room.standAside(key, () => void gone.push(key));
    const sent: Promise<string>[] = [];
    for (const key of ["a", "b", "c", "d"]) {
      expect(come(key)).toBe(false);
      sent.push(outcome(transport.send(pod)).finally(() => room.leave()));
    }
    expect(["e", "f", "g", "e"].map(come)).toEqual([true, true, true, true]);
    expect(transport.flow).toMatchObject({ inFlight: 2, inFlightLimit: 2, waiting: 2, aside: 3 });
    answers.shift()?.();
    await settle();
    expect(gone).toEqual(["e"]);
    // It had nothing to ask after all.
    expect(come("e")).toBe(false);
    room.leave();
    expect(gone).toEqual(["e", "f"]);
    expect(come("h")).toBe(true);
    isRefusing = true;
    answers.shift()?.();
    answers.shift()?.();
    expect((await Promise.all(sent)).filter((said) => said === "gone")).toHaveLength(1);
    expect(gone).toEqual(["e", "f", "g", "h"]);
    expect(["f", "g", "h"].map(come)).toEqual([false, false, false]);
  });
});
