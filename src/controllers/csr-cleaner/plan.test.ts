import { expect, it } from "vitest";
import { endOf } from "./plan.ts";

const HOUR = 3_600_000;
const at = (hours: number) => new Date(hours * HOUR).toISOString();
const condition = (type: string, hours: number) => ({ type, status: "True", lastUpdateTime: at(hours) });

it.each([
  ["nobody decided: a day", {}, 24],
  ["denied: an hour after", { conditions: [condition("Denied", 2)] }, 3],
  ["failed: an hour after", { conditions: [condition("Approved", 1), condition("Failed", 2)] }, 3],
  ["approved but not issued: a day", { conditions: [condition("Approved", 2)] }, 24],
  ["issued: an hour after the approval", { conditions: [condition("Approved", 2)], certificate: "MA==" }, 3],
  ["its certificate ends before", { conditions: [condition("Approved", 2)], certificate: "ZW5k" }, 2.5],
])("%s", (_title, status, hours) => {
  const csr = { metadata: { creationTimestamp: at(0) }, spec: {}, status } as never;
  expect(endOf(csr, (pem) => (pem === "end" ? 2.5 * HOUR : undefined))).toBe(hours * HOUR);
});
