import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{shared,services,cli,deploy,test}/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    coverage: {
      provider: "v8",
      include: ["shared/**/*.ts", "services/**/*.ts", "cli/**/*.ts", "deploy/**/*.ts"],
      exclude: ["shared/gen/**", "**/*.test.ts", "**/testing/**"],
      reporter: ["text-summary", "json-summary", "html"],
      thresholds: { lines: 80, statements: 80, functions: 80, branches: 70 },
    },
  },
});
