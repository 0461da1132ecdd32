import fc from "fast-check";
import { expect, test } from "vitest";
import { compiledWat } from "../../test/harness/compiled-wat.ts";
import { dotProgram, rowMemory } from "./simd-dot.ts";

test("the program is what its source says", async () => {
  const source = new URL("./simd-dot.wat", import.meta.url);
  expect(dotProgram.bytes).toEqual(await compiledWat(source));
});

const plain = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);

test("products are those of a plain loop, whatever the dimension", () => {
  const value = fc.double({ min: -1, max: 1, noNaN: true });
  const sets = fc.integer({ min: 1, max: 70 }).chain((dimension) =>
    fc.array(fc.array(value, { minLength: dimension, maxLength: dimension }), {
      minLength: 2,
      maxLength: 6,
    }),
  );
  fc.assert(
    fc.property(sets, ([first = [], ...others]) => {
      const query = Float32Array.from(first);
      const rows = others.map((other) => Float32Array.from(other));
      const memory = rowMemory(query.length);
      rows.forEach((row, at) => {
        memory.write(at, row);
      });
      memory.setQuery(query);
      rows.forEach((row, at) => {
        expect(memory.dot(at)).toBeCloseTo(plain(row, query), 5);
      });
    }),
  );
});

test("rows keep their values while the memory grows", () => {
  const memory = rowMemory(5);
  const rowOf = (at: number) => Float32Array.from([at, 1, -at, 2, 0.5]);
  for (let at = 0; at < 40_000; at++) memory.write(at, rowOf(at));
  memory.write(7, rowOf(70));
  const query = Float32Array.from([1, 2, 3, 4, 5]);
  memory.setQuery(query);
  for (const at of [0, 1, 1_023, 1_024, 39_999]) {
    expect(memory.dot(at)).toBeCloseTo(plain(rowOf(at), query), 2);
  }
  expect(memory.dot(7)).toBe(plain(rowOf(70), query));
  memory.setQuery(Float32Array.from([0, 0, 0, 0, 2]));
  expect(memory.dot(39_999)).toBe(1);
});
