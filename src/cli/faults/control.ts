import { rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { applyFault, type FaultRequest, isFaultName } from "#simulator";

/** Longest request and answer, in characters. */
const LINE_MAX = 10_000;
const ANSWER_MS = 10_000;

/** Where a simulated member that runs by itself listens for faults. */
export const controlSocket = (folder: string): string => join(folder, "control.sock");

/** Carries out requests that come in at a socket, one line of JSON each. Rejects when it cannot listen there. */
export async function serveFaults(
  path: string,
  member: Parameters<typeof applyFault>[0],
): Promise<{ close(): Promise<void> }> {
  const answer = async (text: string): Promise<object> => {
    try {
      const request = JSON.parse(text) as FaultRequest;
      if (!isFaultName(request.fault)) throw new Error(`unknown fault ${JSON.stringify(request.fault)}`);
      await applyFault(member, request);
      return {};
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  };
  const server = createServer((socket) => {
    let text = "";
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const end = text.indexOf("\n");
      if (end >= 0) void answer(text.slice(0, end)).then((said) => socket.end(`${JSON.stringify(said)}\n`));
      else if (text.length > LINE_MAX) socket.destroy();
    });
  });
  // One that a killed process left behind; the member's store sees to it that only one runs.
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return { close: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** Asks the member whose socket it is; false when nobody listens there. Rejects with what the member says is wrong. */
export function askForFault(path: string, request: FaultRequest): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(`${JSON.stringify(request)}\n`));
    let text = "";
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`${path} does not answer`)));
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    socket.on("end", () => {
      const { error } = JSON.parse(text || '{"error":"the member ended"}') as { readonly error?: string };
      if (error === undefined) resolve(true);
      else reject(new Error(error));
    });
    socket.on("error", (error: Error & { readonly code?: string }) => {
      if (error.code === "ENOENT" || error.code === "ECONNREFUSED") resolve(false);
      else reject(error);
    });
  });
}
