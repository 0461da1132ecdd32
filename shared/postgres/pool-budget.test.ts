import fc from "fast-check";
import { expect, test } from "vitest";
import { poolOwners, poolShare, poolShares } from "./pool-budget.ts";

test("shares the default budget of 50 by weight", () => {
  expect(poolShares(50)).toEqual({
    "vector-store": 20,
    memory: 12,
    ingestion: 8,
    embedding: 4,
    "session-buddy": 4,
    health: 2,
  });
});

test("gives each process one at least, and never more than the budget in all", () => {
  fc.assert(
    fc.property(fc.integer({ min: poolOwners.length, max: 5_000 }), (budget) => {
      const shares = poolOwners.map((owner) => poolShare(owner, budget));
      expect(Math.min(...shares)).toBeGreaterThanOrEqual(1);
      expect(shares.reduce((sum, share) => sum + share, 0)).toBe(budget);
      expect(shares).toEqual(shares.toSorted((a, b) => b - a));
    }),
  );
});

test("refuses a budget that does not reach", () => {
  expect(() => poolShares(5)).toThrow(RangeError);
  expect(() => poolShares(20.5)).toThrow(RangeError);
});
