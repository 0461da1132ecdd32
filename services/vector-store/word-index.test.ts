import { expect, test } from "vitest";
import { WordIndex } from "./word-index.ts";

function indexOf(texts: Readonly<Record<string, string>>): WordIndex {
  const index = new WordIndex();
  for (const [id, text] of Object.entries(texts)) add(index, id, text);
  return index;
}

function add(index: WordIndex, id: string, text: string): void {
  const words = text.split(" ");
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  index.set(id, words.length, counts);
}

const best = (index: WordIndex, words: string[], most: number) =>
  index.best(index.facts(words), most);

test("scores are those of BM25, as a share of the best that there could be", () => {
  const index = indexOf({ a: "fox fox dog", b: "dog", c: "cat cat cat cat" });
  const { lexemes, statistics } = index.facts(["fox", "dog"]);
  expect(statistics).toEqual({ documents: 3, meanLength: 8 / 3 });
  const idf = (frequency: number) => Math.log(1 + (3 - frequency + 0.5) / (frequency + 0.5));
  const all = idf(1) + idf(2);
  expect(lexemes.map((one) => [one.lexeme, one.share])).toEqual([
    ["fox", idf(1) / all],
    ["dog", idf(2) / all],
  ]);
  const part = (times: number, length: number) =>
    times / (times + 1.2 * (0.1 + (0.9 * length) / (8 / 3)));
  const found = best(index, ["fox", "dog"], 10);
  expect(found).toMatchObject({ ids: ["a", "b"], beyond: 0, complete: true });
  const scoreOfA = (idf(1) * part(2, 3) + idf(2) * part(1, 3)) / all;
  expect(found.scoreOf("a")).toBeCloseTo(scoreOfA, 7);
  expect(found.scoreOf("a")).toBe(Math.fround(found.scoreOf("a")));
  expect(found.scoreOf("b")).toBeCloseTo((idf(2) * part(1, 1)) / all, 7);
  expect(["c", "nobody"].map((id) => found.scoreOf(id))).toEqual([0, 0]);
});

test("nobody who is left out is above what is told, and equal ones are not left out", () => {
  const index = indexOf({ a: "x y", b: "x z", c: "x z", d: "z q r s", e: "q" });
  const { ids, beyond, complete, scoreOf } = best(index, ["x", "z"], 1);
  expect(ids).toEqual(["b", "c"]);
  expect(complete).toBe(false);
  for (const id of ["a", "d", "e"]) expect(scoreOf(id)).toBeLessThanOrEqual(beyond);
  expect(beyond).toBeLessThan(scoreOf("b"));
  expect(best(index, ["unheard"], 1)).toMatchObject({ ids: [], complete: true });
});

test("what has changed or gone is found no more", () => {
  const index = indexOf({ a: "x", b: "x", c: "y" });
  add(index, "a", "y");
  index.delete("b");
  index.delete("b");
  expect(index.size).toBe(2);
  expect(index.waste).toBe(1);
  expect(best(index, ["x"], 1).ids).toEqual([]);
  expect(best(index, ["y"], 5).ids.toSorted()).toEqual(["a", "c"]);
  expect(index.facts(["y"]).statistics).toEqual({ documents: 2, meanLength: 1 });
});
