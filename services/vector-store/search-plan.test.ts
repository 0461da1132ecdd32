import { describe, expect, test } from "vitest";
import { needsScope, planNearest, probesFor, proposedLists, rowsNeeded } from "./search-plan.ts";

const hnsw = { kind: "hnsw", m: 16, efConstruction: 64, lists: undefined } as const;
const ivfflat = { kind: "ivfflat", m: undefined, efConstruction: undefined, lists: 500 } as const;
const question = { index: hnsw, exact: false, wanted: 20, threshold: 50_000, rows: 200_000 };

describe("the plan of a search", () => {
  test("counts nothing where the count decides nothing", () => {
    expect(needsScope(question)).toBe(true);
    expect(needsScope({ ...question, index: undefined })).toBe(false);
    expect(needsScope({ ...question, exact: true })).toBe(false);
    expect(needsScope({ ...question, rows: 50_000 })).toBe(false);
  });

  test("scans up to the threshold, asks the index above it", () => {
    expect(planNearest(question, 50_000)).toEqual({ by: "scan", small: false });
    expect(planNearest(question, 100)).toEqual({ by: "scan", small: true });
    expect(planNearest(question, 50_001)).toEqual({
      by: "index",
      kind: "hnsw",
      candidates: 32,
      effort: 150,
    });
    expect(planNearest({ ...question, threshold: 0, rows: 10 }, 0).by).toBe("scan");
  });

  test("scans without an index, without a count, and where the truth is wanted", () => {
    expect(planNearest({ ...question, index: undefined }, undefined)).toEqual({ by: "scan" });
    expect(planNearest(question, undefined)).toEqual({ by: "scan" });
    expect(planNearest({ ...question, exact: true }, 100_000)).toEqual({ by: "scan" });
  });

  test("looks further where more is wanted, within pgvector's bounds", () => {
    const large = { ...question, rows: 10_000_000 };
    const efforts = [1, 100, 101, 200, 1_000].map((wanted) => {
      const plan = planNearest({ ...large, wanted }, 10_000_000);
      return plan.by === "index" ? [plan.candidates, plan.effort] : plan.by;
    });
    expect(efforts).toEqual([
      [32, 150],
      [128, 256],
      [128, 256],
      [256, 512],
      [1_024, 1_000],
    ]);
    expect(planNearest({ ...large, wanted: 5_000 }, 10_000_000)).toEqual({ by: "scan" });
  });

  test("an IVFFlat index is looked into in proportion to its lists", () => {
    expect(planNearest({ ...question, index: ivfflat }, 150_000)).toMatchObject({
      kind: "ivfflat",
      effort: probesFor(500),
    });
    expect(probesFor(4)).toBe(4);
    expect(probesFor(500)).toBeGreaterThanOrEqual(Math.sqrt(500));
  });
});

test("lists are proposed by the number of rows", () => {
  expect(proposedLists(150_000)).toBe(500);
  expect(proposedLists(0)).toBe(1);
  expect(proposedLists(810_000)).toBe(2_700);
  expect(proposedLists(1_000_000)).toBe(3_000);
  expect(proposedLists(1e12)).toBe(32_768);
  expect(rowsNeeded(500)).toBe(15_000);
  expect(rowsNeeded(1)).toBe(1_000);
});
