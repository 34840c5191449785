/** Recorded histories of two replicas on one etcd: `npm run test:long` asks for many more requests. */
import { test } from "vitest";
import { type Backend, openBackend } from "#store";
import { startEtcd } from "../../lab/index.ts";
import { expectSoundHistory, SEED } from "../histories/suite.ts";
import { describeReal } from "./parts.ts";

const OPERATIONS = Number(process.env["HISTORY_OPERATIONS"] ?? 3_000);

describeReal("many writers and watchers on two replicas of one etcd", ["etcd"], () => {
  test(`leave a history that is linearizable for every object, and watches without loss (seed ${SEED})`, async () => {
    const etcd = await startEtcd({ version: "3.6", isUnsafe: true });
    const backends: Backend[] = [];
    try {
      for (let n = 0; n < 2; n++) backends.push(await openBackend(`etcd://${new URL(etcd.url).host}`));
      await expectSoundHistory(backends, OPERATIONS);
    } finally {
      await Promise.all(backends.map((backend) => backend.close()));
      await etcd.stop();
    }
  }, 3_600_000);
});
