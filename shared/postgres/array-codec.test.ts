import { expect, test } from "vitest";
import { type ElementCodec, encodeArray, encodeInt4Array, encodeUuidArray } from "./array-codec.ts";

// What the server makes of these arrays is examined in test/conformance/postgres.test.ts.

test("refuses values that the type cannot hold", () => {
  expect(() => encodeInt4Array([2 ** 31])).toThrow(RangeError);
  expect(() => encodeUuidArray(["0190f5fe"])).toThrow("not a UUID");
});

test("refuses an array that is larger than a message, before making it", () => {
  const huge: ElementCodec<number> = { oid: 1, size: () => 2 ** 29, write: () => {} };
  expect(() => encodeArray(huge, [1, 2])).toThrow(RangeError);
});
