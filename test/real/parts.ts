import { describe, test } from "vitest";
import { debianEtcd, missingParts, type PartName } from "#lab";

type Need = PartName | "etcd 3.4";

const MEMBER_PARTS: readonly PartName[] = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kwok",
];

/** What `startRealMember` needs. */
export const memberParts: readonly Need[] = MEMBER_PARTS;
/** What `startRealApiServer` needs. */
export const apiServerParts: readonly Need[] = ["etcd", "kube-apiserver"];

/**
 * Tests that need real parts. Where one is missing they are skipped and say which; with `REAL_PARTS_REQUIRED=1`, as in
 * CI, a missing part is a failure.
 */
export function describeReal(title: string, needs: readonly Need[], body: () => void): void {
  const missing: readonly string[] = [
    ...missingParts(needs.filter((need): need is PartName => need !== "etcd 3.4")).map(
      (name) => `${name} (npm run lab -- build)`,
    ),
    ...(needs.includes("etcd 3.4") && debianEtcd() === undefined ? ["etcd 3.4 (Debian package etcd-server)"] : []),
  ];
  if (missing.length === 0) describe(title, body);
  else if (process.env["REAL_PARTS_REQUIRED"] === "1")
    test(title, () => {
      throw new Error(`missing: ${missing.join(", ")}`);
    });
  else describe.skip(`${title}: missing ${missing.join(", ")}`, body);
}
