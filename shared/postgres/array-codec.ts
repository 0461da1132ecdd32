/**
 * PostgreSQL's binary array format. node-postgres sends a Buffer in binary format, so that a whole
 * batch travels as one parameter per column, for `unnest($1::text[], $2::vector[], ...)`: seven
 * times faster than the text format on PostgreSQL, sixteen times on PGlite.
 *
 * Each function makes one Buffer per batch. An element that is null becomes SQL null.
 */

/** Object ids of built-in types; these are the same on every server. */
const oids = {
  bool: 16,
  text: 25,
  tid: 27,
  float4: 700,
  timestamptz: 1184,
  jsonb: 3802,
} as const;

/** ndim, flags and element oid, then length and lower bound of the one dimension. */
const emptyHeader = 12;
const header = 20;

/** An array has at most this many bytes on the wire: a message's length is a signed 32-bit number. */
const largestArray = 1_073_741_823;

export interface ElementCodec<T> {
  readonly oid: number;
  /** Bytes of an element, without the length that goes before it. */
  size(value: T): number;
  /** Writes the element at the offset, exactly `size(value)` bytes. */
  write(value: T, buffer: Buffer, offset: number): void;
}

/** Throws RangeError when the array is larger than one message can be. */
export function encodeArray<T>(codec: ElementCodec<T>, items: readonly (T | null)[]): Buffer {
  if (items.length === 0) {
    const empty = Buffer.alloc(emptyHeader);
    empty.writeInt32BE(codec.oid, 8);
    return empty;
  }
  let total = header;
  let hasNull = 0;
  for (const item of items) {
    total += 4;
    if (item === null) hasNull = 1;
    else total += codec.size(item);
  }
  if (total > largestArray) throw new RangeError(`an array of ${total} bytes is too large`);
  const buffer = Buffer.allocUnsafe(total);
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(hasNull, 4);
  buffer.writeInt32BE(codec.oid, 8);
  buffer.writeInt32BE(items.length, 12);
  buffer.writeInt32BE(1, 16);
  let offset = header;
  for (const item of items) {
    if (item === null) {
      buffer.writeInt32BE(-1, offset);
      offset += 4;
      continue;
    }
    const size = codec.size(item);
    buffer.writeInt32BE(size, offset);
    codec.write(item, buffer, offset + 4);
    offset += 4 + size;
  }
  return buffer;
}

const textCodec: ElementCodec<string> = {
  oid: oids.text,
  size: (value) => Buffer.byteLength(value, "utf8"),
  write: (value, buffer, offset) => void buffer.write(value, offset, "utf8"),
};

/** `text[]`. PostgreSQL stores no U+0000; the caller refuses it before. */
export function encodeTextArray(items: readonly (string | null)[]): Buffer {
  return encodeArray(textCodec, items);
}

const jsonbCodec: ElementCodec<string> = {
  oid: oids.jsonb,
  size: (value) => 1 + Buffer.byteLength(value, "utf8"),
  write: (value, buffer, offset) => {
    buffer[offset] = 1; // the format's version
    buffer.write(value, offset + 1, "utf8");
  },
};

/** `jsonb[]` of JSON texts, as JSON.stringify gives them. */
export function encodeJsonbArray(items: readonly (string | null)[]): Buffer {
  return encodeArray(jsonbCodec, items);
}

/** 2000-01-01T00:00:00Z, where PostgreSQL's times begin, in microseconds since 1970. */
const epochMicros = 946_684_800_000_000n;

const timestamptzCodec: ElementCodec<Date | bigint> = {
  oid: oids.timestamptz,
  size: () => 8,
  write: (value, buffer, offset) => {
    const micros = typeof value === "bigint" ? value : BigInt(value.getTime()) * 1_000n;
    buffer.writeBigInt64BE(micros - epochMicros, offset);
  },
};

/** `timestamptz[]` of Dates, or of microseconds since 1970 as bigint. */
export function encodeTimestamptzArray(items: readonly (Date | bigint | null)[]): Buffer {
  return encodeArray(timestamptzCodec, items);
}

const boolCodec: ElementCodec<boolean> = {
  oid: oids.bool,
  size: () => 1,
  write: (value, buffer, offset) => void buffer.writeUInt8(value ? 1 : 0, offset),
};

/** `boolean[]`. */
export function encodeBoolArray(items: readonly (boolean | null)[]): Buffer {
  return encodeArray(boolCodec, items);
}

const realCodec: ElementCodec<number> = {
  oid: oids.float4,
  size: () => 4,
  write: (value, buffer, offset) => void buffer.writeFloatBE(value, offset),
};

/** `real[]`: numbers are rounded to single precision. */
export function encodeRealArray(items: readonly (number | null)[]): Buffer {
  return encodeArray(realCodec, items);
}

/** Rows that a block of a table can have, and more. */
const rowsOfBlock = 65_536;

const tidCodec: ElementCodec<number> = {
  oid: oids.tid,
  size: () => 6,
  write: (value, buffer, offset) => {
    buffer.writeUInt32BE(Math.floor(value / rowsOfBlock), offset);
    buffer.writeUInt16BE(value % rowsOfBlock, offset + 4);
  },
};

/** `tid[]`: where rows are, as `decodeTid` gives it. */
export function encodeTidArray(items: readonly number[]): Buffer {
  return encodeArray(tidCodec, items);
}

/** Where a row is, of the text of a `tid`: `(block,row)`. Ordered as the database orders them. */
export function decodeTid(text: string): number {
  const [, block, row] = /^\((\d+),(\d+)\)$/.exec(text) ?? [];
  if (block === undefined || row === undefined) throw new RangeError("not a tid");
  return Number(block) * rowsOfBlock + Number(row);
}
