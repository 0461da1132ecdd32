import { describe, expect, test } from "vitest";
import { formatInstant, instantOf, isInstant, parseInstant, secondsAndNanos } from "./instant.ts";

describe("instants", () => {
  test.each([
    ["1970-01-01T00:00:00Z", 0n],
    ["1970-01-01T00:00:00.000001Z", 1n],
    ["1969-12-31T23:59:59.999999Z", -1n],
    ["1970-01-01t00:00:00.9999999z", 999_999n],
    ["1970-01-01T01:30:00+01:30", 0n],
    ["1969-12-31T23:00:00-01:00", 0n],
    ["2000-02-29T12:00:00Z", 951_825_600_000_000n],
    ["0001-01-01T00:00:00Z", -62_135_596_800_000_000n],
    ["9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999n],
  ])("%s is read", (text, instant) => {
    expect(parseInstant(text)).toBe(instant);
  });

  test.each([
    "",
    "yesterday",
    "2020-01-01",
    "2020-01-01 00:00:00Z",
    "2020-01-01T00:00:00",
    "2020-13-01T00:00:00Z",
    "2021-02-29T00:00:00Z",
    "2020-01-01T24:00:00Z",
    "2020-01-01T00:60:00Z",
    "2020-01-01T00:00:60Z",
    "2020-01-01T00:00:00+24:00",
    "2020-01-01T00:00:00.Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-00:01",
    "2020-01-01T00:00:00Z\n",
  ])("%j is no time", (text) => {
    expect(parseInstant(text)).toBeUndefined();
  });

  test("every time comes back from its text and from seconds and nanoseconds", () => {
    for (const instant of [
      0n,
      1n,
      -1n,
      -1_000_001n,
      951_825_600_123_456n,
      -62_135_596_800_000_000n,
    ]) {
      expect(parseInstant(formatInstant(instant))).toBe(instant);
      const { seconds, nanos } = secondsAndNanos(instant);
      expect(nanos).toBeGreaterThanOrEqual(0);
      expect(instantOf(seconds, nanos)).toBe(instant);
    }
    expect(instantOf(-1n, 999_999_999)).toBe(-1n);
    expect(isInstant(253_402_300_800_000_000n)).toBe(false);
  });
});
