/** URLs as Go reads them: what one consists of, and why a text is none. */
interface GoUrl {
  readonly scheme: string;
  readonly userinfo: string;
  readonly host: string;
  readonly query: string;
  readonly fragment: string;
}

const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*:/;

export function parseGoUrl(text: string): GoUrl {
  const hash = text.indexOf("#");
  const fragment = hash < 0 ? "" : text.slice(hash + 1);
  let rest = hash < 0 ? text : text.slice(0, hash);
  const scheme = (SCHEME.exec(rest)?.[0] ?? "").slice(0, -1);
  if (scheme !== "") rest = rest.slice(scheme.length + 1);
  const mark = rest.indexOf("?");
  const query = mark < 0 ? "" : rest.slice(mark + 1);
  if (mark >= 0) rest = rest.slice(0, mark);
  const authority = /^\/\/([^/]*)/.exec(rest)?.[1] ?? "";
  const at = authority.lastIndexOf("@");
  return {
    scheme: scheme.toLowerCase(),
    userinfo: at < 0 ? "" : authority.slice(0, at),
    host: authority.slice(at + 1),
    query,
    fragment,
  };
}

/** Why Go cannot read a text as a URL; `undefined` when it can. */
export function goUrlMistake(text: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what is looked for.
  if (/[\u0000-\u001f\u007f]/.test(text)) return "net/url: invalid control character in URL";
  if (text.startsWith(":")) return "missing protocol scheme";
  const wrong = /%(?![0-9A-Fa-f]{2}).{0,2}/.exec(text.split("?")[0] ?? "")?.[0];
  if (wrong !== undefined) return `invalid URL escape ${JSON.stringify(wrong)}`;
  const { scheme, host } = parseGoUrl(text);
  if (scheme === "" && /^[^/?#]*:/.test(text)) return "first path segment in URL cannot contain colon";
  const port = /:([^:\]]*)$/.exec(host);
  if (port !== null && !/^\d*$/.test(port[1] ?? "")) return `invalid port ${JSON.stringify(port[0])} after host`;
  const bad = /[ "<>^`{|}\\]/.exec(host)?.[0];
  return bad === undefined ? undefined : `invalid character ${JSON.stringify(bad)} in host name`;
}
