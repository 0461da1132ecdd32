import { expect, test } from "vitest";
import { watchReadiness } from "./readiness.ts";

test("tells every change once, and ends with its signal", async () => {
  const stop = new AbortController();
  const answers = ["no schema", "no schema", undefined, undefined, "away", undefined];
  const told: (string | undefined)[] = [];
  await watchReadiness(
    {
      check: async () => {
        const answer = answers.shift();
        if (answers.length === 0) setImmediate(() => stop.abort());
        if (answer !== undefined) throw new Error(answer);
      },
      changed: (problem) => told.push(problem?.message),
      intervalMs: 1,
      timeoutMs: 1_000,
    },
    stop.signal,
  );
  expect(told).toEqual(["no schema", undefined, "away", undefined]);
});

test("a check that hangs is a problem", async () => {
  const stop = new AbortController();
  const told: (string | undefined)[] = [];
  await watchReadiness(
    {
      check: (signal) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      changed: (problem) => {
        told.push(problem?.name);
        stop.abort();
      },
      intervalMs: 1,
      timeoutMs: 10,
    },
    stop.signal,
  );
  expect(told).toEqual(["TimeoutError"]);
});
