import { SelfSubjectAccessReview } from "#apis/kubernetes";
import { Cluster } from "#apis/karmada";
import type { Client } from "#client";
import { memberId, refuseRegistered } from "#member";
import type { Connection } from "../connection.ts";

/** One thing that was looked at before a join. */
export interface Check {
  readonly check: string;
  /** `unknown` is what cannot be seen from here; it fails nothing. */
  readonly result: "ok" | "failed" | "unknown";
  /** What was found, or why it failed. */
  readonly message: string;
}

interface CheckOptions {
  readonly plane: Connection;
  readonly member: Connection;
  readonly cluster: string;
  /** Of the credentials, in both clusters. */
  readonly namespace: string;
  /** A Cluster of that name and id may be there. */
  readonly isAdopting: boolean;
}

interface Sight {
  readonly version: string;
  /** Its clock less ours, in milliseconds; absent where it tells no time. */
  readonly aheadMs?: number;
}

const ANSWER_MS = 10_000;
/** Tokens are taken for valid a minute before and after their time, and no longer. */
const SKEW_MAX_MS = 60_000;

/** Looks whether a member can join, and writes nothing on either side. Never throws for what it finds. */
export async function runChecks({
  plane,
  member,
  cluster,
  namespace,
  isAdopting,
}: CheckOptions): Promise<readonly Check[]> {
  let planeSight: Sight | undefined;
  let memberSight: Sight | undefined;
  const unreached = (side: string) => new Error(`the ${side} is not reached`);
  const checks: Check[] = [];
  const check = async (name: string, look: () => Promise<string> | string) => {
    try {
      checks.push({ check: name, result: "ok", message: await look() });
    } catch (error) {
      const unknown = error instanceof NotSeen;
      checks.push({ check: name, result: unknown ? "unknown" : "failed", message: messageOf(error) });
    }
  };
  await check("control plane reachable", async () => {
    planeSight = await sightOf(plane);
    return plane.endpoint.server;
  });
  await check("member reachable", async () => {
    memberSight = await sightOf(member);
    return member.endpoint.server;
  });
  await check("member reachable from the control plane", () => {
    const [there, here] = [member.endpoint.server, plane.endpoint.server];
    if (member.endpoint.proxyUrl === undefined && isLoopback(there) && !isLoopback(here))
      throw new Error(`${there} leads the control plane to its own machine`);
    throw new NotSeen(`cannot be seen from here; the control plane will ask ${there}`);
  });
  await check("proxy", () => {
    const { proxyUrl } = member.endpoint;
    if (proxyUrl === undefined) return "none";
    if (memberSight === undefined) throw new Error(`the member is not reached through ${withoutPassword(proxyUrl)}`);
    return `the member is reached through ${withoutPassword(proxyUrl)}; the control plane will use it too`;
  });
  await check("server version", () => {
    if (memberSight === undefined) throw unreached("member");
    if (!/^v\d+\.\d+/.test(memberSight.version))
      throw new Error(`the member tells no version of Kubernetes, but ${JSON.stringify(memberSight.version)}`);
    return memberSight.version;
  });
  await check("clocks", () => {
    if (planeSight === undefined) throw unreached("control plane");
    if (memberSight === undefined) throw unreached("member");
    if (planeSight.aheadMs === undefined || memberSight.aheadMs === undefined)
      throw new NotSeen(`the ${planeSight.aheadMs === undefined ? "control plane" : "member"} does not tell its time`);
    const aheadMs = memberSight.aheadMs - planeSight.aheadMs;
    const seconds = Math.round(Math.abs(aheadMs) / 1000);
    const apart = `the member's clock is ${seconds} s ${aheadMs < 0 ? "behind" : "ahead of"} the control plane's`;
    if (Math.abs(aheadMs) > SKEW_MAX_MS) throw new Error(apart);
    return seconds <= 1 ? "they agree" : apart;
  });
  await check("rights in the member", async () => {
    if (memberSight === undefined) throw unreached("member");
    return missingRights(member.client, memberRights(namespace));
  });
  await check("rights in the control plane", async () => {
    if (planeSight === undefined) throw unreached("control plane");
    return missingRights(plane.client, planeRights(namespace));
  });
  await check("name and id", async () => {
    if (planeSight === undefined) throw unreached("control plane");
    if (memberSight === undefined) throw unreached("member");
    const id = await memberId(member.client);
    const { items } = await plane.client.list(Cluster);
    const others = items.filter(
      ({ metadata, spec }) => !(isAdopting && id !== "" && metadata.name === cluster && spec?.id === id),
    );
    refuseRegistered(others, cluster, id);
    return others.length < items.length ? `${id}, a join to go on with` : id;
  });
  return checks;
}

export const isPassed = (checks: readonly Check[]): boolean => checks.every(({ result }) => result !== "failed");

/** A line for each check, or all of them as JSON. */
export function checksText(checks: readonly Check[], output: "text" | "json"): string {
  if (output === "json") return `${JSON.stringify(checks, undefined, 2)}\n`;
  return checks.map(({ check, result, message }) => `${check}: ${result} (${message})\n`).join("");
}

/** What nobody can tell from here. */
class NotSeen extends Error {}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

async function sightOf({ transport }: Connection): Promise<Sight> {
  const beforeMs = Date.now();
  const signal = AbortSignal.timeout(ANSWER_MS);
  const answer = await transport.raw({ method: "GET", path: "/version", signal });
  const middleMs = (beforeMs + Date.now()) / 2;
  const text = Buffer.from(answer.body).toString("utf8");
  if (answer.status !== 200) throw new Error(`GET /version was answered with ${answer.status}`);
  const date = Date.parse(answer.headers["date"] ?? "");
  return {
    version: versionIn(text),
    // The header tells whole seconds.
    ...(Number.isNaN(date) ? {} : { aheadMs: date + 500 - middleMs }),
  };
}

function versionIn(text: string): string {
  try {
    const { gitVersion } = JSON.parse(text) as { readonly gitVersion?: unknown };
    return typeof gitVersion === "string" ? gitVersion : "";
  } catch {
    return "";
  }
}

function isLoopback(server: string): boolean {
  const { hostname } = new URL(server);
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function withoutPassword(address: string): string {
  const url = new URL(address);
  url.username = "";
  url.password = "";
  return url.href;
}

interface Right {
  readonly verb: string;
  readonly group?: string;
  readonly resource: string;
  readonly namespace?: string;
}

const RBAC = "rbac.authorization.k8s.io";

/** What `join` does in the member, and that it may give the control plane's account every right. */
const memberRights = (namespace: string): readonly Right[] => [
  { verb: "get", resource: "namespaces" },
  { verb: "create", resource: "namespaces" },
  ...["get", "create"].flatMap((verb) =>
    ["serviceaccounts", "secrets"].map((resource) => ({ verb, resource, namespace })),
  ),
  ...["get", "create"].flatMap((verb) =>
    ["clusterroles", "clusterrolebindings"].map((resource) => ({ verb, group: RBAC, resource })),
  ),
  { verb: "*", group: "*", resource: "*" },
];

const planeRights = (namespace: string): readonly Right[] => [
  { verb: "get", resource: "namespaces" },
  { verb: "create", resource: "namespaces" },
  ...["get", "create", "update"].map((verb) => ({ verb, resource: "secrets", namespace })),
  ...["list", "create"].map((verb) => ({ verb, group: Cluster.group, resource: Cluster.resource })),
];

/** Asks for every right; throws with those that are missing. The question itself leaves nothing behind. */
async function missingRights(client: Client, rights: readonly Right[]): Promise<string> {
  const missing: string[] = [];
  for (const right of rights) {
    const { status } = await client.create(SelfSubjectAccessReview, {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectAccessReview",
      metadata: {},
      spec: { resourceAttributes: { ...right } },
    } as SelfSubjectAccessReview);
    if (status?.allowed === true) continue;
    const { verb, group = "", resource, namespace } = right;
    const of = group === "" || group === "*" ? resource : `${resource}.${group}`;
    missing.push(
      verb === "*"
        ? "every right, which join gives away"
        : `${verb} ${of}${namespace === undefined ? "" : ` in ${namespace}`}`,
    );
  }
  if (missing.length > 0) throw new Error(`missing: ${missing.join(", ")}`);
  return "all that join needs";
}
