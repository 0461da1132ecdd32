import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergeNeighbours } from "./passage-groups.ts";
import { bestParts } from "./passage-parts.ts";
import type { Passage } from "./ports.ts";

function passage(content: string, given: Partial<Passage> = {}): Passage {
  return {
    id: "p",
    content,
    contentHash: content,
    score: 0.5,
    repoId: "repo",
    filePath: "a.md",
    startLine: 10,
    startColumn: 0,
    endLine: 10 + content.split("\n").length - 1,
    language: "markdown",
    index: 3,
    section: "Guide",
    commit: "c",
    createTime: undefined,
    ...given,
  };
}

const filler = (n: number) => `Sentence ${n} tells of weather, harbours and ships that sail.`;
const wanted = "The dragon sleeps under the northern lighthouse.";
const text = [
  ...[1, 2, 3, 4].map(filler),
  "",
  `${filler(5)} ${wanted} ${filler(6)}`,
  "",
  ...[7, 8, 9].map(filler),
].join("\n");

describe("bestParts", () => {
  it("has the part that matches best first, with its own lines and what is its passage's", () => {
    const [best, ...rest] = bestParts([passage(text)], "where does the dragon sleep?", 200);
    expect(best).toMatchObject({ id: "p", section: "Guide", startLine: 13, endLine: 15 });
    expect(best?.content).toContain(wanted);
    expect(best?.score).toBeGreaterThan(0.25);
    expect(best?.score).toBeLessThanOrEqual(1);
    expect(rest.length).toBeGreaterThan(2);
    for (const { content } of rest) expect(content).not.toContain("dragon");
  });

  it("leaves short passages whole and ranks them with parts of long ones", () => {
    const short = passage("A dragon.", { id: "short", filePath: "b.md", score: 0.4 });
    const parts = bestParts([passage(text), short], "dragon", 200);
    expect(parts.find(({ id }) => id === "short")?.content).toBe("A dragon.");
    expect(parts.filter(({ content }) => content.includes("dragon"))).toHaveLength(2);
  });

  it("answers no text twice", () => {
    const copy = passage(text, { id: "copy", filePath: "b.md", score: 0.3 });
    const parts = bestParts([passage(text), copy], "dragon", 200);
    expect(new Set(parts.map(({ content }) => content)).size).toBe(parts.length);
    expect(parts.every(({ id }) => id === "p")).toBe(true);
  });

  it("cuts parts that touch so that they can be put together again", () => {
    const long = Array.from({ length: 30 }, (_, n) => (n % 4 === 3 ? "" : filler(n))).join("\n");
    const whole = passage(long);
    const parts = bestParts([whole], "harbours", 200);
    expect(parts.length).toBeGreaterThan(5);
    const merged = mergeNeighbours(parts, 10);
    expect(merged).toMatchObject([{ content: long, startLine: 10, endLine: 39 }]);
    expect(merged[0]?.memoryIds).toEqual(["p"]);
  });

  it("knows no lines where the passage has none", () => {
    const parts = bestParts([passage(text, { startLine: 0, endLine: 0, index: -1 })], "x", 200);
    expect(parts.every(({ startLine, endLine }) => startLine === 0 && endLine === 0)).toBe(true);
  });

  it("keeps within the bound, loses no text, and names the right lines", () => {
    const pieces = fc.constantFrom("One two. ", "\n", "x".repeat(70), "😀", "三。", "Why? ", " ");
    const texts = fc
      .array(pieces, { minLength: 1, maxLength: 80 })
      .map((all) => all.join("").trim());
    fc.assert(
      fc.property(texts, fc.integer({ min: 60, max: 300 }), (content, most) => {
        fc.pre(content !== "");
        const lines = content.split("\n");
        const parts = bestParts(
          [passage(content, { startLine: 1, endLine: lines.length })],
          "two",
          most,
        );
        for (const part of parts) {
          expect(part.content.length).toBeLessThanOrEqual(most);
          expect(part.content.isWellFormed()).toBe(true);
          const range = lines.slice(part.startLine - 1, part.endLine).join("\n");
          expect(range).toContain(part.content.trimStart());
          expect(part.score).toBeGreaterThanOrEqual(0);
          expect(part.score).toBeLessThanOrEqual(1);
        }
        const all = new Set(parts.flatMap((part) => [...part.content.replace(/\s+/g, "")]));
        for (const character of content.replace(/\s+/g, "")) expect(all).toContain(character);
      }),
    );
  });
});
