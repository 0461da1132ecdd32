import fc from "fast-check";
import { expect, test } from "vitest";
import { createBreathe } from "./event-loop.ts";
import { VectorMatrix } from "./vector-matrix.ts";

const vectors = fc.array(fc.integer({ min: -100, max: 100 }), {
  minLength: 7,
  maxLength: 7,
});

test("compares as the definition of cosine does, clipped to 0..1", () => {
  fc.assert(
    fc.property(fc.array(vectors, { maxLength: 20 }), vectors, (rows, query) => {
      const matrix = new VectorMatrix(7);
      const hashes = rows.map((_, at) => String(at));
      rows.forEach((row, at) => {
        matrix.set(String(at), row);
      });
      const found = matrix.similarities(query, hashes);
      expect(found.size).toBe(rows.length);
      rows.forEach((row, at) => {
        expect(found.at(at)).toBeCloseTo(cosine(row, query), 3);
      });
    }),
  );
});

test("two searches that take turns compare with their own vectors", () => {
  const matrix = new VectorMatrix(3);
  matrix.set("x", [1, 0, 0]);
  matrix.set("y", [0, 1, 0]);
  const hashes = ["x", "y"];
  const first = matrix.similarities([2, 0, 0], hashes);
  const second = matrix.similarities([0, 2, 0], hashes);
  expect([first.at(0), second.at(0), first.at(0)]).toEqual([1, 0, 1]);
  expect([second.at(1), first.at(1), second.at(1)]).toEqual([1, 0, 1]);
});

test("a removed vector is found no more, and its place is used again", () => {
  const matrix = new VectorMatrix(2);
  for (let at = 0; at < 1_500; at++) matrix.set(String(at), [1, 0]);
  matrix.delete("3");
  matrix.delete("3");
  const hashes = ["3", "4"];
  const found = matrix.similarities([1, 0], hashes);
  expect(found.size).toBe(1_499);
  expect([found.at(0), found.at(1)]).toEqual([undefined, 1]);
  matrix.set("new", [0, 1]);
  expect(matrix.similarities([0, 1], ["new"]).at(0)).toBe(1);
  expect(matrix.hashes.size).toBe(1_500);
});

test("a list that grows, and contents whose vectors come and go, are compared as they stand", () => {
  const matrix = new VectorMatrix(2);
  const hashes = ["a"];
  const ask = (place: number) => matrix.similarities([1, 0], hashes).at(place);
  expect(ask(0)).toBeUndefined();
  matrix.set("a", [1, 0]);
  expect(ask(0)).toBe(1);
  hashes.push("b", "c");
  matrix.set("c", [0, 1]);
  expect([ask(0), ask(1), ask(2), ask(3)]).toEqual([1, undefined, 0, undefined]);
  matrix.delete("a");
  matrix.set("b", [1, 0]);
  expect([ask(0), ask(1), ask(2)]).toEqual([undefined, 1, 0]);
  const other = matrix.similarities([0, 1], ["c", "b"]);
  expect([other.at(0), other.at(1)]).toEqual([1, 0]);
});

test("the nearest ones are found by their sketches, removed ones not", async () => {
  const matrix = new VectorMatrix(64);
  const axis = (at: number, noise: number) =>
    Array.from({ length: 64 }, (_, i) => (i === at ? 1 : noise * Math.sin(i * 7 + at)));
  for (let at = 0; at < 64; at++) {
    for (let copy = 0; copy < 40; copy++) matrix.set(`${at}/${copy}`, axis(at, copy / 1_000));
  }
  matrix.delete("5/0");
  const found = await matrix.similarities(axis(5, 0), []).nearest(39, createBreathe());
  const own = found.filter((hash) => hash.startsWith("5/"));
  expect(own).toHaveLength(39);
  expect(found).not.toContain("5/0");
  expect(found.length).toBeLessThan(500);
  expect(await matrix.similarities(axis(5, 0), []).nearest(10_000, createBreathe())).toHaveLength(
    matrix.hashes.size,
  );
});

function cosine(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]) =>
    x.reduce((sum, value, at) => sum + value * (y[at] ?? 0), 0);
  const lengths = Math.sqrt(dot(a, a)) * Math.sqrt(dot(b, b));
  return lengths === 0 ? 0 : Math.min(Math.max(dot(a, b) / lengths, 0), 1);
}
