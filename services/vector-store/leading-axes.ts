import { wasmMemory, wasmPageBytes } from "../../shared/web-assembly.ts";
import { Pace, slowProduct } from "./pace.ts";
import { rowBounds } from "./row-bounds.ts";
import { lengthOf } from "./vector-length.ts";

/** More bring the axes nearer to the best ones, each time by less. */
const iterations = 5;

/** Of a length before: what is left is the rounding of what was there. */
const negligible = 1e-9;

/**
 * Axes along which vectors differ most: the first of their principal components, about, by subspace
 * iteration on the matrix of their products (Golub and Van Loan, Matrix Computations, 8.2.4). Pauses
 * after each millisecond or two of work.
 *
 * `rows` are equally long, a multiple of 4. Returns so many axes, one after the other, of length 1
 * and at right angles; where vectors differ in fewer ways, the last ones are 0.
 */
export function* leadingAxes(
  rows: readonly Float32Array[],
  count: number,
): Generator<void, Float32Array> {
  const length = rows[0]?.length ?? 0;
  const samples = Math.ceil(rows.length / 4) * 4;
  const memory = wasmMemory(Math.ceil((4 * length * (samples + length + 2)) / wasmPageBytes) + 1);
  const { products } = rowBounds(memory);
  const vector = 4 * length * (samples + length);
  const out = vector + 4 * length;
  const pace = new Pace();
  const columns = new Float32Array(memory.buffer, 0, length * samples);
  for (const [n, row] of rows.entries()) {
    for (let i = 0; i < length; i++) columns[i * samples + n] = row[i] as number;
    if (pace.isDue(slowProduct * length)) yield;
  }
  const matrix = columns.byteLength;
  for (let i = 0; i < length; i++) {
    products(0, length, 4 * i * samples, samples, matrix + 4 * i * length);
    if (pace.isDue(length * samples)) yield;
  }
  const placed = new Float32Array(memory.buffer, vector, length);
  const multiplied = new Float32Array(memory.buffer, out, length);
  const axes = Array.from({ length: count }, (_, n) => start(n, length));
  for (let iteration = 0; iteration < iterations; iteration++) {
    for (const axis of axes) {
      placed.set(axis);
      products(matrix, length, vector, length, out);
      axis.set(multiplied);
      if (pace.isDue(length * length)) yield;
    }
    for (const [n, axis] of axes.entries()) {
      straighten(axis, axes.slice(0, n));
      // Twice, to measure and to take away.
      if (pace.isDue(slowProduct * 4 * n * length)) yield;
    }
  }
  const result = new Float32Array(count * length);
  for (const [n, axis] of axes.entries()) result.set(axis, n * length);
  return result;
}

/** Some vector, another one for each number. */
function start(n: number, length: number): Float64Array {
  let state = n + 1;
  return Float64Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** Takes away what lies along the others, twice, since once leaves a rounding of it; length 1, or 0. */
function straighten(axis: Float64Array, others: readonly Float64Array[]): void {
  const before = lengthOf(axis);
  for (let time = 0; time < 2; time++) {
    for (const other of others) {
      let product = 0;
      for (let i = 0; i < axis.length; i++) product += (axis[i] as number) * (other[i] as number);
      for (let i = 0; i < axis.length; i++) {
        axis[i] = (axis[i] as number) - product * (other[i] as number);
      }
    }
  }
  const length = lengthOf(axis);
  const scale = length > before * negligible ? 1 / length : 0;
  for (let i = 0; i < axis.length; i++) axis[i] = (axis[i] as number) * scale;
}
