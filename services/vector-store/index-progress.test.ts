import { expect, test } from "vitest";
import { progressOf } from "./index-progress.ts";

const idle = { blocksDone: 0, blocksTotal: 0, tuplesDone: 0, tuplesTotal: 0 };

test("a build goes from 0 towards 1, phase by phase", () => {
  const course = [
    { ...idle, phase: "initializing" },
    { ...idle, phase: "waiting for writers before build" },
    { ...idle, phase: "building index: loading tuples", blocksDone: 10, blocksTotal: 100 },
    { ...idle, phase: "building index: loading tuples", blocksDone: 100, blocksTotal: 100 },
    { ...idle, phase: "waiting for writers before validation" },
    { ...idle, phase: "index validation: scanning index", blocksDone: 1, blocksTotal: 2 },
    { ...idle, phase: "index validation: scanning table", blocksDone: 1, blocksTotal: 2 },
    { ...idle, phase: "waiting for old snapshots" },
  ].map(progressOf);
  expect(course).toEqual([...course].sort((a, b) => a - b));
  expect(course[2]).toBeCloseTo(0.09);
  expect(Math.max(...course)).toBeLessThan(1);
});

test("what PostgreSQL does not measure stays where its phase begins", () => {
  expect(progressOf({ ...idle, phase: "building index: performing k-means" })).toBe(0.02);
  expect(progressOf({ ...idle, phase: "something new" })).toBe(0);
  const loading = { ...idle, phase: "building index: loading tuples" };
  expect(progressOf({ ...loading, tuplesDone: 5, tuplesTotal: 10 })).toBeCloseTo(0.45);
});
