import { expect, test } from "vitest";
import { pieces, words } from "./words.ts";

test("words are lower case, stemmed, without stop words", () => {
  expect(words("The Connections were LEAKING; always use pools.")).toEqual([
    "connect",
    "leak",
    "alway",
    "use",
    "pool",
  ]);
});

test("identifiers and apostrophes split, as PostgreSQL splits them", () => {
  expect(words("don't query_cache-l2")).toEqual(["queri", "cach", "l2"]);
});

test("other scripts stay whole, and equal forms of a letter are equal", () => {
  expect(words("Größe 日本語 café")).toEqual(words("GRÖßE 日本語 cafe\u0301"));
});

test("encoded data is no word", () => {
  expect(words(`a ${"x".repeat(256)} pool`)).toEqual(["pool"]);
});

test("pieces are the whole text, cut between words", () => {
  const text = "word ".repeat(30_000);
  const parts = [...pieces(text)];
  expect(parts.length).toBeGreaterThan(1);
  expect(parts.join("")).toBe(text);
  expect(parts.flatMap(words)).toEqual(words(text));
});

test("a text without gaps is cut too", () => {
  const text = "x".repeat(100_000);
  expect([...pieces(text)].join("")).toBe(text);
});
