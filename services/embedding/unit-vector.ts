/** What is wrong with an answer that should be a vector; undefined where nothing is. */
export function vectorFault(values: readonly unknown[], dimension: number): string | undefined {
  if (values.length !== dimension) return `has ${values.length} components, not ${dimension}`;
  let zero = true;
  for (const value of values) {
    if (typeof value !== "number" || !Number.isFinite(value)) return "holds what is no number";
    if (value !== 0) zero = false;
  }
  return zero ? "is all zeros" : undefined;
}

/**
 * The vector of length 1 in the same direction. It divides by the largest component first, so that
 * neither huge nor tiny components overflow or vanish. Undefined for the zero vector.
 */
export function unitVector(values: ArrayLike<number>): Float32Array | undefined {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i] ?? 0);
    if (size > largest) largest = size;
  }
  if (largest === 0) return undefined;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const scaled = (values[i] ?? 0) / largest;
    sum += scaled * scaled;
  }
  const length = Math.sqrt(sum);
  const unit = new Float32Array(values.length);
  for (let i = 0; i < unit.length; i++) unit[i] = (values[i] ?? 0) / largest / length;
  return unit;
}
