import { describe, expect, it } from "vitest";
import { passagesOf } from "./passages.ts";

const sentence = (n: number) => `Sentence number ${n} stands in its place.`;
const prose = (sentences: number) =>
  Array.from({ length: sentences }, (_, n) => `${sentence(n)}${n % 9 === 8 ? "\n\n" : " "}`).join(
    "",
  );

describe("passages", () => {
  it("of a short text are none", () => {
    expect(passagesOf("short")).toEqual([]);
    expect(passagesOf("x".repeat(6_400))).toEqual([]);
    expect(passagesOf("x".repeat(6_401)).length).toBeGreaterThan(1);
  });

  it("hold every sentence whole in one of them, and say where they stand", () => {
    const text = prose(3_000);
    const passages = passagesOf(text);
    for (let n = 0; n < 3_000; n++) {
      expect(passages.some((one) => one.text.includes(sentence(n)))).toBe(true);
    }
    for (const { text: own, start, end } of passages) expect(text.slice(start, end)).toBe(own);
    for (const [i, one] of passages.slice(1).entries()) {
      expect(one.start).toBeLessThanOrEqual(passages[i]?.end ?? 0);
      expect(one.start).toBeGreaterThan(passages[i]?.start ?? 0);
    }
    expect(passages.at(-1)?.end).toBe(text.length);
  });

  it.each([
    ["words", "word ".repeat(209_715)],
    ["one word", "x".repeat(1_048_576)],
    ["paragraphs", `${"y".repeat(500)}\n\n`.repeat(2_088)],
    ["three bytes a character", "語".repeat(349_525)],
    ["surrogate pairs", "😀".repeat(262_144)],
    ["first one kind, then the other", `${"x".repeat(300_000)}${"😀".repeat(187_000)}`],
    ["unpaired halves", "\udc00".repeat(349_525)],
  ])("of the longest text are no more than the store takes: %s", (_, text) => {
    const passages = passagesOf(text);
    expect(passages.length).toBeGreaterThan(100);
    expect(passages.length).toBeLessThanOrEqual(256);
    const characters = Array.from(text);
    expect(passages[0]?.start).toBe(0);
    expect(passages.at(-1)?.end).toBe(characters.length);
    for (const { text: own, start, end } of passages) {
      expect(own.isWellFormed()).toBe(text.isWellFormed());
      expect(characters.slice(start, end).join("")).toBe(own);
    }
  });

  it("of nothing but white space are none", () => {
    const text = `begin${" ".repeat(20_000)}end`;
    expect(passagesOf(text).map((one) => one.text.trim())).toEqual(["begin", "end"]);
  });
});
