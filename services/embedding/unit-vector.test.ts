import { describe, expect, it } from "vitest";
import { unitVector, vectorFault } from "./unit-vector.ts";

describe("unitVector", () => {
  it.each([
    [
      [3, 4],
      [0.6, 0.8],
    ],
    [
      [1e200, 0],
      [1, 0],
    ],
    [
      [-1e-200, 0],
      [-1, 0],
    ],
  ])("of %j is %j", (values, unit) => {
    const made = [...(unitVector(values) ?? [])];
    for (const [i, value] of unit.entries()) expect(made[i]).toBeCloseTo(value, 6);
  });

  it("does not exist for the zero vector", () => {
    expect(unitVector([0, 0])).toBeUndefined();
  });
});

describe("vectorFault", () => {
  it.each([
    [[1, 2], undefined],
    [[1], "has 1 components, not 2"],
    [[1, null], "holds what is no number"],
    [[1, "2"], "holds what is no number"],
    [[1, Number.NaN], "holds what is no number"],
    [[0, 0], "is all zeros"],
  ])("of %j is %s", (values, fault) => {
    expect(vectorFault(values, 2)).toBe(fault);
  });
});
