import { create, createFileRegistry, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { messageCodec } from "./float-lists.ts";

const { OPTIONAL, REPEATED } = Label;
const { MESSAGE, FLOAT, STRING } = Type;
const floats = ".test.Floats";
const holder = ".test.Holder";

// One field of every kind that can lead to a float list.
const file = create(FileDescriptorProtoSchema, {
  name: "test.proto",
  package: "test",
  syntax: "proto3",
  messageType: [
    {
      name: "Floats",
      field: [{ name: "values", number: 1, label: REPEATED, type: FLOAT }],
    },
    {
      name: "Holder",
      oneofDecl: [{ name: "kind" }],
      field: [
        { name: "name", number: 1, label: OPTIONAL, type: STRING },
        { name: "one", number: 2, label: OPTIONAL, type: MESSAGE, typeName: floats },
        { name: "many", number: 3, label: REPEATED, type: MESSAGE, typeName: floats },
        {
          name: "chosen",
          number: 4,
          label: OPTIONAL,
          type: MESSAGE,
          typeName: floats,
          oneofIndex: 0,
        },
        { name: "word", number: 5, label: OPTIONAL, type: STRING, oneofIndex: 0 },
        { name: "inner", number: 6, label: OPTIONAL, type: MESSAGE, typeName: holder },
        { name: "parts", number: 7, label: REPEATED, type: MESSAGE, typeName: holder },
        { name: "numbers", number: 8, label: REPEATED, type: FLOAT },
      ],
    },
    {
      name: "Named",
      nestedType: [
        {
          name: "ByNameEntry",
          options: { mapEntry: true },
          field: [
            { name: "key", number: 1, label: OPTIONAL, type: STRING },
            { name: "value", number: 2, label: OPTIONAL, type: MESSAGE, typeName: floats },
          ],
        },
      ],
      field: [
        {
          name: "by_name",
          number: 1,
          label: REPEATED,
          type: MESSAGE,
          typeName: ".test.Named.ByNameEntry",
        },
        { name: "one", number: 2, label: OPTIONAL, type: MESSAGE, typeName: floats },
      ],
    },
  ],
});
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));

function schemaOf(name: string) {
  const schema = registry.getMessage(`test.${name}`);
  if (schema === undefined) throw new Error(`no ${name}`);
  return schema;
}

const Holder = schemaOf("Holder");
const codec = messageCodec(Holder);

type HolderInit = {
  name?: string;
  one?: { values: number[] };
  many?: { values: number[] }[];
  kind?: { case: "chosen"; value: { values: number[] } } | { case: "word"; value: string };
  inner?: HolderInit | undefined;
  parts?: readonly HolderInit[];
  numbers?: number[];
};

const list = fc.record({ values: fc.array(fc.float(), { maxLength: 50 }) });
const { tree } = fc.letrec<{ tree: HolderInit }>((tie) => ({
  tree: fc.record(
    {
      name: fc.string(),
      one: list,
      many: fc.array(list, { maxLength: 3 }),
      kind: fc.oneof(
        fc.record({ case: fc.constant("chosen" as const), value: list }),
        fc.record({ case: fc.constant("word" as const), value: fc.string() }),
      ),
      inner: fc.option(tie("tree"), { nil: undefined, maxDepth: 2 }),
      parts: fc.oneof({ maxDepth: 2 }, fc.constant([]), fc.array(tie("tree"), { maxLength: 2 })),
      numbers: fc.array(fc.float(), { maxLength: 3 }),
    },
    { requiredKeys: [] },
  ),
}));

/** Arrays where Float32Arrays are, so that messages of both decoders compare. */
function plain(value: unknown): unknown {
  if (value instanceof Float32Array) return [...value];
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

describe("messages with float lists", () => {
  test("are written and read as protobuf-es does, wherever the lists are", () => {
    fc.assert(
      fc.property(tree, (init) => {
        const message = create(Holder, init);
        const bytes = toBinary(Holder, message);
        expect(codec.encode(message)).toEqual(bytes);
        const read = codec.decode(bytes);
        expect(plain(read)).toEqual(plain(fromBinary(Holder, bytes)));
        expect(codec.encode(read)).toEqual(bytes);
      }),
      { numRuns: 300 },
    );
  });

  test("give them as Float32Arrays, empty ones too, and tell them from none", () => {
    const bytes = codec.encode(create(Holder, { one: { values: [] }, many: [{ values: [1.5] }] }));
    const read = codec.decode(bytes) as Message & Record<string, unknown>;
    expect(read.one).toEqual({ $typeName: "test.Floats", values: new Float32Array() });
    expect(read.many).toEqual([{ $typeName: "test.Floats", values: new Float32Array([1.5]) }]);
    expect((codec.decode(codec.encode(create(Holder, {}))) as typeof read).one).toBeUndefined();
  });

  test("leave the message that is written as it was", () => {
    const message = create(Holder, { parts: [{ one: { values: [1] } }] });
    const before = structuredClone(message);
    codec.encode(message);
    expect(message).toEqual(before);
  });

  test("round to 32 bits and keep what is not finite", () => {
    const given = [0.1, Number.NaN, Number.NEGATIVE_INFINITY, -0];
    const read = codec.decode(codec.encode(create(Holder, { one: { values: given } })));
    expect(read).toMatchObject({ one: { values: new Float32Array(given) } });
  });

  test("are read where a list comes in other forms than writers choose", () => {
    const unpacked = new BinaryWriter();
    for (const value of [1, 2]) unpacked.tag(1, WireType.Bit32).float(value);
    const pieces = new BinaryWriter();
    pieces.tag(1, WireType.LengthDelimited).fork().float(1).join();
    pieces.tag(1, WireType.LengthDelimited).fork().float(2).join();
    const unknown = new BinaryWriter();
    unknown.tag(1, WireType.LengthDelimited).fork().float(1).float(2).join();
    unknown.tag(9, WireType.Varint).uint32(7);
    for (const writer of [unpacked, pieces, unknown]) {
      const field = new BinaryWriter().tag(2, WireType.LengthDelimited);
      const bytes = field.bytes(writer.finish()).finish();
      const read = codec.decode(bytes);
      expect(read).toMatchObject({ one: { values: new Float32Array([1, 2]) } });
      expect(codec.encode(read)).toEqual(toBinary(Holder, fromBinary(Holder, bytes)));
    }
  });

  test("are refused where bytes are missing", () => {
    const bytes = codec.encode(create(Holder, { one: { values: [1, 2, 3] } }));
    for (let size = 1; size < bytes.length; size++) {
      expect(() => codec.decode(bytes.subarray(0, size))).toThrow();
    }
    const half = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(new Uint8Array(6));
    const holding = new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(half.finish());
    expect(() => codec.decode(holding.finish())).toThrow();
  });

  test("are decoded the usual way where a map holds lists", () => {
    const Named = schemaOf("Named");
    const message = create(Named, { byName: { a: { values: [1, 2] } }, one: { values: [3] } });
    const { decode, encode } = messageCodec(Named);
    expect(encode(message)).toEqual(toBinary(Named, message));
    expect(decode(toBinary(Named, message))).toEqual(message);
  });
});
