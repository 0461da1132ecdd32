import { expect, test } from "vitest";
import { leadingAxes } from "./leading-axes.ts";

const length = 64;

function axesOf(rows: readonly Float32Array[], count: number): Float32Array[] {
  const work = leadingAxes(rows, count);
  let step = work.next();
  while (!step.done) step = work.next();
  return Array.from({ length: count }, (_, n) => step.value.subarray(n * length, (n + 1) * length));
}

function product(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

/** Numbers of -1 to 1. */
const wave = (n: number) => Math.sin(n * n + n / 7);

const row = (weights: (i: number) => number, n: number) =>
  Float32Array.from({ length }, (_, i) => weights(i) * wave(n * length + i));

test("those of the components that differ most, at right angles and of length 1", () => {
  // The later a component, the less it differs.
  const rows = Array.from({ length: 500 }, (_, n) => row((i) => 0.7 ** i, n));
  const axes = axesOf(rows, 16);
  for (const [n, axis] of axes.entries()) {
    expect(product(axis, axis)).toBeCloseTo(1, 6);
    for (const other of axes.slice(0, n)) expect(Math.abs(product(axis, other))).toBeLessThan(1e-6);
  }
  for (let i = 0; i < 8; i++) {
    const along = axes.reduce((sum, axis) => sum + (axis[i] ?? 0) ** 2, 0);
    expect(along).toBeGreaterThan(0.99);
  }
});

test("0 where vectors differ in fewer ways", () => {
  const one = row(() => 1, 1);
  const rows = Array.from({ length: 10 }, (_, n) => one.map((value) => value * (n - 4)));
  const axes = axesOf(rows, 16);
  expect(Math.abs(product(axes[0] ?? [], one))).toBeCloseTo(Math.sqrt(product(one, one)), 4);
  const none = axesOf([new Float32Array(length)], 16);
  expect(none.every((axis) => axis.every((value) => value === 0))).toBe(true);
});
