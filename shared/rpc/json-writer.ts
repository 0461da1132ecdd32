import { type BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Numbers of `google.protobuf.Value`'s fields. */
const field = { null: 1, number: 2, text: 3, bool: 4, struct: 5, list: 6 } as const;

const { LengthDelimited, Varint, Bit64 } = WireType;

/** A JSON object as the fields of a `google.protobuf.Struct`. */
export function structWriter(writer: BinaryWriter, object: Readonly<Record<string, unknown>>) {
  for (const key of Object.keys(object)) {
    // An entry of the map `fields`.
    writer.tag(1, LengthDelimited).fork();
    writer.tag(1, LengthDelimited).string(key);
    writer.tag(2, LengthDelimited).fork();
    writeValue(writer, object[key]);
    writer.join();
    writer.join();
  }
}

/** The fields of a `google.protobuf.Value`; none for what JSON does not know. */
function writeValue(writer: BinaryWriter, value: unknown): void {
  switch (typeof value) {
    case "number":
      writer.tag(field.number, Bit64).double(value);
      return;
    case "string":
      writer.tag(field.text, LengthDelimited).string(value);
      return;
    case "boolean":
      writer.tag(field.bool, Varint).bool(value);
      return;
    case "object":
      if (value === null) writer.tag(field.null, Varint).int32(0);
      else if (Array.isArray(value)) writeList(writer, value);
      else {
        writer.tag(field.struct, LengthDelimited).fork();
        structWriter(writer, value as Record<string, unknown>);
        writer.join();
      }
  }
}

function writeList(writer: BinaryWriter, values: readonly unknown[]): void {
  writer.tag(field.list, LengthDelimited).fork();
  for (const value of values) {
    writer.tag(1, LengthDelimited).fork();
    writeValue(writer, value);
    writer.join();
  }
  writer.join();
}
