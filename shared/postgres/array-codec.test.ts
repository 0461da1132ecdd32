import { expect, test } from "vitest";
import { type ElementCodec, encodeArray } from "./array-codec.ts";

// What the server makes of these arrays is examined in test/conformance/postgres-parameters.test.ts.

test("refuses an array that is larger than a message, before making it", () => {
  const huge: ElementCodec<number> = { oid: 1, size: () => 2 ** 29, write: () => {} };
  expect(() => encodeArray(huge, [1, 2])).toThrow(RangeError);
});
