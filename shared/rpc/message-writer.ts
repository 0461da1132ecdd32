import { endianness } from "node:os";
import {
  create,
  type DescField,
  type DescMessage,
  type MessageInitShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Edition, FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { structWriter } from "./json-writer.ts";
import { everyWithin, isFloatList } from "./message-parts.ts";

type Fields = Readonly<Record<string, unknown>>;
type WriteFields = (writer: BinaryWriter, message: Fields) => void;
type WriteValue = (writer: BinaryWriter, value: unknown) => void;
type WriteMessage = (message: Fields) => Uint8Array;

const writers = new WeakMap<DescMessage, WriteMessage>();

/**
 * The bytes of what `create` takes: a message, or the fields of one. They are those that
 * `toBinary(schema, create(schema, message))` gives, without the objects that are made on the way:
 * a message of each part, and for metadata one of each value. Answers of many records are mostly
 * that. Throws where it is no such message.
 */
export function writeMessage<Desc extends DescMessage>(
  schema: Desc,
  message: MessageInitShape<Desc>,
): Uint8Array {
  let write = writers.get(schema);
  if (write === undefined) {
    write = writerOf(schema);
    writers.set(schema, write);
  }
  return write(message as Fields);
}

function writerOf(schema: DescMessage): WriteMessage {
  const stock: WriteMessage = (message) => toBinary(schema, create(schema, message));
  if (!everyWithin(schema).every(isPlain)) return stock;
  const write = fieldsWriter(schema, new Map());
  return (message) => {
    try {
      write(desk, message);
      const bytes = desk.finish();
      if (bytes.length > largestKept) desk = new BinaryWriter();
      return bytes;
    } catch {
      desk = new BinaryWriter();
      // What is wrong with a value is best said in the library's own words.
      return stock(message);
    }
  };
}

/** One for all messages, which are written one after the other: its memory has grown already. */
let desk = new BinaryWriter();
const largestKept = 256 * 1024;

const wrapper = /^google\.protobuf\.(Double|Float|U?Int64|U?Int32|Bool|String|Bytes)Value$/;

/** Whether a message is as those of our contract are; others are left to the library. */
function isPlain({ file, fields, typeName }: DescMessage): boolean {
  return (
    file.edition === Edition.EDITION_PROTO3 &&
    !wrapper.test(typeName) &&
    fields.every((field) => field.fieldKind !== "map" || field.mapKey === ScalarType.STRING)
  );
}

/** Messages may contain themselves, so a writer is known before it is complete. */
function fieldsWriter(schema: DescMessage, known: Map<DescMessage, WriteFields>): WriteFields {
  const before = known.get(schema);
  if (before !== undefined) return before;
  const each: WriteFields[] = [];
  const write: WriteFields = (writer, message) => {
    for (const one of each) one(writer, message);
    // Fields that were read and not known; `create` does not take them over from what is no message.
    if (message["$unknown"] === undefined || message["$typeName"] === undefined) return;
    for (const { no, wireType, data } of message["$unknown"] as UnknownField[]) {
      writer.tag(no, wireType).raw(data);
    }
  };
  known.set(schema, write);
  const inOrder = schema.fields.toSorted((a, b) => a.number - b.number);
  for (const field of inOrder) each.push(fieldWriter(field, known));
  return write;
}

interface UnknownField {
  readonly no: number;
  readonly wireType: WireType;
  readonly data: Uint8Array;
}

function fieldWriter(field: DescField, known: Map<DescMessage, WriteFields>): WriteFields {
  if (field.fieldKind === "list") return listWriter(field, known);
  if (field.fieldKind === "map") return mapWriter(field, known);
  const name = field.localName;
  const write = valueWriter(field, field.number, known);
  if (field.oneof !== undefined) {
    const group = field.oneof.localName;
    return (writer, message) => {
      const chosen = message[group] as { case?: string; value?: unknown } | null | undefined;
      if (chosen?.case === name) write(writer, chosen.value);
    };
  }
  const isZero =
    field.presence === FeatureSet_FieldPresence.IMPLICIT ? zeroTest(field) : () => false;
  return (writer, message) => {
    const value = message[name];
    if (value !== undefined && value !== null && !isZero(value)) write(writer, value);
  };
}

/** Values that are not written where a field has no presence. */
function zeroTest(field: DescField): (value: unknown) => boolean {
  if (field.fieldKind === "enum") return (value) => value === 0;
  switch (field.scalar) {
    case ScalarType.BOOL:
      return (value) => value === false;
    case ScalarType.STRING:
      return (value) => value === "";
    case ScalarType.BYTES:
      return (value) => (value as Uint8Array).length === 0;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      // Minus zero is another value.
      return (value) => Object.is(value, 0);
    default:
      return (value) => value === 0 || value === 0n || value === "0";
  }
}

function listWriter(
  field: DescField & { fieldKind: "list" },
  known: Map<DescMessage, WriteFields>,
): WriteFields {
  const name = field.localName;
  const { number } = field;
  if (field.listKind === "message" || !field.packed) {
    const write = valueWriter(field, number, known);
    return (writer, message) => {
      for (const item of (message[name] ?? []) as unknown[]) write(writer, item);
    };
  }
  const { write } = scalarWriter(field.listKind === "enum" ? ScalarType.INT32 : field.scalar);
  return (writer, message) => {
    const items = (message[name] ?? []) as ArrayLike<unknown>;
    if (items.length === 0) return;
    writer.tag(number, WireType.LengthDelimited).fork();
    for (let i = 0; i < items.length; i++) write(writer, items[i]);
    writer.join();
  };
}

function mapWriter(
  field: DescField & { fieldKind: "map" },
  known: Map<DescMessage, WriteFields>,
): WriteFields {
  const name = field.localName;
  const { number } = field;
  const write = valueWriter(field, 2, known);
  return (writer, message) => {
    for (const [key, value] of Object.entries((message[name] ?? {}) as object)) {
      writer.tag(number, WireType.LengthDelimited).fork();
      writer.tag(1, WireType.LengthDelimited).string(key);
      write(writer, value);
      writer.join();
    }
  };
}

/** One value, with its tag. */
function valueWriter(
  field: DescField,
  number: number,
  known: Map<DescMessage, WriteFields>,
): WriteValue {
  if (field.message === undefined) {
    const scalar = field.enum !== undefined ? ScalarType.INT32 : field.scalar;
    const { wireType, write } = scalarWriter(scalar as ScalarType);
    return (writer, value) => {
      writer.tag(number, wireType);
      write(writer, value);
    };
  }
  const write = bodyWriter(field, field.message, known);
  return (writer, value) => {
    if (value !== undefined && (typeof value !== "object" || value === null)) {
      throw new TypeError("not a message");
    }
    writer.tag(number, WireType.LengthDelimited).fork();
    if (value !== undefined) write(writer, value as Fields);
    writer.join();
  };
}

function bodyWriter(
  field: DescField,
  schema: DescMessage,
  known: Map<DescMessage, WriteFields>,
): WriteFields {
  // Everywhere but within a Value, it is JSON.
  const isJson =
    schema.typeName === "google.protobuf.Struct" &&
    field.parent.typeName !== "google.protobuf.Value";
  if (isJson) return structWriter;
  const write = fieldsWriter(schema, known);
  return isFloatList(schema) && endianness() === "LE" ? floatListWriter(schema, write) : write;
}

/** Floats are in memory as they are on the wire, and are copied as a whole. */
function floatListWriter({ fields: [list] }: DescMessage, write: WriteFields): WriteFields {
  const name = list?.localName ?? "";
  const number = list?.number ?? 0;
  return (writer, message) => {
    const values = message[name] as ArrayLike<number> | undefined;
    if (values === undefined || values.length === 0 || message["$unknown"] !== undefined) {
      write(writer, message);
      return;
    }
    const floats = values instanceof Float32Array ? values : Float32Array.from(values);
    const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
    writer.tag(number, WireType.LengthDelimited).bytes(bytes);
  };
}

interface ScalarWriter {
  readonly wireType: WireType;
  readonly write: WriteValue;
}

function scalarWriter(type: ScalarType): ScalarWriter {
  const writer = scalarWriters[type];
  return {
    wireType: writer[0],
    // The writer checks what it is given.
    write: writer[1] as WriteValue,
  };
}

const { Varint, Bit64, Bit32, LengthDelimited } = WireType;
type Long = string | number | bigint;

const scalarWriters: Readonly<
  Record<ScalarType, readonly [WireType, (writer: BinaryWriter, value: never) => void]>
> = {
  [ScalarType.DOUBLE]: [Bit64, (writer, value: number) => writer.double(value)],
  [ScalarType.FLOAT]: [Bit32, (writer, value: number) => writer.float(value)],
  [ScalarType.INT64]: [Varint, (writer, value: Long) => writer.int64(value)],
  [ScalarType.UINT64]: [Varint, (writer, value: Long) => writer.uint64(value)],
  [ScalarType.INT32]: [Varint, (writer, value: number) => writer.int32(value)],
  [ScalarType.FIXED64]: [Bit64, (writer, value: Long) => writer.fixed64(value)],
  [ScalarType.FIXED32]: [Bit32, (writer, value: number) => writer.fixed32(value)],
  [ScalarType.BOOL]: [Varint, (writer, value: boolean) => writer.bool(value)],
  [ScalarType.STRING]: [LengthDelimited, (writer, value: string) => writer.string(value)],
  [ScalarType.BYTES]: [
    LengthDelimited,
    (writer, value: Uint8Array | number[]) =>
      writer.bytes(Array.isArray(value) ? Uint8Array.from(value) : value),
  ],
  [ScalarType.UINT32]: [Varint, (writer, value: number) => writer.uint32(value)],
  [ScalarType.SFIXED32]: [Bit32, (writer, value: number) => writer.sfixed32(value)],
  [ScalarType.SFIXED64]: [Bit64, (writer, value: Long) => writer.sfixed64(value)],
  [ScalarType.SINT32]: [Varint, (writer, value: number) => writer.sint32(value)],
  [ScalarType.SINT64]: [Varint, (writer, value: Long) => writer.sint64(value)],
};
