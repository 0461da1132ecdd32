import fc from "fast-check";
import { expect, test } from "vitest";
import { createBreathe } from "./event-loop.ts";
import { VectorMatrix } from "./vector-matrix.ts";

const vectors = fc.array(fc.integer({ min: -100, max: 100 }), {
  minLength: 7,
  maxLength: 7,
});

test("compares as the definition of cosine does, clipped to 0..1", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(vectors, { maxLength: 20 }), vectors, async (rows, query) => {
      const matrix = new VectorMatrix(7);
      rows.forEach((row, at) => {
        matrix.set(String(at), row);
      });
      const found = await matrix.similarities(query, createBreathe());
      expect(found.size).toBe(rows.length);
      rows.forEach((row, at) => {
        expect(found.get(String(at))).toBeCloseTo(cosine(row, query), 3);
      });
    }),
  );
});

test("a removed vector is found no more, and its place is used again", async () => {
  const matrix = new VectorMatrix(2);
  for (let at = 0; at < 1_500; at++) matrix.set(String(at), [1, 0]);
  matrix.delete("3");
  matrix.delete("3");
  const found = await matrix.similarities([1, 0], createBreathe());
  expect(found.size).toBe(1_499);
  expect(found.has("3")).toBe(false);
  matrix.set("new", [0, 1]);
  expect((await matrix.similarities([0, 1], createBreathe())).get("new")).toBe(1);
  expect(matrix.hashes.size).toBe(1_500);
});

function cosine(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]) =>
    x.reduce((sum, value, at) => sum + value * (y[at] ?? 0), 0);
  const lengths = Math.sqrt(dot(a, a)) * Math.sqrt(dot(b, b));
  return lengths === 0 ? 0 : Math.min(Math.max(dot(a, b) / lengths, 0), 1);
}
