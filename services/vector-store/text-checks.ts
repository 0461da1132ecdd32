/** What is wrong with a text that must go into a database or a JSON value; undefined if nothing. */
export function textProblem(text: string): string | undefined {
  if (text.includes("\0")) return "must not hold NUL";
  if (!text.isWellFormed()) return "must be well-formed Unicode: it holds half a surrogate pair";
  return undefined;
}

/** As textProblem, and a length within bounds, in bytes of UTF-8. */
export function boundedTextProblem(text: string, min: number, max: number): string | undefined {
  if (text.length < min) return min === 1 ? "is required" : `must have at least ${min} bytes`;
  // A UTF-16 unit is at most three bytes; only long texts need to be counted.
  if (text.length * 3 > max && Buffer.byteLength(text) > max) {
    return `must have at most ${max} bytes`;
  }
  return textProblem(text);
}
