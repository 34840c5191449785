import type { Cluster } from "#apis/karmada";
import type { FrontAnswer, FrontOutcome, FrontRequest, User } from "#apiserver";
import { isJsonObject } from "#machinery";
import { type ForwardedAnswer, forwardRequest } from "#network";
import type { InnerRequest } from "./inner-path.ts";
import { type ClusterSource, memberTarget } from "./target.ts";

const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
/** How long a member may take to say whether it has an object. */
const PROBE_MS = 30_000;
const PROBED_WITHOUT = new Set(["exec", "log", "attach", "portforward"]);

const text = (status: number, words: string): FrontAnswer => ({
  status,
  headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
  body: Buffer.from(`${words}\n`),
});

interface Answered {
  readonly cluster: Cluster;
  readonly status: number;
  readonly headers: ForwardedAnswer["headers"];
  readonly body: Buffer;
}

/** `clusters/ALL/proxy`: what any member has. Objects are found in the one member that has them, lists are joined. */
export async function acrossClusters(
  source: ClusterSource,
  request: FrontRequest,
  inner: InnerRequest,
  user: User,
  askControlPlane: (request: FrontRequest, user: User) => Promise<FrontOutcome>,
): Promise<FrontOutcome> {
  // Whatever is no resource is the control plane's own, asked as the caller and with the caller's rights.
  if (!inner.isResource) return askControlPlane({ ...request, url: `${inner.path || "/"}${inner.search}` }, user);
  if (inner.name !== undefined) return oneObject(source, request, inner, user);
  if (inner.verb !== "list") return text(405, `Request verb ${inner.verb} is not support`);
  const { found, failed } = await askAll(source, request, inner, user);
  return joined(found, failed);
}

async function oneObject(
  source: ClusterSource,
  request: FrontRequest,
  inner: InnerRequest,
  user: User,
): Promise<FrontOutcome> {
  const isCut = inner.subresource !== undefined && PROBED_WITHOUT.has(inner.subresource);
  const path = isCut ? inner.path.replace(/\/[^/]+\/?$/, "") : inner.path;
  const { found } = await askAll(
    source,
    request,
    { ...inner, path, search: "", verb: "get", subresource: undefined },
    user,
  );
  const hits = found.filter(({ status }) => status === 200).map(({ cluster }) => cluster);
  const [only] = hits;
  if (only === undefined) return text(404, "resource not found or don't have permission to get it");
  if (hits.length > 1) {
    const names = hits.map(({ metadata }) => metadata.name).join(",");
    return text(409, `conflict resource, exist in more than one cluster: ${names}`);
  }
  return { forward: await memberTarget(source, only, inner, user) };
}

/** Asks every member at once; those that cannot be asked are named with the reason. */
async function askAll(source: ClusterSource, request: FrontRequest, inner: InnerRequest, user: User) {
  const failed: string[] = [];
  const answers = await Promise.all(
    (await source.clusters()).map(async (cluster): Promise<Answered | undefined> => {
      try {
        const target = await memberTarget(source, cluster, inner, user);
        const answer = await forwardRequest(
          { ...target, timeoutMs: PROBE_MS },
          {
            method: "GET",
            rawHeaders: ["accept", acceptOf(request)],
            body: Buffer.alloc(0),
            signal: AbortSignal.timeout(PROBE_MS),
          },
        );
        const body = await readAll(answer);
        return { cluster, status: answer.status, headers: answer.headers, body };
      } catch (error) {
        failed.push(`cluster(${cluster.metadata.name}): ${error instanceof Error ? error.message : String(error)}`);
        return undefined;
      }
    }),
  );
  return { found: answers.filter((answer) => answer !== undefined), failed };
}

function acceptOf(request: FrontRequest): string {
  const { accept } = request.headers;
  return typeof accept === "string" && accept.includes("json") ? accept : "application/json";
}

async function readAll(answer: ForwardedAnswer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** One list of all, under the head of the first. What is left out is told in warnings. */
function joined(found: readonly Answered[], failed: readonly string[]): FrontAnswer {
  const skipped = [...failed];
  const lists: (Readonly<Record<string, unknown>> & { readonly items?: unknown; readonly rows?: unknown })[] = [];
  let headers: ForwardedAnswer["headers"] | undefined;
  for (const answer of found) {
    const body = answer.status === 200 ? parsed(answer.body) : undefined;
    if (body === undefined) {
      skipped.push(`cluster(${answer.cluster.metadata.name}): the member answered ${answer.status}`);
      continue;
    }
    headers ??= answer.headers;
    lists.push(body);
  }
  const [first] = lists;
  if (first === undefined) return text(404, "not found");
  const member = Array.isArray(first.rows) ? "rows" : "items";
  const all = lists.flatMap((list) => (Array.isArray(list[member]) ? (list[member] as readonly unknown[]) : []));
  const { "content-length": _length, "content-encoding": _encoding, ...kept } = headers ?? {};
  return {
    status: 200,
    headers: {
      ...kept,
      ...(skipped.length === 0
        ? {}
        : { warning: skipped.map((words) => `299 - ${JSON.stringify(words.replace(/[^ -~]/g, " "))}`) }),
    },
    body: Buffer.from(JSON.stringify({ ...first, [member]: all })),
  };
}

function parsed(body: Buffer) {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
