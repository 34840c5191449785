import { describe, expect, it } from "vitest";
import { createCertificateAuthority, createCertificateRequest, describeCertificates } from "./index.ts";

const MINUTE = 60;
const DAY = 24 * 60 * MINUTE;
const nowMs = Date.parse("2026-05-01T12:00:00Z");

describe("a signed request", () => {
  it.each([
    ["ten minutes", 10 * MINUTE, 5 * MINUTE],
    ["two hours", 120 * MINUTE, 5 * MINUTE],
    ["thirty days", 30 * DAY, 432 * MINUTE],
    ["a year, as agents ask for,", 365 * DAY, DAY],
  ])(
    "for %s is valid for that long, and before by so much that a clock may be set back",
    async (_, seconds, before) => {
      const authority = await createCertificateAuthority("ca", () => nowMs);
      const { request } = await createCertificateRequest("system:karmada:agent:m1", ["system:karmada:agents"]);
      const signed = describeCertificates(await authority.sign(request, { seconds, usages: ["client auth"] }));
      expect(signed).toMatchObject({
        commonName: "system:karmada:agent:m1",
        organizations: ["system:karmada:agents"],
        notBeforeMs: nowMs - before * 1000,
        notAfterMs: nowMs + seconds * 1000,
      });
      // Its authority is valid by then, too: the chain holds from there on.
      const { notBeforeMs } = describeCertificates(authority.certificate);
      expect(notBeforeMs).toBeLessThanOrEqual(signed.notBeforeMs);
    },
  );

  it("is never valid for longer than its authority", async () => {
    const authority = await createCertificateAuthority("ca", () => nowMs);
    const { request } = await createCertificateRequest("a", []);
    const signed = await authority.sign(request, { seconds: 365 * 20 * DAY, usages: ["client auth"] });
    expect(describeCertificates(signed).notAfterMs).toBe(describeCertificates(authority.certificate).notAfterMs);
  });
});
