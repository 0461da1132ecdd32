import fc from "fast-check";
import { expect, test } from "vitest";
import { gaugeValue, statuses, worstOf } from "./component-health.ts";

test("the worst status counts", () => {
  expect(worstOf(["healthy", "degraded", "healthy"])).toBe("degraded");
  expect(worstOf(["degraded", "unhealthy", "healthy"])).toBe("unhealthy");
  expect(worstOf(["healthy"])).toBe("healthy");
  expect(worstOf([])).toBe("healthy");
});

test("the worst is one of them, and none is worse, in any order", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...statuses), { minLength: 1 }), (all) => {
      const worst = worstOf(all);
      expect(all).toContain(worst);
      expect(Math.min(...all.map(gaugeValue))).toBe(gaugeValue(worst));
    }),
  );
});

test("the gauge is 0, 1, 2", () => {
  expect(["unhealthy", "degraded", "healthy"].map((s) => gaugeValue(s as never))).toEqual([
    0, 1, 2,
  ]);
});
