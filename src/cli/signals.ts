/**
 * Resolves at the first request to stop (Ctrl-C or SIGTERM); a second one ends the process at once. Rejects with `failed`:
 * what cannot go on must not keep its process alive, for whoever starts it anew waits for its end.
 */
export function untilSignal(failed: Promise<never> = new Promise<never>(() => undefined)): Promise<void> {
  return new Promise((resolve, reject) => {
    const keepAlive = setInterval(() => {}, 1 << 30);
    const stop = () => {
      clearInterval(keepAlive);
      process.once("SIGINT", () => process.exit(130));
      resolve();
    };
    process.once("SIGINT", stop);
    process.once("SIGTERM", stop);
    failed.catch((error: unknown) => {
      clearInterval(keepAlive);
      reject(error instanceof Error ? error : new Error(String(error)));
    });
  });
}
