import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chunkText } from "./chunking.ts";
import type { SplitFamily } from "./languages.ts";
import { countTokens } from "./tokens.ts";

const families: readonly SplitFamily[] = [
  "markdown",
  "script",
  "python",
  "html",
  "plain",
  "java",
  "rust",
];

/** Texts with the things that splitters trip over: repetition, long runs, emoji, blank lines. */
const texts = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "\n",
        "\n\n",
        "    ",
        "\t",
        "# Title\n",
        "## Part\n",
        "\nexport function f() {\n",
        "  return 1;\n}\n",
        "\ndef g(x):\n",
        "same line\n",
        "<div><p>",
        "👩‍👩‍👧 ",
        "漢字",
        "x".repeat(300),
      ),
      fc.string({ unit: "grapheme", maxLength: 40 }),
      fc.lorem({ maxCount: 20 }),
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(""))
  .map((text) => text.replaceAll("\0", "").replace(/\r\n?/g, "\n"));

describe("chunkText", () => {
  it("gives each chunk the lines that hold it, keeps within the limit and loses nothing", async () => {
    await fc.assert(
      fc.asyncProperty(
        texts,
        fc.constantFrom(...families),
        fc.integer({ min: 16, max: 200 }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        async (text, family, chunkSize, share) => {
          const chunkOverlap = Math.floor(chunkSize * share);
          const chunks = await chunkText(text, { family, chunkSize, chunkOverlap });
          const lines = text.split("\n");
          for (const chunk of chunks) {
            const range = lines.slice(chunk.startLine - 1, chunk.endLine);
            expect(range.join("\n")).toContain(chunk.content);
            // No line more than needed.
            expect(chunk.content.split("\n").length).toBe(range.length);
            expect(countTokens(chunk.content)).toBeLessThanOrEqual(chunkSize);
            expect(chunk.content.isWellFormed()).toBe(true);
          }
          const words = new Set(chunks.flatMap(({ content }) => content.split(/\s+/)).join(""));
          for (const character of text.replace(/\s+/g, "")) expect(words).toContain(character);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("covers every line that is not blank", async () => {
    const text = readFileSync(new URL("./text-splitter.ts", import.meta.url), "utf8");
    const chunks = await chunkText(text, { family: "script", chunkSize: 128, chunkOverlap: 20 });
    expect(chunks.length).toBeGreaterThan(5);
    const covered = new Set<number>();
    for (const { startLine, endLine } of chunks) {
      for (let line = startLine; line <= endLine; line++) covered.add(line);
    }
    text.split("\n").forEach((line, index) => {
      if (line.trim() !== "") expect(covered).toContain(index + 1);
    });
  });

  it("cuts Markdown at headings", async () => {
    const section = (n: number) => `## Part ${n}\n\n${"Some words of prose here. ".repeat(12)}\n\n`;
    const text = `# Title\n\n${[1, 2, 3, 4].map(section).join("")}`;
    const chunks = await chunkText(text, { family: "markdown", chunkSize: 100, chunkOverlap: 0 });
    expect(chunks.map(({ content }) => content.split("\n", 1)[0])).toEqual([
      "# Title",
      "## Part 2",
      "## Part 3",
      "## Part 4",
    ]);
    expect(chunks[1]).toMatchObject({ startLine: 7, endLine: 9 });
  });

  it("repeats at most chunk_overlap tokens, in whole lines", async () => {
    const text = Array.from({ length: 200 }, (_, n) => `line number ${n} of this text`).join("\n");
    const chunks = await chunkText(text, { family: "plain", chunkSize: 64, chunkOverlap: 20 });
    expect(chunks.length).toBeGreaterThan(10);
    for (const [index, chunk] of chunks.slice(1).entries()) {
      const before = chunks[index];
      const shared = (before?.endLine ?? 0) - chunk.startLine + 1;
      expect(shared).toBeGreaterThanOrEqual(1);
      expect(shared).toBeLessThanOrEqual(3);
    }
  });

  it("keeps the indentation of a chunk's first line", async () => {
    const method = (n: number) =>
      `    def method_${n}(self):\n        return ${"n + ".repeat(30)}1\n\n`;
    const text = `class Thing:\n${[1, 2, 3].map(method).join("")}`;
    const chunks = await chunkText(text, { family: "python", chunkSize: 96, chunkOverlap: 0 });
    expect(chunks.at(-1)?.content.startsWith("    def method_")).toBe(true);
  });

  it("keeps a passage that stands twice in a file once", async () => {
    const paragraph = "The same words again and again in one paragraph.";
    const text = Array.from({ length: 8 }, () => paragraph).join("\n\n");
    const chunks = await chunkText(text, { family: "plain", chunkSize: 16, chunkOverlap: 0 });
    expect(chunks).toMatchObject([{ content: paragraph, startLine: 1, endLine: 1 }]);
  });

  it("lets others work while it splits texts without a single space", async () => {
    let longest = 0;
    let last = performance.now();
    const ticker = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }, 1);
    try {
      for (const run of ["a", "漢", "😀", "Zm9vYmFy"]) {
        const text = run.repeat(500_000 / run.length);
        const chunks = await chunkText(text, {
          family: "markdown",
          chunkSize: 1024,
          chunkOverlap: 20,
        });
        expect(chunks.length).toBeGreaterThan(0);
      }
    } finally {
      clearInterval(ticker);
    }
    // Far above the 50 ms that it keeps to, since the machine may be busy; unpaced it takes seconds.
    expect(longest).toBeLessThan(1_000);
    if (process.env["SHOW_PAUSES"]) console.log("longest pause", longest);
  });
});
