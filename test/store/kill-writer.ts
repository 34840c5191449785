/** Writes for ever and tells of each acknowledged write, until it is killed. Run by kill.test.ts. */
import { writeSync } from "node:fs";
import { openFileBackend } from "#store";

const [folder = "", start = "0"] = process.argv.slice(2);
const backend = openFileBackend(folder);
let next = Number(start);
const write = async (): Promise<never> => {
  for (;;) {
    const number = next++;
    await backend.txn([{ type: "put", key: `/kill/${number}`, value: Buffer.from(`value ${number}`) }]);
    writeSync(1, `${number}\n`);
  }
};
void Promise.all([write(), write(), write(), write()]);
