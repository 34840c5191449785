import { Lease } from "#apis/kubernetes";
import type { FrontAnswer, FrontRequest, RunningApiServer, User } from "#apiserver";
import type { Pki } from "#certs";
import type { Client } from "#client";
import { forwardRequest } from "#network";

/** Marks what a replica asked for another's client: it is answered where it arrives. */
const ASKED_BY = "x-flotilla-asked-by";
const LEADER_MS = 5_000;
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
/** A name that every serving certificate of ours has. */
const SERVER_NAME = "kubernetes.default.svc";

export interface AskLeaderParts {
  readonly api: Pick<RunningApiServer, "liveServers">;
  readonly client: Client;
  readonly pki: Pki;
  readonly lease: { readonly namespace: string; readonly name: string };
  readonly identity: string;
}

/** The leader's answer, or why there is none. */
export type LeaderAnswer =
  | { readonly kind: "answered"; readonly answer: FrontAnswer }
  | { readonly kind: "silent"; readonly why: string };

/** Asks the replica that leads, as the caller; `undefined` when it must be answered here. */
export async function askLeader(
  { api, client, pki, lease, identity }: AskLeaderParts,
  request: FrontRequest,
  user: User,
  body: Buffer,
): Promise<LeaderAnswer | undefined> {
  if (request.headers[ASKED_BY] !== undefined) return undefined;
  const holder = (await client.find(Lease, lease))?.spec?.holderIdentity ?? "";
  if (holder === identity) return undefined;
  if (holder === "") return { kind: "silent", why: "no replica leads at present" };
  const leader = api.liveServers.find((server) => server.identity === holder);
  if (leader === undefined) return { kind: "silent", why: `the replica ${holder} leads; its address is not known` };
  try {
    const { admin, authority } = pki;
    const answer = await forwardRequest(
      {
        origin: leader.server,
        path: request.url,
        headers: [
          [ASKED_BY, identity],
          ["accept", "application/json"],
          ["impersonate-user", user.name],
          ...user.groups.map((group) => ["impersonate-group", group] as const),
        ],
        tls: { ca: authority.certificate, cert: admin.certificate, key: admin.key, serverName: SERVER_NAME },
        timeoutMs: LEADER_MS,
      },
      {
        method: request.method,
        rawHeaders: body.length === 0 ? [] : ["content-type", "application/json"],
        body,
        signal: AbortSignal.timeout(LEADER_MS),
      },
    );
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) throw new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
    const headers = { "content-type": String(answer.headers["content-type"] ?? "application/json") };
    return { kind: "answered", answer: { status: answer.status, headers, body: Buffer.concat(chunks) } };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { kind: "silent", why: `the replica ${holder} at ${leader.server} leads, and does not answer: ${why}` };
  }
}
