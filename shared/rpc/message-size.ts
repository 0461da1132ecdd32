/** A tag, a length, and what an entry of a map has around its two parts. */
const frameBytes = 32;
/** The longest number: a negative one as a varint. */
const numberBytes = 10;

/**
 * Bytes that a message, or the fields of one, have at most on the wire, JSON within it included:
 * UTF-8 takes three bytes for a UTF-16 unit at most. It is far above what they have, and costs a
 * tenth of finding that out; so it answers whether they fit where there is much more room.
 */
export function mostBytes(value: unknown): number {
  switch (typeof value) {
    case "string":
      return frameBytes + 3 * value.length;
    case "object":
      if (value === null) return frameBytes;
      if (ArrayBuffer.isView(value)) return frameBytes + value.byteLength;
      return Array.isArray(value) ? listBytes(value) : fieldsBytes(value as Fields);
    default:
      return frameBytes + numberBytes;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function listBytes(values: readonly unknown[]): number {
  let sum = frameBytes;
  for (const value of values) sum += frameBytes + mostBytes(value);
  return sum;
}

function fieldsBytes(fields: Fields): number {
  let sum = frameBytes;
  for (const key in fields) {
    // A key travels where the object is a map or JSON.
    sum += frameBytes + 3 * key.length + mostBytes(fields[key]);
  }
  return sum;
}
