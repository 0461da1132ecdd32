import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { insightKey } from "./content-identity.ts";
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
      "twice in one line",
      "★ Insight ───── Use binary unnest. ───── ★ Insight ───── Always batch writes. ─────",
      ["Use binary unnest.", "Always batch writes."],
    ],
    [
      "after a header in the same line that was never closed",
      "★ Insight ───── lost ★ Insight ───── Use binary unnest. ─────",
      ["Use binary unnest."],
    ],
    [
      "that ends at the end of its last line",
      "★ Insight ─────\nUse binary\nunnest. ─────\nAfter.",
      ["Use binary\nunnest."],
    ],
    [
      "in the long form, in one line, with words after it",
      `\`★ Insight ${dashes(37)}\` Always batch writes. \`${dashes(49)}\` After.`,
      ["Always batch writes."],
    ],
    [
      "with short rules in the long form",
      long("A rule:\n─────\nis content here."),
      ["A rule:\n─────\nis content here."],
    ],
    [
      "in the long form with a short end only",
      `\`★ Insight ${dashes(37)}\`\nAlways batch writes.\n─────\nAfter.\n─────\n${short("Use binary unnest.")}`,
      ["Always batch writes.", "Use binary unnest."],
    ],
    [
      "with a drawing in it",
      short("Boxes:\n┌─────┐ and ─────x\nare drawn."),
      ["Boxes:\n┌─────┐ and ─────x\nare drawn."],
    ],
    ["in bold", "**★ Insight ─────**\nUse binary unnest.\n**─────**", ["Use binary unnest."]],
    [
      "with old line ends",
      short("Use binary\nunnest.").replaceAll("\n", "\r"),
      ["Use binary\nunnest."],
    ],
    [
      "after a fence that is never closed",
      `\`\`\`\nstray\n${short("Use binary unnest.")}`,
      ["Use binary unnest."],
    ],
    [
      "with a fence in it that is never closed",
      short("Use ``` rarely:\n```\nindeed."),
      ["Use ``` rarely:\n```\nindeed."],
    ],
    [
      "within another one: the inner",
      `★ Insight ─────\nouter begin\n${short("Use binary unnest.")}\nouter end\n─────`,
      ["Use binary unnest."],
    ],
    ["of ten emoji", short("😀".repeat(10)), ["😀".repeat(10)]],
    ["of 10,000 emoji", short("😀".repeat(10_000)), ["😀".repeat(10_000)]],
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
    ["with nine emoji in it", short("😀".repeat(9))],
    ["with 10,001 emoji in it", short("😀".repeat(10_001))],
    [
      "in inline code amid words",
      "Write `★ Insight ─────` before the lesson, and end it with `─────`.\n─────",
    ],
    ["in quoted lines after a header", "★ Insight ─────\n> Use binary unnest.\n> ─────"],
  ])("%s", (_, text) => {
    expect(extractInsights(text)).toEqual([]);
  });
});

it("takes equal lessons of one text once", () => {
  const text = `${short("Use binary unnest.")}\n${short("use  BINARY unnest!")}`;
  expect(contents(text)).toEqual(["Use binary unnest."]);
});

describe("whatever the text", () => {
  const piece = fc.constantFrom(
    "★ Insight ─────",
    `\`★ Insight ${dashes(37)}\``,
    `\`★ Insight ${dashes(37)}`,
    "`★ Insight ─────`",
    "★ Insight ",
    dashes(4),
    dashes(5),
    `\`${dashes(49)}\``,
    `\`${dashes(49)}`,
    "```",
    "````",
    "~~~",
    "```sql",
    "`",
    "**",
    "> ",
    " ",
    "    ",
    "\n",
    "\n",
    "\r\n",
    "\r",
    "Use binary unnest for batches",
    "Always close what you open.",
    "\u0000",
    "\ud83d",
  );
  const text = fc.array(fc.oneof(piece, fc.string({ maxLength: 12 })), { maxLength: 40 });
  const texts = text.map((pieces) => pieces.join(""));

  it("finds lessons of the text itself, within bounds, no two of them equal", () => {
    fc.assert(
      fc.property(texts, (sample) => {
        const plain = sample.replaceAll(/\r\n?/g, "\n");
        const found = contents(sample);
        for (const content of found) {
          expect(plain).toContain(content);
          expect(content).toBe(content.trim());
          expect([...content].length).toBeGreaterThanOrEqual(10);
        }
        expect(new Set(found.map(insightKey)).size).toBe(found.length);
      }),
      { numRuns: 2_000 },
    );
  });

  it("finds in a lesson that is framed again that lesson and no other", () => {
    fc.assert(
      fc.property(texts, (sample) => {
        for (const content of contents(sample)) {
          // Whether a header is told or only mentioned depends on what stands around it.
          if (content.includes("★ Insight ")) continue;
          expect(contents(long(content))).toEqual([content]);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("finds what is well framed between any other closed lines", () => {
    fc.assert(
      fc.property(fc.lorem({ mode: "sentences" }), fc.lorem(), (around, words) => {
        const lesson = `Always ${words} twice`;
        expect(
          contents(`${around}\n${short(lesson)}\n${around}\n${long(`${lesson}, too`)}`),
        ).toEqual([lesson, `${lesson}, too`]);
      }),
    );
  });

  /** A megabyte each: what took time in proportion to the square of that would not come to its end. */
  it.each([
    ["headers", "★ Insight ─────"],
    ["headers in code", "`★ Insight ─────` "],
    ["long headers", `\`★ Insight ${dashes(37)}\`\n`],
    ["open blocks of short rules", `★ Insight ─────\na───── `],
    ["nearly rules", "────\u2500 ────x"],
    ["rules in one line of a block", "x───── "],
    ["fences with words", "```x\n"],
    ["fences that grow", "```\n````\n~~~\n"],
    ["white space", " "],
    ["tabs and rules", "\t─────\t"],
    ["back-ticks", "`"],
    ["line ends", "\r\n"],
  ])("comes to an end on a megabyte of %s", (_, part) => {
    const hostile = part.repeat(Math.ceil(1_048_576 / part.length));
    for (const head of [
      "",
      "★ Insight ─────\n",
      `\`★ Insight ${dashes(37)}\`\n`,
      "★ Insight ─────",
    ]) {
      for (const one of extractInsights(`★ Insight ─${head}${hostile}x`)) {
        expect(one.content.length).toBeLessThanOrEqual(20_000);
      }
    }
  });
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
