import { expect, test } from "vitest";
import type { Candidates } from "./candidates.ts";
import { ranking } from "./ranking.ts";
import type { SearchQuery } from "./search.ts";

const f = Math.fround;

function candidatesOf(
  documents: Readonly<Record<string, readonly [closeness: number | undefined, words: number]>>,
): Candidates {
  const all = Object.entries(documents);
  return {
    snapshot: "1:1:",
    ids: all.map(([id]) => id),
    places: all.map((_, i) => 65_536 + i),
    closeness: all.map(([, [closeness]]) => closeness && f(closeness)),
    textScores: all.map(([, [, words]]) => f(words)),
    vector: { beyond: -2 },
    text: undefined,
  };
}

const queryOf = (given: Partial<SearchQuery> & Pick<SearchQuery, "mode">) =>
  ({ vector: [1], text: "words", limit: 2, minScore: 0, maxBytes: 1, ...given }) as SearchQuery;

const candidates = candidatesOf({
  b: [0.5, 0],
  a: [0.5, 0.25],
  "\u{1f600}": [-0.5, 0.9],
  "\uffff": [undefined, 0.9],
  c: [-0.25, 0],
});

test("by vector: the nearest, equal ones by id, and no score below 0", () => {
  const { hits, others } = ranking(queryOf({ mode: "vector", limit: 4 }), candidates);
  expect(others).toEqual([]);
  expect(hits.map(({ id, score }) => [id, score])).toEqual([
    ["a", 0.5],
    ["b", 0.5],
    ["c", 0],
    ["\u{1f600}", 0],
  ]);
  expect(hits[0]).toMatchObject({ vectorScore: 0.5, textScore: undefined });
});

test("by words: only what holds one, in the order of code points", () => {
  const { hits } = ranking(queryOf({ mode: "text", limit: 9, minScore: 0.9 }), candidates);
  // 0.9 is rounded the same on both sides.
  expect(hits.map(({ id }) => id)).toEqual(["\uffff", "\u{1f600}"]);
  expect(hits[0]).toMatchObject({ score: f(0.9), vectorScore: undefined, textScore: f(0.9) });
});

test("by both: the weighted mean of what there is, and whom else it depends on", () => {
  const query = queryOf({ mode: "hybrid", vectorWeight: 0.5, limit: 3 });
  const { hits, others } = ranking(query, candidates);
  expect(hits.map(({ id, score }) => [id, score])).toEqual([
    ["\uffff", f(0.9)],
    ["\u{1f600}", f(f(0.9) / 2)],
    ["a", f(0.375)],
  ]);
  expect(others.toSorted((a, b) => a.place - b.place)).toEqual([
    { id: "b", place: 65_536 },
    { id: "c", place: 65_540 },
  ]);
});
