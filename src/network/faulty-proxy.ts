import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type Clock, sleep, type Timer } from "#base";

/** What is wrong with a way through the network. */
export interface LineFaults {
  /** Connections are reset, those that are open and those that come. */
  isDown: boolean;
  /** Nothing passes, in either direction, and nobody is told. */
  isHanging: boolean;
  /** What passes is late by this much. */
  latencyMs: number;
  /** Down and up in turns of this long each; 0 for steady. */
  flapMs: number;
}

/** A way to a server that can be broken and mended. */
export interface FaultyProxy {
  readonly port: number;
  readonly faults: Readonly<LineFaults>;
  setFaults(change: Partial<LineFaults>): void;
  /** Resets what is open. */
  close(): Promise<void>;
}

/** Passes bytes on to another server, TLS unseen, until it is told to fail. `port` 0 chooses a free one. */
export async function startFaultyProxy(options: {
  readonly host: string;
  readonly port: number;
  readonly to: { readonly host: string; readonly port: number };
  readonly clock: Clock;
}): Promise<FaultyProxy> {
  const { to, clock } = options;
  const faults: LineFaults = { isDown: false, isHanging: false, latencyMs: 0, flapMs: 0 };
  const open = new Set<Socket>();
  let nextFlap: Timer | undefined;
  const isRefusing = () => faults.isDown || (faults.flapMs > 0 && Math.floor(clock.now() / faults.flapMs) % 2 === 0);

  const server = createServer({ pauseOnConnect: true }, (client) => {
    client.on("error", () => client.destroy());
    if (isRefusing()) {
      client.resetAndDestroy();
      return;
    }
    const target = connect(to);
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        open.delete(socket);
        other.destroy();
      });
      pass(socket, other);
    }
    if (faults.isHanging) target.pause();
    else client.resume();
  });

  /** Hands on what a socket sends, in order, as late as it is to be. */
  function pass(from: Socket, to: Socket): void {
    let last: Promise<void> = Promise.resolve();
    const later = (work: () => void) => {
      if (faults.latencyMs === 0 && isIdle) return work();
      isIdle = false;
      const due = sleep(clock, faults.latencyMs);
      last = last.then(async () => {
        await due;
        work();
      });
      const mine = last;
      void mine.then(() => {
        if (mine === last) isIdle = true;
      });
    };
    let isIdle = true;
    from.on("data", (chunk: Buffer) => {
      later(() => {
        if (to.destroyed || to.write(chunk)) return;
        from.pause();
        to.once("drain", () => {
          if (!faults.isHanging) from.resume();
        });
      });
    });
    from.on("end", () => later(() => to.end()));
  }

  const flap = () => {
    nextFlap?.cancel();
    if (isRefusing()) for (const socket of [...open]) socket.resetAndDestroy();
    if (faults.flapMs > 0) nextFlap = clock.after(faults.flapMs - (clock.now() % faults.flapMs), flap);
  };
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    faults,
    setFaults({ isDown, isHanging, latencyMs, flapMs }) {
      if (isDown !== undefined) faults.isDown = isDown;
      if (isHanging !== undefined) faults.isHanging = isHanging;
      if (latencyMs !== undefined) faults.latencyMs = latencyMs;
      if (flapMs !== undefined) faults.flapMs = flapMs;
      flap();
      for (const socket of open)
        if (faults.isHanging) socket.pause();
        else socket.resume();
    },
    close() {
      nextFlap?.cancel();
      for (const socket of [...open]) socket.resetAndDestroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
