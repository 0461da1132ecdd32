/** A query as rows of 8 bits are compared with it. */
export interface RoundedQuery {
  readonly values: Float32Array;
  readonly length: number;
  /** Components of 16 bits, scaled to length 1 and padded, and what one step of them is. */
  readonly steps: Int16Array;
  readonly step: number;
  /** Of its components, scaled to length 1, without their signs. */
  readonly sum: number;
  /** Its product with the centre, both scaled. */
  readonly ofCentre: number;
  /** How long what the rounding took away is. */
  readonly error: number;
}

/** `padded` is how many components of 16 bits there are to be. */
export function roundedQuery(
  vector: ArrayLike<number>,
  padded: number,
  centre: Float64Array,
): RoundedQuery {
  const values = Float32Array.from(vector);
  const length = lengthOf(values);
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  // So that no sum of products with 8 bits passes 32 bits.
  const step = largest / length / Math.min(32_767, Math.floor((2 ** 24 - 1) / padded));
  const steps = new Int16Array(padded);
  let error = 0;
  let sum = 0;
  let ofCentre = 0;
  for (let i = 0; i < values.length; i++) {
    const value = (values[i] as number) / length;
    sum += Math.abs(value);
    ofCentre += value * (centre[i] as number);
    const rounded = Math.round(value / step);
    steps[i] = rounded;
    error += (value - step * rounded) ** 2;
  }
  return { values, length, steps, step, sum, ofCentre, error: Math.sqrt(error) };
}

export function lengthOf(vector: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < vector.length; i++) sum += (vector[i] as number) ** 2;
  return Math.sqrt(sum);
}
