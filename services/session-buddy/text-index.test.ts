import { expect, test } from "vitest";
import { TextIndex } from "./text-index.ts";
import { words } from "./words.ts";

function indexOf(...texts: string[]): TextIndex {
  const index = new TextIndex();
  for (const text of texts) index.add(words(text));
  return index;
}

test("the score is BM25 over its upper bound", () => {
  const index = indexOf("pool pool leak", "pool", "timeout network network network");
  // N 3, mean length 8/3; pool: df 2, leak: df 1.
  const idf = (df: number) => Math.log(1 + (3 - df + 0.5) / (df + 0.5));
  const part = (tf: number, length: number) =>
    (tf * 2.2) / (tf + 1.2 * (0.1 + (0.9 * length) / (8 / 3)));
  const bound = (idf(2) + idf(1)) * 2.2;
  const scores = index.search(words("leaking pools"));
  expect(scores.get(0)).toBeCloseTo((idf(2) * part(2, 3) + idf(1) * part(1, 3)) / bound, 12);
  expect(scores.get(1)).toBeCloseTo((idf(2) * part(1, 1)) / bound, 12);
  expect(scores.get(2)).toBeUndefined();
});

test("a word that nobody has lowers all scores, and repeating a query's word does not", () => {
  const index = indexOf("pool leak", "pool");
  const plain = index.search(["pool"]).get(1) ?? 0;
  expect(index.search(["pool", "zebra"]).get(1)).toBeLessThan(plain);
  expect(index.search(["pool", "pool"]).get(1)).toBe(plain);
});

test("the statistics are those of the scope", () => {
  const index = indexOf("pool leak", "pool", "pool", "network");
  const scoped = index.search(["pool"], { mask: Uint8Array.of(1, 0, 0, 1), size: 2 });
  expect(scoped.documents).toEqual([0]);
  expect(scoped.get(0)).toBeCloseTo(
    indexOf("pool leak", "network").search(["pool"]).get(0) ?? 0,
    12,
  );
});

test("nothing is found in an empty index or with an empty query", () => {
  expect(indexOf().search(["pool"]).documents).toEqual([]);
  expect(indexOf("pool").search([]).documents).toEqual([]);
});

test("a word that comes hundreds of times counts as often as it can", () => {
  const index = indexOf(Array.from({ length: 600 }, () => "pool").join(" "), "pool", "leak");
  const { documents, get } = index.search(["pool"]);
  expect(documents).toEqual([0, 1]);
  expect(get(0)).toBeLessThan(1);
  expect(get(0)).toBeGreaterThan(0);
});
