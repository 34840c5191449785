import { defineConfig } from "vitest/config";

const report = process.env["VITEST_JSON"];

export default defineConfig({
  test: {
    setupFiles: ["src/testing/freeze.ts"],
    include: ["{src,tools,test,examples,sim}/**/*.test.ts"],
    exclude: ["test/real/**", "**/node_modules/**"],
    maxWorkers: 2,
    // Bounds for a machine that is busy with something else; a quiet one needs a tenth.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    ...(report === undefined ? {} : { reporters: ["default", "json"], outputFile: { json: report } }),
  },
});
