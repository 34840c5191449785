import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeContinuation,
  decodeVersions,
  encodeContinuation,
  encodeVersions,
  readVersions,
  versionOf,
  withVersion,
} from "./tokens.ts";

const versions = (of: Readonly<Record<string, string>>) => ({ isZero: false, of: new Map(Object.entries(of)) });
const base64 = (json: string) => Buffer.from(json).toString("base64url");

describe("[GF-46] resource versions of several clusters", () => {
  it.each([
    ["of nobody", versions({}), ""],
    ["of whatever is cached", { isZero: true, of: new Map<string, string>() }, "0"],
    ["of one", versions({ m1: "5" }), "eyJtMSI6IjUifQ"],
    ["by the order of names", versions({ m2: "7", m1: "5" }), base64('{"m1":"5","m2":"7"}')],
    ["with names that are numbers", versions({ a: "1", "10": "2", "9": "3" }), base64('{"10":"2","9":"3","a":"1"}')],
  ])("%s", (_, given, text) => {
    expect(encodeVersions(given)).toBe(text);
    expect([...decodeVersions(text).of].sort()).toEqual([...given.of].sort());
    expect(decodeVersions(text).isZero).toBe(given.isZero);
  });

  it.each([
    ["a version of one cluster", "1234"],
    ["no base64", "%%%"],
    ["no JSON", base64("{")],
    ["no object", base64("[1]")],
  ])("are none where the text is %s", (_, text) => {
    expect(decodeVersions(text)).toEqual(versions({}));
    expect(readVersions(text)).toBeUndefined();
  });

  it("give each cluster its part", () => {
    expect(versionOf(decodeVersions("0"), "m1")).toBe("0");
    expect(versionOf(decodeVersions(undefined), "m1")).toBe("");
    expect(encodeVersions(withVersion(withVersion(decodeVersions("0"), "m1", "5"), "m2", ""))).toBe(
      base64('{"m1":"5"}'),
    );
  });

  it("are the same bytes after a round", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?$/), fc.stringMatching(/^\d{1,12}$/)),
        (of) => {
          const text = encodeVersions(versions(of));
          expect(encodeVersions(decodeVersions(text))).toBe(text);
          expect(text).not.toMatch(/[=+/]/);
        },
      ),
    );
  });
});

describe("[GF-46] where a list of several clusters goes on", () => {
  it.each([
    ["nowhere", undefined, ""],
    [
      "within a cluster",
      { versions: "abc", cluster: "m1", token: "t" },
      base64('{"rv":"abc","cluster":"m1","continue":"t"}'),
    ],
    ["with the next cluster", { versions: "abc", cluster: "m2", token: "" }, base64('{"rv":"abc","cluster":"m2"}')],
    ["without versions", { versions: "", cluster: "m2", token: "" }, base64('{"cluster":"m2"}')],
  ])("%s", (_, next, text) => {
    expect(encodeContinuation(next)).toBe(text);
    expect(decodeContinuation(text)).toEqual(next);
  });

  it.each(["x", base64("{}"), base64('{"cluster":5}')])("is refused where it was made up: %s", (text) => {
    expect(() => decodeContinuation(text)).toThrow("continue key is not valid");
  });
});
