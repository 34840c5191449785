import { expect, test } from "vitest";
import { Secret } from "#apis/kubernetes";
import { createClient } from "#client";
import { createTestServer } from "#testing";
import { deleteExpiredTokens, listTokens, tokenSecret, tokenView } from "./tokens.ts";

test("tokens are shown without their secret part unless it is asked for; those whose time is over go, and no others", async () => {
  const server = await createTestServer();
  try {
    const client = createClient(server.inside);
    const nowMs = server.clock.now();
    const make = (id: string, ttlMs: number) =>
      client.create(
        Secret,
        tokenSecret(
          {
            token: { id, secret: "0123456789abcdef" },
            ttlMs,
            usages: ["signing", "authentication"],
            groups: ["system:bootstrappers:karmada:edge"],
            description: "",
          },
          nowMs,
        ),
      );
    await make("aaaaaa", 60_000);
    await make("bbbbbb", 0);
    await make("cccccc", 120_000);
    const broken = await make("dddddd", 60_000);
    const expiration = Buffer.from("soon").toString("base64");
    await client.update(Secret, { ...broken, data: { ...broken.data, expiration } });
    // A Secret of that type that is no token is nobody's to show or to delete.
    const { metadata, ...rest } = await make("eeeeee", 60_000);
    await client.delete(Secret, { namespace: metadata.namespace, name: metadata.name ?? "" });
    const misnamed = { namespace: "kube-system", name: "bootstrap-token-ffffff" };
    await client.create(Secret, { ...rest, type: "Opaque", metadata: misnamed });

    const shown = await listTokens(client);
    expect(shown.map((token) => tokenView(token, nowMs + 60_000, false))).toEqual([
      expect.objectContaining({ id: "aaaaaa", expired: true, expires: "2026-01-01T00:01:00Z" }),
      {
        id: "bbbbbb",
        expired: false,
        usages: ["authentication", "signing"],
        groups: ["system:bootstrappers:karmada:edge"],
      },
      expect.objectContaining({ id: "cccccc", expired: false }),
      expect.objectContaining({ id: "dddddd", expired: false, expires: "soon" }),
    ]);
    expect(JSON.stringify(shown.map((token) => tokenView(token, nowMs, false)))).not.toContain("0123456789abcdef");
    expect(tokenView(shown[0] as Secret, nowMs, true)).toMatchObject({ token: "aaaaaa.0123456789abcdef" });

    expect(await deleteExpiredTokens(client, nowMs + 60_000)).toEqual(["aaaaaa"]);
    expect((await listTokens(client)).map((token) => tokenView(token, nowMs, false)["id"])).toEqual([
      "bbbbbb",
      "cccccc",
      "dddddd",
    ]);
    expect(await deleteExpiredTokens(client, nowMs + 60_000)).toEqual([]);
  } finally {
    server.stop();
  }
});
