import { Agent, request } from "undici";
import type { WebhookCall, WebhookOptions } from "./source.ts";

const ANSWER_BYTES_MAX = 3 * 1024 * 1024;
const AGENTS_MAX = 50;

/** Posts to webhooks over HTTPS with kept connections; certificates are verified. */
export function createWebhookPost(): { readonly post: WebhookOptions["post"]; close(): Promise<void> } {
  const agents = new Map<string, Agent>();
  const agentOf = ({ certificateAuthority, serverName }: WebhookCall): Agent => {
    const key = `${serverName ?? ""}\n${certificateAuthority ?? ""}`;
    let agent = agents.get(key);
    if (agent !== undefined) return agent;
    const [oldest] = agents;
    if (agents.size >= AGENTS_MAX && oldest !== undefined) {
      agents.delete(oldest[0]);
      void oldest[1].close();
    }
    agent = new Agent({
      connections: 16,
      connect: {
        ...(certificateAuthority === undefined ? {} : { ca: certificateAuthority }),
        ...(serverName === undefined ? {} : { servername: serverName }),
      },
    });
    agents.set(key, agent);
    return agent;
  };
  return {
    async post(call) {
      const answer = await request(call.url, {
        method: "POST",
        dispatcher: agentOf(call),
        headers: { "content-type": "application/json", accept: "application/json" },
        body: call.body,
        signal: AbortSignal.timeout(call.timeoutMs),
      });
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of answer.body) {
        size += (chunk as Buffer).length;
        if (size > ANSWER_BYTES_MAX) throw new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
        chunks.push(chunk as Buffer);
      }
      return { status: answer.statusCode, text: Buffer.concat(chunks).toString("utf8") };
    },
    async close() {
      await Promise.all([...agents.values()].map((agent) => agent.destroy()));
      agents.clear();
    },
  };
}
