import type { Clock, Timer } from "#base";
import type { Transport } from "#machinery";
import { type Faults, isRefusing, NO_FAULTS, withFaults } from "./faults.ts";

/** The way to a simulated member, with what is wrong with it at present. */
export interface FaultyWay {
  readonly transport: Transport;
  readonly faults: Readonly<Faults>;
  /** Changes what is wrong; taking the API server down cuts every watch. */
  setFaults(change: Partial<Faults>): void;
  stop(): void;
}

/** Puts faults between a member and whoever uses it; none at first. */
export function faultyWay(inside: Transport, name: string, clock: Clock): FaultyWay {
  const faults: Faults = { ...NO_FAULTS };
  const transport = withFaults(inside, name, faults, clock);
  let nextFlap: Timer | undefined;
  const flap = () => {
    nextFlap?.cancel();
    if (isRefusing(faults, clock.now()) || faults.isLying) transport.cut();
    if (faults.flapMs > 0) nextFlap = clock.after(faults.flapMs - (clock.now() % faults.flapMs), flap);
  };
  return {
    transport,
    faults,
    setFaults(change) {
      Object.assign(faults, change);
      flap();
      if (!isRefusing(faults, clock.now()) && !faults.isHanging) transport.flush();
    },
    stop: () => nextFlap?.cancel(),
  };
}
