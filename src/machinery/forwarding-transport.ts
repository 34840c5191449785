import type { Transport } from "./transport.ts";

/** A transport that asks for each request whom to send it to; what `to` throws is the answer to that request. */
export const forwardingTransport = (to: () => Transport): Transport => ({
  send: async (request) => to().send(request),
  list: async (request) => to().list(request),
  raw: async (request) => to().raw(request),
  watch(request, sink) {
    try {
      return to().watch(request, sink);
    } catch (error) {
      queueMicrotask(() => sink.closed(error as Error));
      return { stop() {} };
    }
  },
});
