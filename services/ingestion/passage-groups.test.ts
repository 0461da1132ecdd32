import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chunkText } from "./chunking.ts";
import { foldEqual, groupByFile, mergeNeighbours } from "./passage-groups.ts";
import type { Passage } from "./ports.ts";

const lines = Array.from({ length: 40 }, (_, n) => (n % 5 === 3 ? "" : `line ${n + 1}`));

/** Lines of a file as a passage. */
function passage(startLine: number, endLine: number, score: number, filePath = "a.md"): Passage {
  const content = lines.slice(startLine - 1, endLine).join("\n");
  return {
    id: `${filePath}:${startLine}`,
    content,
    contentHash: `${filePath}:${content}`,
    score,
    repoId: "repo",
    filePath,
    startLine,
    startColumn: 0,
    endLine,
    language: "markdown",
    index: -1,
    section: "",
    commit: "",
    createTime: undefined,
  };
}

const textOf = (from: number, to: number) => lines.slice(from - 1, to).join("\n");

describe("mergeNeighbours", () => {
  it("puts together what touches or overlaps, with the text as it stands in the file", () => {
    const merged = mergeNeighbours(
      [passage(6, 8, 0.9), passage(20, 23, 0.8), passage(1, 5, 0.7), passage(8, 12, 0.6)],
      10,
    );
    expect(merged).toMatchObject([
      {
        id: "a.md:6",
        startLine: 1,
        endLine: 12,
        score: 0.9,
        content: textOf(1, 12),
        memoryIds: ["a.md:1", "a.md:6", "a.md:8"],
      },
      { startLine: 20, endLine: 23, memoryIds: ["a.md:20"] },
    ]);
  });

  it("puts together what follows each other with blank lines between", () => {
    const first = { ...passage(1, 3, 0.9), index: 0 };
    const second = { ...passage(5, 8, 0.8), index: 1 };
    expect(mergeNeighbours([second, first], 10)).toMatchObject([
      { startLine: 1, endLine: 8, content: textOf(1, 8), index: 0, lastIndex: 1 },
    ]);
    expect(mergeNeighbours([first, { ...second, index: 2 }], 10)).toHaveLength(2);
  });

  it("closes a gap between two, and drops what another holds", () => {
    const merged = mergeNeighbours(
      [passage(1, 3, 0.9), passage(7, 10, 0.8), passage(4, 6, 0.7), passage(2, 3, 0.6)],
      10,
    );
    expect(merged).toMatchObject([{ startLine: 1, endLine: 10, content: textOf(1, 10) }]);
  });

  it("keeps files apart, and passages without lines", () => {
    const merged = mergeNeighbours(
      [passage(1, 3, 0.9), passage(4, 6, 0.8, "b.md"), { ...passage(4, 6, 0.7), startLine: 0 }],
      10,
    );
    expect(merged).toHaveLength(3);
  });

  it("ends with the first that would be one too many", () => {
    const merged = mergeNeighbours(
      [passage(1, 3, 0.9), passage(20, 22, 0.8), passage(4, 6, 0.7), passage(30, 31, 0.6)],
      2,
    );
    expect(merged.map(({ startLine, endLine }) => [startLine, endLine])).toEqual([
      [1, 6],
      [20, 22],
    ]);
  });
});

/** A text's pieces as passages. */
async function piecesOf(text: string, chunkSize: number, chunkOverlap: number): Promise<Passage[]> {
  const chunks = await chunkText(text, { family: "plain", chunkSize, chunkOverlap });
  return chunks.map((chunk, at) => ({ ...passage(1, 1, 0.5), ...chunk, id: `${at}` }));
}

describe("mergeNeighbours of pieces that overlap", () => {
  it.each([
    ["lines that are the same", (n: number) => (n % 6 === 0 ? `part ${n}\n` : "same line\n")],
    ["words that are the same", (n: number) => (n % 6 === 0 ? `part${n} ` : "very ")],
    ["a line without a space", (n: number) => (n % 6 === 0 ? `part${n}` : "abcabc")],
  ])("has every word of %s once", async (_, part) => {
    const text = Array.from({ length: 200 }, (_, n) => part(n))
      .join("")
      .trimEnd();
    for (const overlap of [0, 8, 16]) {
      const pieces = await piecesOf(text, 32, overlap);
      expect(pieces.length).toBeGreaterThan(5);
      expect(pieces.map(({ index }) => index)).toEqual(pieces.map((_, at) => at));
      expect(mergeNeighbours(pieces, 100).map(({ content }) => content)).toEqual([text]);
    }
  });

  it("is what stands in the file, whichever pieces are found in whatever order", async () => {
    const words = fc.constantFrom(
      "a",
      "ab",
      "very",
      "very",
      "long. ",
      "end.\n",
      "\n",
      "\n\n",
      "  x",
    );
    const texts = fc.array(words, { minLength: 20, maxLength: 200 }).map((all) => all.join(" "));
    const bare = (text: string) => text.replace(/\s+/g, "");
    await fc.assert(
      fc.asyncProperty(
        texts,
        fc.integer({ min: 0, max: 8 }),
        fc.infiniteStream(fc.nat()),
        async (text, overlap, order) => {
          const pieces = await piecesOf(text, 16, overlap);
          const found = pieces
            .map((piece) => ({ piece, at: order.next().value ?? 0 }))
            .filter(({ at }) => at % 4 !== 0)
            .sort((a, b) => a.at - b.at)
            .map(({ piece }) => piece);
          const lines = text.split("\n");
          let told = 0;
          for (const one of mergeNeighbours(found, 1_000)) {
            const range = lines.slice(one.startLine - 1, one.endLine).join("\n");
            const begins = bare(range.slice(0, one.startColumn)).length;
            expect(bare(range).slice(begins, begins + bare(one.content).length)).toBe(
              bare(one.content),
            );
            expect(one.content.split("\n")).toHaveLength(one.endLine - one.startLine + 1);
            told += one.memoryIds.length;
          }
          expect(told).toBe(found.length);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("does not put pieces of one line together between which another one stands", async () => {
    const text = Array.from({ length: 100 }, (_, n) => `word${n}`).join(" ");
    const pieces = await piecesOf(text, 32, 4);
    expect(pieces.length).toBeGreaterThan(4);
    const [first, , third] = pieces;
    if (first === undefined || third === undefined) throw new Error("too few pieces");
    expect(mergeNeighbours([third, first], 10)).toHaveLength(2);
  });

  it("goes by the words where a line has changed before a passage", async () => {
    const text = Array.from({ length: 100 }, (_, n) => `word${n}`).join(" ");
    const pieces = await piecesOf(text, 32, 8);
    const moved = pieces.map((one) => ({
      ...one,
      startColumn: one.startColumn && one.startColumn + 3,
    }));
    const first = pieces[0];
    if (first === undefined) throw new Error("no pieces");
    expect(mergeNeighbours([first, ...moved.slice(1)], 10)).toMatchObject([{ content: text }]);
  });
});

describe("groupByFile", () => {
  it("has the best file first, and each file's passages by line", () => {
    const hits = mergeNeighbours(
      [
        passage(20, 21, 0.9),
        passage(1, 2, 0.8, "b.md"),
        passage(1, 2, 0.7),
        passage(1, 2, 0.6, "c.md"),
      ],
      10,
    );
    const files = groupByFile(hits, 2);
    expect(files).toMatchObject([
      {
        repoId: "repo",
        filePath: "a.md",
        score: 0.9,
        passages: [{ startLine: 1 }, { startLine: 20 }],
      },
      { filePath: "b.md", score: 0.8 },
    ]);
    expect(files).toHaveLength(2);
  });
});

describe("foldEqual", () => {
  it("keeps the best of equal texts", () => {
    const copy = { ...passage(1, 2, 0.5, "b.md"), contentHash: passage(1, 2, 0.9).contentHash };
    expect(foldEqual([passage(1, 2, 0.9), copy]).map(({ filePath }) => filePath)).toEqual(["a.md"]);
  });
});
