import { expect, test } from "vitest";
import { DependencyUnavailableError } from "../errors.ts";
import type { Queryable } from "./queryable.ts";
import { postgresReadiness, vectorWarning } from "./readiness.ts";

const failing = (error: unknown): Queryable => ({ query: () => Promise.reject(error) });

test("is not ready where the database does not answer", async () => {
  const down = new DependencyUnavailableError("postgresql", "the database does not answer");
  expect(await postgresReadiness(failing(down))).toEqual({
    ready: false,
    message: "the database does not answer",
    vectorVersion: undefined,
    warning: undefined,
  });
});

test("leaves bugs and aborts to the caller", async () => {
  const bug = new TypeError("a bug");
  await expect(postgresReadiness(failing(bug))).rejects.toBe(bug);
  const signal = AbortSignal.abort(new Error("gone"));
  await expect(postgresReadiness(failing(signal.reason), { signal })).rejects.toBe(signal.reason);
});

test.each([
  ["0.7.4", /CVE-2026-3172/],
  ["0.8.1", /CVE-2026-3172/],
  ["0.8.2", /vacuum/],
  ["0.8.3", /vacuum/],
])("warns of pgvector %s", (version, warning) => {
  expect(vectorWarning(version)).toMatch(warning);
});

test.each(["0.8.4", "0.8.10", "0.9.0", "1.0.0"])("is content with pgvector %s", (version) => {
  expect(vectorWarning(version)).toBeUndefined();
});
