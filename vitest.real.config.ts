import { defineConfig } from "vitest/config";

const report = process.env["VITEST_JSON"];

/** Tests that need real parts (etcd, Kubernetes' own programs); run one file at a time, for they start servers. */
export default defineConfig({
  test: {
    setupFiles: ["src/testing/freeze.ts"],
    include: ["test/real/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 300_000,
    ...(report === undefined ? {} : { reporters: ["default", "json"], outputFile: { json: report } }),
  },
});
