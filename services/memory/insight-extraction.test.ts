import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { extractInsights } from "./insight-extraction.ts";

const dashes = (count: number) => "─".repeat(count);
const long = (body: string) => `\`★ Insight ${dashes(37)}\`\n${body}\n\`${dashes(49)}\``;
const short = (body: string) => `★ Insight ─────\n${body}\n─────`;
const contents = (text: string) => extractInsights(text).map(({ content }) => content);

describe("a block is found", () => {
  it.each([
    ["in the short form", short("Use binary unnest."), ["Use binary unnest."]],
    ["in Session-Buddy's long form", long("Always batch writes."), ["Always batch writes."]],
    [
      "with more dashes in the header",
      `★ Insight ${dashes(60)}\nMind the gap here.\n${dashes(5)}`,
      ["Mind the gap here."],
    ],
    [
      "with back-ticks on one side only",
      `★ Insight ─────\nMind the gap here.\n\`─────\``,
      ["Mind the gap here."],
    ],
    [
      "in the midst of other text",
      `Before.\n\n${short("Use binary unnest.")}\n\nAfter.`,
      ["Use binary unnest."],
    ],
    [
      "behind words of its line",
      `So: ★ Insight ─────\nUse binary unnest.\n─────`,
      ["Use binary unnest."],
    ],
    ["within one line", "★ Insight ───── Use binary unnest. ─────", ["Use binary unnest."]],
    [
      "that begins in the header's line",
      "★ Insight ───── Use binary\nunnest.\n─────",
      ["Use binary\nunnest."],
    ],
    [
      "with Windows line ends",
      short("Use binary\nunnest.").replaceAll("\n", "\r\n"),
      ["Use binary\nunnest."],
    ],
    [
      "that is indented",
      `  ★ Insight ─────\n  Use binary unnest.\n  ─────  `,
      ["Use binary unnest."],
    ],
    [
      "with code in it",
      short("Use `unnest`:\n```sql\nselect 1\n```"),
      ["Use `unnest`:\n```sql\nselect 1\n```"],
    ],
    [
      "with a line of dashes in its code",
      short("A table is drawn:\n```\n─────────\n```\nso."),
      ["A table is drawn:\n```\n─────────\n```\nso."],
    ],
    [
      "next to another one",
      `${short("Use binary unnest.")}\n${long("Always batch writes.")}`,
      ["Use binary unnest.", "Always batch writes."],
    ],
    [
      "after one that was never closed",
      `★ Insight ─────\nlost lesson\n${short("Use binary unnest.")}`,
      ["Use binary unnest."],
    ],
    [
      "after fenced code",
      `\`\`\`\ncode\n\`\`\`\n${short("Use binary unnest.")}`,
      ["Use binary unnest."],
    ],
  ])("%s", (_, text, expected) => {
    expect(contents(text)).toEqual(expected);
  });
});

describe("there is none", () => {
  it.each([
    ["without a header", "Use binary unnest.\n─────"],
    ["without an end", "★ Insight ─────\nUse binary unnest.\n"],
    ["with four dashes", "★ Insight ────\nUse binary unnest.\n────"],
    ["with hyphens", "★ Insight -----\nUse binary unnest.\n-----"],
    ["in fenced code", `\`\`\`\n${short("Use binary unnest.")}\n\`\`\``],
    ["in longer fenced code", `~~~~text\n${short("Use binary unnest.")}\n~~~\n~~~~`],
    ["in a quotation", "> ★ Insight ─────\n> Use binary unnest.\n> ─────"],
    ["with nothing in it", "★ Insight ─────\n\n─────"],
    ["with too little in it", short("Nine char")],
    ["with too much in it", short("x".repeat(10_001))],
    ["with punctuation alone", short("....,,,,;;;;::::")],
  ])("%s", (_, text) => {
    expect(extractInsights(text)).toEqual([]);
  });
});

it("takes equal lessons of one text once", () => {
  const text = `${short("Use binary unnest.")}\n${short("use  BINARY unnest!")}`;
  expect(contents(text)).toEqual(["Use binary unnest."]);
});

describe("judgement", () => {
  it.each([
    ["Use the repository pattern here", "pattern"],
    ["The architecture has three layers", "architecture"],
    ["You should close what you open", "best_practice"],
    ["Beware of naive time stamps", "gotcha"],
    ["Binary parameters are quicker", "general"],
  ])("%s is %s", (lesson, type) => {
    expect(extractInsights(short(lesson))[0]?.type).toBe(type);
  });

  it("finds topics by the beginnings of words", () => {
    const [found] = extractInsights(short("Testing async database queries is rapid."));
    expect(found?.topics).toEqual(["async", "database", "testing"]);
  });

  it("follows Session-Buddy's formulas", () => {
    // No topic, no advice, below 50 characters: the floor.
    expect(extractInsights(short("The cat sat on the mat"))[0]).toMatchObject({
      type: "general",
      topics: [],
      confidence: 0.3,
      quality: 0.46,
    });
    // Two topics, advice, 50 characters and more, a favoured type, a reason.
    const rich = "You should always batch database writes because every statement costs a trip.";
    expect(extractInsights(short(rich))[0]).toMatchObject({
      type: "best_practice",
      topics: ["database", "performance"],
      confidence: 0.9,
      quality: 0.88,
    });
  });

  it("stays within its bounds, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 10, maxLength: 400 }), (text) => {
        for (const one of extractInsights(`${short(text)}\n${text}\n${long(text)}`)) {
          expect(one.confidence).toBeGreaterThanOrEqual(0.3);
          expect(one.confidence).toBeLessThanOrEqual(1);
          expect(one.quality).toBeGreaterThanOrEqual(0.3);
          expect(one.quality).toBeLessThanOrEqual(1);
          expect(one.content.length).toBeGreaterThanOrEqual(10);
        }
      }),
    );
  });
});
