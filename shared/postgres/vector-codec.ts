import { endianness } from "node:os";
import { type ElementCodec, encodeArray } from "./array-codec.ts";

/** The components of a vector; all finite once rounded to 32 bits. */
export type Floats = ArrayLike<number>;

/** What pgvector's type `vector` can store; an index holds at most 2,000. */
export const largestDimension = 16_000;

/** Dimension and an unused number, two bytes each, go before the components. */
const header = 4;

/**
 * A vector in pgvector's binary format, to be sent as a parameter `$1::vector`. Throws RangeError
 * for a dimension outside 1 to 16,000, and for a component that is NaN, infinite, or too large for
 * 32 bits.
 */
export function encodeVector(vector: Floats): Buffer {
  const buffer = Buffer.allocUnsafe(sizeOf(vector));
  writeVector(vector, buffer, 0);
  return buffer;
}

/**
 * Vectors as one parameter `$1::vector[]`, in one Buffer; null becomes SQL null. `vectorOid` is
 * the type's object id on this server: `await postgres.vectorOid()`. Throws as `encodeVector`.
 */
export function encodeVectorArray(vectors: readonly (Floats | null)[], vectorOid: number): Buffer {
  const codec: ElementCodec<Floats> = { oid: vectorOid, size: sizeOf, write: writeVector };
  return encodeArray(codec, vectors);
}

/**
 * A vector that was read: as text (`[1,2,3]`), which a column of type vector gives, or in binary
 * format, which `vector_send(column)` gives as a Buffer and which is faster. Throws RangeError for
 * anything else.
 */
export function decodeVector(value: string | Uint8Array): Float32Array {
  return typeof value === "string" ? decodeText(value) : decodeBinary(value);
}

function sizeOf(vector: Floats): number {
  const dimension = vector.length;
  if (dimension < 1 || dimension > largestDimension) {
    throw new RangeError(`a vector has 1 to ${largestDimension} dimensions, not ${dimension}`);
  }
  return header + 4 * dimension;
}

function writeVector(vector: Floats, buffer: Buffer, offset: number): void {
  buffer.writeInt16BE(vector.length, offset);
  buffer.writeInt16BE(0, offset + 2);
  if (vector instanceof Float32Array && littleEndian) writeFloats(vector, buffer, offset + header);
  else writeNumbers(vector, buffer, offset + header);
}

const littleEndian = endianness() === "LE";

/** As they are in memory, and then turned around: a fifth of the time that one by one takes. */
function writeFloats(vector: Float32Array, buffer: Buffer, start: number): void {
  for (let i = 0; i < vector.length; i++) checkFinite(vector[i], i);
  const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  buffer.set(bytes, start);
  buffer.subarray(start, start + bytes.length).swap32();
}

function writeNumbers(vector: Floats, buffer: Buffer, start: number): void {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  for (let i = 0; i < vector.length; i++) {
    // Rounded before the check: 1e39 is finite here and infinite in 32 bits.
    const component = Math.fround(vector[i] ?? Number.NaN);
    checkFinite(component, i);
    view.setFloat32(start + 4 * i, component);
  }
}

function checkFinite(component: number | undefined, i: number): void {
  if (Number.isFinite(component)) return;
  throw new RangeError(`component ${i} is not a finite number`);
}

function decodeBinary(value: Uint8Array): Float32Array {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const dimension = value.byteLength < header ? -1 : view.getInt16(0);
  if (value.byteLength !== header + 4 * dimension) throw new RangeError("not a vector");
  const vector = new Float32Array(dimension);
  for (let i = 0; i < dimension; i++) vector[i] = view.getFloat32(header + 4 * i);
  return vector;
}

function decodeText(value: string): Float32Array {
  if (!value.startsWith("[") || !value.endsWith("]")) throw new RangeError("not a vector");
  const parts = value.slice(1, -1).split(",");
  const vector = new Float32Array(parts.length);
  for (const [i, part] of parts.entries()) {
    const component = part.trim() === "" ? Number.NaN : Number(part);
    if (!Number.isFinite(component)) throw new RangeError("not a vector");
    vector[i] = component;
  }
  return vector;
}
