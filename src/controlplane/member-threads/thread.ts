/** The program of a thread of simulated members: starts those it is given, and ends with its control plane. */
import { parentPort } from "node:worker_threads";
import { failureOf } from "./messages.ts";
import type { Seated, Seating } from "./seat.ts";
import { serveMember } from "./serve.ts";

parentPort?.on("message", ({ id, seat, channel }: Seating) => {
  const say = (seated: Seated) => parentPort?.postMessage(seated);
  serveMember(channel, seat).then(
    (port) => say({ id, port }),
    (error: unknown) => say({ id, failure: failureOf(error) }),
  );
});
