/** Request headers by lower-case name. Headers that say who asks come as lists: their values may hold commas. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The one value of a header; several are joined as HTTP says. */
export function headerOf(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" || value === undefined ? value : value.join(",");
}

/** Every value of a header that may be repeated. */
export function headerValues(headers: Headers, name: string): readonly string[] {
  const value = headers[name];
  return value === undefined ? [] : typeof value === "string" ? value.split(",").map((part) => part.trim()) : value;
}

/** Values of `PREFIX-KEY: VALUE` headers by decoded, lower-case key; `undefined` when there are none. */
export function extraHeaders(
  headers: Headers,
  prefix: string,
): Readonly<Record<string, readonly string[]>> | undefined {
  const extra: Record<string, readonly string[]> = {};
  for (const name of Object.keys(headers))
    if (name.startsWith(prefix)) {
      const key = decoded(name.slice(prefix.length)).toLowerCase();
      extra[key] = [...(extra[key] ?? []), ...headerValues(headers, name)];
    }
  return Object.keys(extra).length === 0 ? undefined : extra;
}

/** What cannot be decoded is taken as it stands. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
