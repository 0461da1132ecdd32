import { describe, expect, it } from "vitest";
import { cutVector } from "./matryoshka.ts";
import { ModelTable } from "./model-table.ts";

describe("the table of models", () => {
  const table = new ModelTable();

  it.each([
    ["nomic-embed-text", "search_query: ", "search_document: "],
    ["nomic-embed-text:v1.5", "search_query: ", "search_document: "],
    ["text-embedding-nomic-embed-text-v1.5", "search_query: ", "search_document: "],
    ["/models/nomic-embed-text-v1.5.Q8_0.gguf", "search_query: ", "search_document: "],
    ["mxbai-embed-large", "Represent this sentence for searching relevant passages: ", ""],
    ["BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""],
    ["intfloat/multilingual-e5-large", "query: ", "passage: "],
    ["e5-base-v2", "query: ", "passage: "],
    ["all-minilm:l6-v2", "", ""],
    ["text-embedding-3-small", "", ""],
    ["never-heard-of-it", "", ""],
  ])("%s", (name, query, document) => {
    expect(table.taskPrefix(name, "query")).toBe(query);
    expect(table.taskPrefix(name, "document")).toBe(document);
  });

  it("takes the smaller of what is known and what is told as the context", () => {
    expect(table.textTokens("nomic-embed-text", 8_192)).toBe(2_046);
    expect(table.textTokens("nomic-embed-text", 1_024)).toBe(1_022);
    expect(table.textTokens("never-heard-of-it", 0)).toBe(510);
  });

  it("can be overridden, part by part", () => {
    const own = new ModelTable({
      "nomic-embed-text": { prefixes: { query: "q: " } },
      "Mine/my-model": { contextTokens: 100, matryoshka: { least: 8 } },
    });
    expect(own.taskPrefix("nomic-embed-text", "query")).toBe("q: ");
    expect(own.taskPrefix("nomic-embed-text", "document")).toBe("search_document: ");
    expect(own.textTokens("my-model:latest", 4_096)).toBe(98);
    expect(own.matryoshka("my-model")).toEqual({ least: 8 });
    expect(own.knows("my-model") && !table.knows("my-model")).toBe(true);
  });

  it("knows which vectors may be cut", () => {
    expect(table.matryoshka("nomic-embed-text")).toEqual({ least: 64, normalizeFirst: true });
    expect(table.matryoshka("all-minilm")).toBeUndefined();
    expect(table.matryoshka("bge-m3")).toBeUndefined();
  });
});

describe("a vector that is cut", () => {
  it("is its beginning, brought to length 1", () => {
    const cut = cutVector([3, 4, 12], 2, { least: 1 });
    expect(Array.from(cut ?? [])).toEqual([expect.closeTo(0.6, 6), expect.closeTo(0.8, 6)]);
  });

  it("is brought to mean 0 before, where the makers want that", () => {
    const cut = cutVector([4, 0, 2, 2], 2, { least: 1, normalizeFirst: true });
    const half = Math.SQRT1_2;
    expect(Array.from(cut ?? [])).toEqual([expect.closeTo(half, 6), expect.closeTo(-half, 6)]);
    expect(cutVector([0, 0, 1], 2, { least: 1 })).toBeUndefined();
  });
});
