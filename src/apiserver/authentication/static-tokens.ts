import { createHash, timingSafeEqual } from "node:crypto";
import type { User } from "../definition.ts";

/** Fixed bearer tokens. Tokens are compared by their hashes, so that the time it takes says nothing about them. */
export class StaticTokens {
  readonly #users = new Map<string, User>();

  constructor(users: ReadonlyMap<string, User>) {
    for (const [token, user] of users) this.#users.set(hashOf(token), user);
  }

  authenticate(token: string): User | undefined {
    return this.#users.get(hashOf(token));
  }
}

const hashOf = (text: string) => createHash("sha256").update(text).digest("base64");

/** Whether two secrets are equal, in a time that does not depend on where they differ. */
export function isSameSecret(left: string, right: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}

/**
 * Reads a token file: lines `token,user,uid,"group1,group2"`, the groups optional. Throws with the line that is wrong.
 */
export function parseTokenFile(text: string): ReadonlyMap<string, User> {
  const users = new Map<string, User>();
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [token = "", name = "", uid, groups = ""] = cellsOf(line, at + 1);
    if (uid === undefined) throw new Error(`token file line ${at + 1}: token, user name and user uid are needed`);
    if (token === "") throw new Error(`token file line ${at + 1}: empty token`);
    if (users.has(token)) throw new Error(`token file line ${at + 1}: the token stands there twice`);
    const list = groups.split(",").map((group) => group.trim());
    users.set(token, { name, ...(uid === "" ? {} : { uid }), groups: list.filter(Boolean) });
  }
  return users;
}

function cellsOf(line: string, number: number): string[] {
  const cells: string[] = [];
  const cell = /\s*(?:"((?:[^"]|"")*)"|([^",]*))\s*(,|$)/y;
  for (;;) {
    const found = cell.exec(line);
    if (found === null) throw new Error(`token file line ${number}: it cannot be read as comma-separated values`);
    cells.push((found[1]?.replaceAll('""', '"') ?? found[2] ?? "").trim());
    if (found[3] === "") return cells;
  }
}
