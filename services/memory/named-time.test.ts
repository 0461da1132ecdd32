import { describe, expect, it } from "vitest";
import { namedPeriod } from "./named-time.ts";

/** A Wednesday. */
const now = Date.UTC(2026, 4, 20, 15, 30);
const named = (query: string) => {
  const period = namedPeriod(query, now);
  if (period === undefined) return undefined;
  const date = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  return `${date(period.from)} ${date(period.to)}`;
};

describe("the time that a query names", () => {
  it.each([
    ["what was said on 2024-03-15?", "2024-03-15 2024-03-16"],
    ["the deadline of March 15, 2024", "2024-03-15 2024-03-16"],
    ["the 3rd of May 2023", "2023-05-03 2023-05-04"],
    ["meeting on 3 may", "2026-05-03 2026-05-04"],
    ["meeting on june 3rd", "2025-06-03 2025-06-04"],
    ["plans of 2024-03", "2024-03-01 2024-04-01"],
    ["plans for Sept. 2024", "2024-09-01 2024-10-01"],
    ["what broke in March", "2026-03-01 2026-04-01"],
    ["what broke in December", "2025-12-01 2026-01-01"],
    ["what broke in 2023", "2023-01-01 2024-01-01"],
    ["yesterday's decision", "2026-05-19 2026-05-20"],
    ["what did we do today", "2026-05-20 2026-05-21"],
    ["the day before yesterday", "2026-05-18 2026-05-19"],
    ["decided last week", "2026-05-11 2026-05-18"],
    ["decided this week", "2026-05-18 2026-05-25"],
    ["decided last month", "2026-04-01 2026-05-01"],
    ["decided last year", "2025-01-01 2026-01-01"],
    ["two weeks ago", "2026-05-04 2026-05-11"],
    ["10 days ago", "2026-05-10 2026-05-11"],
    ["a year ago", "2025-01-01 2026-01-01"],
    ["on Monday", "2026-05-18 2026-05-19"],
    ["last Wednesday", "2026-05-13 2026-05-14"],
    ["between March 1, 2024 and March 9, 2024", "2024-03-01 2024-03-10"],
  ])("%s", (query, expected) => {
    expect(named(query)).toBe(expected);
  });

  it.each([
    "what may happen when we march on",
    "version 2024.03.15-beta of module march2024",
    "February 31, 2024",
    "id 12-2024-03-15",
    "for three weeks",
    "2024 items",
    "",
  ])("is none in %j", (query) => {
    expect(named(query)).toBeUndefined();
  });

  it("the past week ends now", () => {
    const period = namedPeriod("in the past week", now);
    expect(period).toEqual({ from: now - 7 * 86_400_000, to: now + 1 });
  });
});
