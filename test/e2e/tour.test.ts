/** The quickstart's tour, and a fleet that loses a member. */
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runTour } from "#cli";
import { startTestFleet } from "#testing";

test("[RN-1] [DR-4] [DR-5] [GF-34] [GF-36] [GF-38] [GF-40] the tour's every step comes true", async () => {
  const fleet = await startTestFleet(
    ["member1", "member2", "member3"],
    [
      "--feature-gates=Failover=true",
      "--enable-no-execute-taint-eviction=true",
      "--allow-no-execute-taint-policy=true",
    ],
  );
  const lines: string[] = [];
  try {
    await runTour(fleet, fileURLToPath(new URL("../../examples/quickstart", import.meta.url)), (text) =>
      lines.push(text),
    );
  } finally {
    await fleet.stop();
  }
  expect(lines.join("")).toContain("[6/6]");
});
