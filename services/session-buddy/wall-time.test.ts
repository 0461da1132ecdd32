import { expect, test } from "vitest";
import { parseUtc, WallTime } from "./wall-time.ts";

const micros = (iso: string) => Date.parse(iso) * 1_000;
const wall = (local: string) => BigInt(Date.parse(`${local}Z`)) * 1_000n;

test.each([
  ["America/Los_Angeles", "2026-07-01T04:07:00", "2026-07-01T11:07:00Z"],
  ["Asia/Kolkata", "2026-07-01T17:37:00", "2026-07-01T12:07:00Z"],
  ["UTC", "1969-12-31T23:59:59", "1969-12-31T23:59:59Z"],
])("%s: %s is %s", (zone, local, instant) => {
  const time = new WallTime(zone);
  expect(time.toMicros(wall(local))).toBe(micros(instant));
  expect(time.fromMicros(micros(instant))).toBe(wall(local));
});

test("an hour that comes twice is the first one, a skipped one moves forward", () => {
  const berlin = new WallTime("Europe/Berlin");
  expect(berlin.toMicros(wall("2026-10-25T02:30:00"))).toBe(micros("2026-10-25T00:30:00Z"));
  expect(berlin.toMicros(wall("2026-03-29T02:30:00"))).toBe(micros("2026-03-29T01:30:00Z"));
});

test("microseconds survive", () => {
  const time = new WallTime("Europe/Berlin");
  const stamp = 1_795_471_870_385_111;
  expect(time.toMicros(time.fromMicros(stamp))).toBe(stamp);
});

test("DuckDB's infinity is no time", () => {
  expect(new WallTime("UTC").toMicros(9_223_372_036_854_775_807n)).toBeUndefined();
});

test("an unknown zone is refused", () => {
  expect(() => new WallTime("Mars/Olympus")).toThrow(RangeError);
});

test.each([
  ["2026-07-01T04:07:00.123456+00:00", "2026-07-01T04:07:00.123Z"],
  ["2026-07-01 04:07:00+02", "2026-07-01T02:07:00Z"],
  ["2026-07-01T04:07:00Z", "2026-07-01T04:07:00Z"],
  ["2026-07-01 04:07:00", "2026-07-01T11:07:00Z"],
])("as text: %s is %s", (text, instant) => {
  const time = new WallTime("America/Los_Angeles").parse(text) ?? 0;
  expect(Math.floor(time / 1_000)).toBe(Date.parse(instant));
});

test("a text that is no time is none; without an offset UTC is meant where it is known", () => {
  expect(new WallTime("UTC").parse("yesterday")).toBeUndefined();
  expect(parseUtc("2026-07-01T04:07:00")).toBe(micros("2026-07-01T04:07:00Z"));
});
