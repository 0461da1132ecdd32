import { expect, test } from "vitest";
import { compiledWat } from "../../test/harness/compiled-wat.ts";
import { dotProductProgram } from "./dot-product.ts";
import { kthLargest } from "./kth-largest.ts";
import { QuantizedVectors } from "./quantized-vectors.ts";

test("the program is what its source says", async () => {
  const source = new URL("./dot-product.wat", import.meta.url);
  expect(dotProductProgram.bytes).toEqual(await compiledWat(source));
});

/** Numbers of -1 to 1, the same in every run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** As pgvector does it. */
function similarity(a: Float32Array, b: Float32Array): number {
  let product = 0;
  let ofA = 0;
  let ofB = 0;
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? 0;
    product = Math.fround(product + Math.fround(x * y));
    ofA = Math.fround(ofA + Math.fround(x * x));
    ofB = Math.fround(ofB + Math.fround(y * y));
  }
  return product / Math.sqrt(ofA * ofB);
}

const shapes: Readonly<Record<string, (random: () => number) => number>> = {
  even: (random) => random(),
  // A few large components and many zeros, as hashed words have them.
  sparse: (random) => (random() > 0.9 ? random() ** 5 : 0),
  "one way": (random) => 1 + random() / 50,
  tiny: (random) => random() * 1e-12,
  uneven: (random) => random() ** 5 * 1e6,
};

for (const [shape, draw] of Object.entries(shapes)) {
  for (const dimension of [1, 3, 16, 100, 768]) {
    test(`nothing nearer is left out: ${dimension} ${shape} components`, () => {
      const random = numbers(dimension);
      const vector = () => Float32Array.from({ length: dimension }, () => draw(random) || 1e-15);
      const vectors = new Map(Array.from({ length: 2_500 }, (_, i) => [`v${i}`, vector()]));
      const quantized = new QuantizedVectors(dimension);
      for (const [id, one] of vectors) quantized.set(id, one);
      // Some change, some go, some take their places.
      for (let i = 0; i < 100; i++) {
        const changed = vector();
        vectors.set(`v${3 * i}`, changed);
        quantized.set(`v${3 * i}`, changed);
        vectors.delete(`v${7 * i + 1}`);
        quantized.delete(`v${7 * i + 1}`);
      }
      for (let i = 0; i < 50; i++) {
        const added = vector();
        vectors.set(`new${i}`, added);
        quantized.set(`new${i}`, added);
      }
      expect(quantized.size).toBe(vectors.size);
      for (const most of [1, 50]) {
        const query = vector();
        const { ids, beyond } = quantized.nearest(query, most);
        expect(ids.length).toBeGreaterThanOrEqual(most);
        expect(new Set(ids).size).toBe(ids.length);
        const told = new Set(ids);
        for (const [id, one] of vectors) {
          if (!told.has(id)) expect(similarity(one, query)).toBeLessThanOrEqual(beyond);
        }
      }
    });
  }
}

test("few are told where vectors differ", () => {
  const random = numbers(5);
  const quantized = new QuantizedVectors(768);
  const vector = () => Array.from({ length: 768 }, random);
  for (let i = 0; i < 3_000; i++) quantized.set(`v${i}`, vector());
  expect(quantized.nearest(vector(), 50).ids.length).toBe(50);
});

test("all are told where there are no more than asked for", () => {
  const quantized = new QuantizedVectors(3);
  expect(quantized.nearest([1, 2, 3], 5).ids).toEqual([]);
  quantized.set("a", [1, 2, 3]);
  quantized.set("b", [-1, -2, -3]);
  expect(quantized.nearest([1, 2, 3], 5).ids.toSorted()).toEqual(["a", "b"]);
});

test("the k-th largest", () => {
  const random = numbers(9);
  const values = Float64Array.from({ length: 1_000 }, () => Math.round(random() * 300));
  const sorted = values.toSorted().reverse();
  for (const k of [1, 2, 3, 10, 999, 1_000]) expect(kthLargest(values, k)).toBe(sorted[k - 1]);
});
