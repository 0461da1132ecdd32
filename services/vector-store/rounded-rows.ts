/** No vector that is compared is longer: one of length 1 from a mean of such. */
export const longestRow = 2;

/** Steps of a component that is rounded to 8 bits, on each side of 0. */
const mostSteps = 127;

/** Of what is no number but 0: there is no step of 0. */
const leastStep = 1e-30;

/**
 * Vectors of fewer components are compared as quickly without axes; learning those of longer ones takes
 * too long. There are not more axes than these.
 */
const leastForAxes = 256;
const mostForAxes = 2_048;
const mostAxes = 256;

/** Of rows and of rows along the axes, as multiples of 16. */
export function lengthsOf(dimension: number): {
  readonly length: number;
  readonly leadLength: number;
} {
  const length = Math.ceil(dimension / 16) * 16;
  const axes = Math.min(mostAxes, Math.round(length / 96) * 16);
  const hasAxes = dimension >= leastForAxes && dimension <= mostForAxes;
  return { length, leadLength: hasAxes ? axes : 0 };
}

/**
 * What single precision makes of projections (Higham, Accuracy and Stability of Numerical Algorithms,
 * 3.1, for sums of four parts): of a vector of length 1, all components along the axes together are off
 * by `projected` at most, and the axes are at right angles but for `askew`.
 */
export function roundingOf(
  length: number,
  axes: number,
): { readonly slack: number; readonly lost: number } {
  const projected = (length / 4 + 4) * 2 ** -24 * Math.sqrt(axes);
  const askew = axes * 2 ** -22;
  return { slack: longestRow * (2 * projected + askew), lost: 2 * projected + askew };
}

/** Writes the numbers as steps of 8 bits; returns what one step is, and how long the rest is. */
export function roundTo8Bits(
  values: Float32Array,
  into: Int8Array,
): { readonly step: number; readonly error: number } {
  let largest = 0;
  for (let i = 0; i < values.length; i++)
    largest = Math.max(largest, Math.abs(values[i] as number));
  const step = Math.fround(Math.max(largest / mostSteps, leastStep));
  let error = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    const steps = Math.round(value / step);
    into[i] = steps;
    error += (value - step * steps) ** 2;
  }
  return { step, error: Math.sqrt(error) };
}
