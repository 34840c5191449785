import { join } from "node:path";
import { createMemoryBackend, openFileBackend } from "#store";
import { type Bench, manyWriters } from "./measure.ts";

/** Durable writes of the file driver beside the memory driver. */
export const store: Bench = async ({ scratch }) => {
  const value = Buffer.alloc(1024, 1);
  const memory = createMemoryBackend();
  const file = openFileBackend(join(scratch, "store"));
  const inMemory = await manyWriters((n) => memory.txn([{ type: "put", key: `/b/${n}`, value, expected: 0 }]), 50_000);
  const onDisk = await manyWriters((n) => file.txn([{ type: "put", key: `/b/${n}`, value, expected: 0 }]), 20_000);
  await file.close();
  return [
    {
      name: "store",
      measure: "durable 1 KiB writes, 32 writers",
      value: onDisk,
      unit: "/s",
      reference: `memory driver ${Math.round(inMemory)}/s`,
      ratio: onDisk / inMemory,
    },
  ];
};
