import { expect, test } from "vitest";
import { Threshold } from "./threshold.ts";

test("at least so many reach it, and hardly more", () => {
  const threshold = new Threshold(-1, 1);
  for (let round = 0; round < 2; round++) {
    threshold.clear();
    const values = Array.from({ length: 5_000 }, (_, i) => Math.sin(i * i));
    for (const value of values) threshold.add(value);
    for (const k of [1, 10, 500, 5_000]) {
      const least = threshold.reachedBy(k);
      const reached = values.filter((value) => value >= least).length;
      expect(reached).toBeGreaterThanOrEqual(k);
      const kth = values.toSorted((a, b) => b - a)[k - 1] ?? 0;
      expect(kth - least).toBeLessThan(0.001);
    }
    expect(threshold.reachedBy(5_001)).toBe(-1);
  }
});

test("the ends of the range, and what is beyond them", () => {
  const threshold = new Threshold(0, 1);
  for (const value of [0, 1, 1.5, -0.5]) threshold.add(value);
  expect(threshold.reachedBy(1)).toBeCloseTo(1, 6);
  expect(threshold.reachedBy(2)).toBe(0);
});
