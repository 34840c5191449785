import { type Clock, TokenBucket } from "#base";
import type { Transport } from "#machinery";

/** A transport that sends at most `qps` requests a second, after `burst` at once; 0 sends them as they come. Watches are not counted. */
export function withRateLimit(
  transport: Transport,
  { clock, qps, burst }: { readonly clock: Clock; readonly qps: number; readonly burst: number },
): Transport {
  if (qps <= 0) return transport;
  const bucket = new TokenBucket({ clock, perSecond: qps, burst });
  return {
    async send(request) {
      await bucket.take(request.signal);
      return transport.send(request);
    },
    async list(request) {
      await bucket.take(request.signal);
      return transport.list(request);
    },
    watch: (request, sink) => transport.watch(request, sink),
    async raw(request) {
      await bucket.take(request.signal);
      return transport.raw(request);
    },
  };
}
