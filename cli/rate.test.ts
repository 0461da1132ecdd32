import { describe, expect, it } from "vitest";
import { Rate } from "./rate.ts";

describe("Rate", () => {
  it("goes by the last seconds", () => {
    const rate = new Rate();
    expect(rate.perSecond).toBe(0);
    for (let second = 0; second <= 60; second++) rate.add(second * 2, second * 1000);
    expect(rate.perSecond).toBeCloseTo(2);
    for (let second = 61; second <= 90; second++) rate.add(120, second * 1000);
    expect(rate.perSecond).toBe(0);
  });

  it("begins anew where the count does", () => {
    const rate = new Rate();
    rate.add(100, 0);
    rate.add(200, 1000);
    rate.add(10, 2000);
    expect(rate.perSecond).toBe(0);
    rate.add(15, 3000);
    expect(rate.perSecond).toBeCloseTo(5);
  });
});
