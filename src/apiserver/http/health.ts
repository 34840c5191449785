/** One thing that must hold before the server is alive or ready. */
export interface HealthCheck {
  readonly name: string;
  /** Endpoints that ask it. */
  readonly of: readonly HealthEndpoint[];
  readonly isOk: () => boolean | Promise<boolean>;
}

export type HealthEndpoint = "healthz" | "livez" | "readyz";

const ALL: readonly HealthEndpoint[] = ["healthz", "livez", "readyz"];

export interface HealthAnswer {
  readonly status: number;
  readonly text: string;
}

/** The checks behind `/healthz`, `/livez` and `/readyz`, together and one by one, in kube-apiserver's words. */
export class HealthChecks {
  readonly #checks: HealthCheck[] = [{ name: "ping", of: ALL, isOk: () => true }];

  add(name: string, isOk: HealthCheck["isOk"], of: readonly HealthEndpoint[] = ALL): void {
    this.#checks.push({ name, of, isOk });
  }

  /** Answers a path such as `/readyz` or `/readyz/ping`; `undefined` when it is no health path or no such check. */
  async answer(path: string, query: URLSearchParams): Promise<HealthAnswer | undefined> {
    const found = /^\/(healthz|livez|readyz)(?:\/(.+))?$/.exec(path);
    if (found === null) return undefined;
    const endpoint = found[1] as HealthEndpoint;
    const mine = this.#checks.filter(({ of }) => of.includes(endpoint));
    const name = found[2] ?? "";
    if (name === "") return this.#together(endpoint, mine, query);
    const check = mine.find((candidate) => candidate.name === name);
    if (check === undefined) return undefined;
    return (await isOk(check))
      ? { status: 200, text: "ok" }
      : { status: 500, text: `internal server error: ${name} failed\n` };
  }

  async #together(
    endpoint: HealthEndpoint,
    checks: readonly HealthCheck[],
    query: URLSearchParams,
  ): Promise<HealthAnswer> {
    const excluded = new Set(
      query
        .getAll("exclude")
        .flatMap((text) => text.split(","))
        .filter(Boolean),
    );
    const lines: string[] = [];
    let isFailed = false;
    for (const check of checks) {
      if (excluded.delete(check.name)) lines.push(`[+]${check.name} excluded: ok`);
      else if (await isOk(check)) lines.push(`[+]${check.name} ok`);
      else {
        isFailed = true;
        lines.push(`[-]${check.name} failed: reason withheld`);
      }
    }
    if (excluded.size > 0)
      lines.push(
        `warn: some health checks cannot be excluded: no matches for ${[...excluded].map((name) => JSON.stringify(name)).join(",")}`,
      );
    if (isFailed) return { status: 500, text: `${lines.join("\n")}\n${endpoint} check failed\n` };
    if (!query.has("verbose")) return { status: 200, text: "ok" };
    return { status: 200, text: `${lines.join("\n")}\n${endpoint} check passed\n` };
  }
}

async function isOk(check: HealthCheck): Promise<boolean> {
  try {
    return await check.isOk();
  } catch {
    return false;
  }
}
