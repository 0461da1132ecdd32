import fc from "fast-check";
import { expect, test } from "vitest";
import { Best } from "./best-hits.ts";

test("keeps what sorting and cutting would keep", () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), fc.integer({ min: 1, max: 20 }), (numbers, limit) => {
      const best = new Best<number>(limit, (a, b) => b - a);
      for (const number of numbers) best.add(number);
      expect(best.items).toEqual(numbers.toSorted((a, b) => b - a).slice(0, limit));
    }),
  );
});
