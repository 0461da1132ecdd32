import { longestRow } from "./rounded-rows.ts";
import { lengthOf } from "./vector-length.ts";

/** Largest step of 16 bits on each side of 0. */
const mostSteps = 32_767;

/** Numbers of 16 bits, as rows of 8 bits are compared with them. */
interface RoundedNumbers {
  /** Padded with 0. */
  readonly steps: Int16Array;
  /** What one step is. */
  readonly step: number;
  /** Of the numbers, without their signs. */
  readonly sum: number;
  /** How long they are, and how long what the rounding took away is. */
  readonly length: number;
  readonly error: number;
}

/** `padded` is how many numbers of 16 bits there are to be. */
function roundedNumbers(values: ArrayLike<number>, padded: number): RoundedNumbers {
  let largest = 0;
  for (let i = 0; i < values.length; i++)
    largest = Math.max(largest, Math.abs(values[i] as number));
  // So that no sum of products with 8 bits passes 32 bits.
  const step = largest / Math.min(mostSteps, Math.floor((2 ** 24 - 1) / padded)) || 1;
  const steps = new Int16Array(padded);
  let error = 0;
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    sum += Math.abs(value);
    squares += value ** 2;
    const rounded = Math.round(value / step);
    steps[i] = rounded;
    error += (value - step * rounded) ** 2;
  }
  return { steps, step, sum, length: Math.sqrt(squares), error: Math.sqrt(error) };
}

/**
 * What to compare rows with, and what bounds their products: `base + step * product * scale +
 * min(error * ofError, step * ofStep) + error * ofBoth + rest * ofRest`, of step, error and rest of a
 * row.
 */
export interface Comparison {
  readonly steps: Int16Array;
  readonly base: number;
  readonly scale: number;
  readonly ofError: number;
  readonly ofStep: number;
  readonly ofBoth: number;
  readonly ofRest: number;
}

/** A query as rows are compared with it. */
export interface KnownQuery {
  /** As it came, of single precision. */
  readonly values: Float32Array;
  readonly length: number;
  /** Scaled to length 1. */
  readonly unit: Float32Array;
  /** The product of `unit` with the centre. */
  readonly ofCentre: number;
  /** With the rows of 8 bits. */
  readonly coarse: Comparison;
}

/** More than what single precision does to a bound, and to a similarity. */
const singlePrecision = 2 ** -18;

export function knownQuery(
  vector: ArrayLike<number>,
  padded: number,
  centre: Float64Array,
): KnownQuery {
  const values = Float32Array.from(vector);
  const length = lengthOf(values);
  const unit = new Float32Array(padded);
  let ofCentre = 0;
  for (let i = 0; i < values.length; i++) {
    const value = (values[i] as number) / length;
    unit[i] = value;
    ofCentre += value * (centre[i] as number);
  }
  const { steps, step, sum, error } = roundedNumbers(unit, padded);
  const coarse = {
    steps,
    base: ofCentre + error * longestRow + singlePrecision,
    scale: step,
    ofError: 1,
    // Half a step is the largest error of a component.
    ofStep: sum / 2,
    ofBoth: error,
    // All components are compared. What stands where the rest would is a number, whatever it says.
    ofRest: 0,
  };
  return { values, length, unit, ofCentre, coarse };
}

/**
 * The same with rows along axes: what no axis shows of query and row can have no larger product than
 * the product of their lengths (Cauchy-Schwarz). `slack` is what the rounding of projections can do
 * to the product, `lost` to the square of the query's length.
 */
export function leadComparison(
  along: ArrayLike<number>,
  padded: number,
  ofCentre: number,
  { slack, lost }: { readonly slack: number; readonly lost: number },
): Comparison {
  const { steps, step, sum, length, error } = roundedNumbers(along, padded);
  return {
    steps,
    base: ofCentre + error * longestRow + slack + singlePrecision,
    scale: step,
    ofError: length,
    ofStep: sum / 2,
    ofBoth: error,
    ofRest: Math.sqrt(Math.max(0, 1 - length ** 2 + lost)),
  };
}
