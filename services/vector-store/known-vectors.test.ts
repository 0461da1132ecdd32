import { expect, test, vi } from "vitest";
import { compiledWat } from "../../test/harness/compiled-wat.ts";
import { BoundScan } from "./bound-scan.ts";
import { dotProductProgram } from "./dot-product.ts";
import { comparedError, KnownVectors, type NearestCandidates } from "./known-vectors.ts";
import { kthLargest } from "./kth-largest.ts";
import { rowBoundsProgram } from "./row-bounds.ts";

test("the programs are what their sources say", async () => {
  const source = (name: string) => new URL(`./${name}.wat`, import.meta.url);
  expect(dotProductProgram.bytes).toEqual(await compiledWat(source("dot-product")));
  expect(rowBoundsProgram.bytes).toEqual(await compiledWat(source("row-bounds")));
});

/** Numbers of -1 to 1, the same in every run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** As pgvector does it, where `round` is to single precision. */
function similarity(a: Float32Array, b: Float32Array, round = (value: number) => value): number {
  let product = 0;
  let ofA = 0;
  let ofB = 0;
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? 0;
    product = round(product + round(x * y));
    ofA = round(ofA + round(x * x));
    ofB = round(ofB + round(y * y));
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

/** Near a space of few dimensions, as embeddings are, or nowhere in particular. */
function spread(random: () => number, dimension: number, dimensions: number): () => Float32Array {
  const axes = Array.from({ length: dimensions }, () => Array.from({ length: dimension }, random));
  return () => {
    const vector = Float32Array.from({ length: dimension }, () => 0.3 * random());
    for (const axis of axes) {
      const weight = random();
      for (let i = 0; i < dimension; i++) vector[i] = (vector[i] ?? 0) + weight * (axis[i] ?? 0);
    }
    return vector;
  };
}

for (const [name, dimensions] of Object.entries({ "a few": 20, no: 0 })) {
  test(`nothing nearer is left out along the axes of vectors in ${name} dimensions`, () => {
    const dimension = 300;
    const vector = spread(numbers(3), dimension, dimensions);
    const vectors = new Map(Array.from({ length: 6_000 }, (_, i) => [`v${i}`, vector()]));
    const known = new KnownVectors(dimension);
    const set = (id: string) => {
      const one = vector();
      vectors.set(id, one);
      known.set(id, one);
    };
    const remove = (id: string) => {
      vectors.delete(id);
      known.delete(id);
    };
    for (const [id, one] of vectors) known.set(id, one);
    const examine = () => {
      const questions = [1, 20, 100].map((most) => ({ vector: vector(), most }));
      for (const [i, { vector: query, most }] of questions.entries()) {
        const { ids, closeness, beyond } = told(known.nearest(questions)[i]);
        const truth = [...vectors]
          .map(([id, one]) => ({ id, near: similarity(one, query) }))
          .sort((a, b) => b.near - a.near);
        const best = truth.slice(0, most).map(({ id }) => id);
        expect(ids).toEqual(expect.arrayContaining(best));
        expect(ids.length).toBeLessThan(most + 5);
        expect(Math.min(...closeness)).toBeGreaterThan(beyond);
        const nextNear = truth.find(({ id }) => !ids.includes(id))?.near ?? 1;
        expect(Math.fround(nextNear)).toBeLessThanOrEqual(beyond);
      }
    };
    // Whatever changes while the axes are learnt, and while vectors are taken along them.
    let pauses = 0;
    for (const _ of known.refine()) {
      pauses += 1;
      for (let i = 0; i < 5; i++) set(`v${(pauses * 185 + i) % 6_000}`);
      set(`new${pauses}`);
      remove(`v${(pauses * 11) % 6_000}`);
      if (pauses % 15 === 0) examine();
    }
    expect(pauses).toBeGreaterThan(30);
    const compare = vi.spyOn(BoundScan.prototype, "compare");
    for (let round = 0; round < 10; round++) {
      examine();
      for (let i = 0; i < 300; i++) {
        set(`v${(round * 997 + i * 13) % 6_000}`);
        remove(`v${(round * 331 + i * 7) % 6_000}`);
      }
    }
    for (const _ of known.refine());
    examine();
    const withAxes = compare.mock.calls.filter(([, , leadRows]) => leadRows > 0);
    compare.mockRestore();
    expect(withAxes.length).toBeGreaterThan(0);
  });
}

test("those who refine at once do not get in each other's way", () => {
  const dimension = 256;
  const random = numbers(17);
  const known = new KnownVectors(dimension);
  /** Vectors that differ in a few components, from the first of them on. */
  const vector = (first: number) =>
    Float32Array.from({ length: dimension }, (_, i) => {
      return (i >= first && i < first + 12 ? 1 : 0.02) * random();
    });
  const fill = (first: number) => {
    for (let i = 0; i < 6_000; i++) known.set(`v${i}`, vector(first));
  };
  fill(0);
  const slower = known.refine();
  // It has chosen the vectors to learn from.
  for (let i = 0; i < 10; i++) slower.next();
  fill(100);
  for (const _ of known.refine());
  for (const _ of slower);
  const query = vector(100);
  const { ids, beyond } = nearest(known, query, 20);
  const others = Array.from({ length: 6_000 }, (_, i) => `v${i}`).filter((id) => !ids.includes(id));
  expect(Math.max(...known.closeness(query, others).map((one) => one ?? 1))).toBeLessThanOrEqual(
    beyond,
  );
});

test("axes help again where vectors were gone for a while", () => {
  const vector = spread(numbers(23), 256, 20);
  const known = new KnownVectors(256);
  const fill = () => {
    for (let i = 0; i < 5_000; i++) known.set(`v${i}`, vector());
  };
  fill();
  for (const _ of known.refine());
  for (let i = 0; i < 5_000; i++) known.delete(`v${i}`);
  for (let i = 0; i < 20; i++) expect(nearest(known, vector(), 5).ids).toEqual([]);
  fill();
  const compare = vi.spyOn(BoundScan.prototype, "compare");
  expect(nearest(known, vector(), 5).ids).toHaveLength(5);
  expect(compare.mock.calls.map(([, , leadRows]) => leadRows > 0)).toEqual([true]);
  compare.mockRestore();
});

for (const [shape, draw] of Object.entries(shapes)) {
  for (const dimension of [1, 3, 16, 100, 768]) {
    test(`nothing nearer is left out: ${dimension} ${shape} components`, () => {
      const random = numbers(dimension);
      const vector = () => Float32Array.from({ length: dimension }, () => draw(random) || 1e-15);
      const vectors = new Map(Array.from({ length: 2_500 }, (_, i) => [`v${i}`, vector()]));
      const known = new KnownVectors(dimension);
      for (const [id, one] of vectors) known.set(id, one);
      // Some change, some go, some take their places.
      for (let i = 0; i < 100; i++) {
        const changed = vector();
        vectors.set(`v${3 * i}`, changed);
        known.set(`v${3 * i}`, changed);
        vectors.delete(`v${7 * i + 1}`);
        known.delete(`v${7 * i + 1}`);
      }
      for (let i = 0; i < 50; i++) {
        const added = vector();
        vectors.set(`new${i}`, added);
        known.set(`new${i}`, added);
      }
      expect(known.size).toBe(vectors.size);
      const questions = [1, 50, 7, 1, 3].map((most) => ({ vector: vector(), most }));
      const answers = known.nearest(questions);
      for (const [i, { vector: query, most }] of questions.entries()) {
        const { ids, closeness, beyond } = told(answers[i]);
        expect(ids.length).toBeGreaterThanOrEqual(most);
        expect(new Set(ids).size).toBe(ids.length);
        expect(Math.min(...closeness)).toBeGreaterThan(beyond);
        expect(known.closeness(query, ids)).toEqual(closeness);
        expect(known.nearest([{ vector: query, most }])).toEqual([{ ids, closeness, beyond }]);
        const near = new Map(ids.map((id, i) => [id, closeness[i]]));
        for (const [id, one] of vectors) {
          const truth = similarity(one, query);
          if (i === 0) {
            const difference = Math.abs(similarity(one, query, Math.fround) - truth);
            expect(difference).toBeLessThan(comparedError(dimension));
          }
          if (near.has(id)) expect(near.get(id)).toBeCloseTo(truth, 6);
          else expect(Math.fround(truth)).toBeLessThanOrEqual(beyond);
        }
      }
    });
  }
}

function told(answer: NearestCandidates | undefined): NearestCandidates {
  if (answer === undefined) throw new Error("a question without an answer");
  return answer;
}

function nearest(known: KnownVectors, vector: ArrayLike<number>, most: number) {
  return told(known.nearest([{ vector, most }])[0]);
}

test("few are told where vectors differ", () => {
  const random = numbers(5);
  const known = new KnownVectors(768);
  const vector = () => Array.from({ length: 768 }, random);
  for (let i = 0; i < 3_000; i++) known.set(`v${i}`, vector());
  expect(nearest(known, vector(), 50).ids.length).toBe(50);
});

test("all are told where there are no more than asked for", () => {
  const known = new KnownVectors(3);
  expect(nearest(known, [1, 2, 3], 5).ids).toEqual([]);
  known.set("a", [1, 2, 3]);
  known.set("b", [-1, -2, -3]);
  known.set("none", [0, 0, 0]);
  const { ids, closeness, beyond } = nearest(known, [1, 2, 3], 5);
  expect([ids, closeness, beyond]).toEqual([["a", "b"], [1, -1], -2]);
  expect(known.closeness([2, 4, 6], ["b", "none", "a"])).toEqual([-1, undefined, 1]);
});

test("the k-th largest", () => {
  const random = numbers(9);
  const values = Float64Array.from({ length: 1_000 }, () => Math.round(random() * 300));
  const sorted = values.toSorted().reverse();
  for (const k of [1, 2, 3, 10, 999, 1_000]) expect(kthLargest(values, k)).toBe(sorted[k - 1]);
});

test("equal vectors are equally near, wherever they stand", () => {
  const random = numbers(11);
  const known = new KnownVectors(100);
  const vector = () => Array.from({ length: 100 }, random);
  const same = vector();
  for (let i = 0; i < 3_000; i++) known.set(`v${i}`, i % 300 === 7 ? same : vector());
  const query = vector().map((one, i) => one / 9 + (same[i] ?? 0));
  const { ids, closeness } = nearest(known, query, 3);
  expect(ids).toHaveLength(10);
  expect(new Set(closeness).size).toBe(1);
});
