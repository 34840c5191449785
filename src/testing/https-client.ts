import { Agent } from "undici";

/** Who asks in a test: a certificate, a token, or nobody. */
export interface Credentials {
  readonly certificate?: string;
  readonly key?: string;
  readonly token?: string;
}

export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The parsed body, where it is JSON. */
  readonly json: Record<string, unknown> & { readonly message?: string };
}

export interface HttpsClient {
  ask(
    method: string,
    path: string,
    more?: { readonly body?: unknown; readonly headers?: Record<string, string | string[]> },
  ): Promise<Answered>;
  close(): Promise<void>;
}

/** Real HTTPS requests with real credentials to a server on this machine. */
export function httpsClient(port: number, authority: string, who: Credentials = {}): HttpsClient {
  const { certificate, key, token } = who;
  const dispatcher = new Agent({
    connect: { ca: authority, ...(certificate === undefined || key === undefined ? {} : { cert: certificate, key }) },
  });
  return {
    async ask(method, path, { body, headers = {} } = {}) {
      const {
        statusCode,
        headers: got,
        body: answer,
      } = await dispatcher.request({
        origin: `https://127.0.0.1:${port}`,
        path,
        method: method as "GET",
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = await answer.text();
      let json: Answered["json"] = {};
      try {
        json = JSON.parse(text) as Answered["json"];
      } catch {}
      return { status: statusCode, headers: got, text, json };
    },
    close: () => dispatcher.close(),
  };
}
