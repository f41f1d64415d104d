import { defineConfig } from "vitest/config";

// test/guest is AssemblyScript: test/kernel/unit.test.ts compiles and runs it.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/coverage.ts"],
    testTimeout: 60_000, hookTimeout: 120_000 },
});
