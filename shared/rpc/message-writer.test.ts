import {
  create,
  type DescEnum,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, test } from "vitest";
import { StatusSchema } from "../gen/google/rpc/status_pb.js";
import { EmbedResponseSchema } from "../gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { IngestionSchema } from "../gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { UnifiedSearchResponseSchema } from "../gen/mahavishnu/memory/v1/memory_service_pb.js";
import { FilterSchema } from "../gen/mahavishnu/type/v1/filter_pb.js";
import { DocumentSchema } from "../gen/mahavishnu/vectorstore/v1/document_pb.js";
import {
  SearchRequestSchema,
  SearchResponseSchema,
} from "../gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { writeMessage } from "./message-writer.ts";

function same<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>): void {
  const expected = toBinary(schema, create(schema, message));
  expect(Buffer.from(writeMessage(schema, message)).equals(expected)).toBe(true);
}

const text = fc.oneof(fc.string({ unit: "binary", maxLength: 40 }), fc.constant("é".repeat(200)));
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const json = fc.dictionary(text, fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<never>);
const time = fc.record({ seconds: fc.bigInt(-(2n ** 62n), 2n ** 62n), nanos: fc.nat(999_999_999) });
const floats = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { maxLength: 9 });
const document = fc.record(
  {
    id: text,
    content: text,
    vector: optional(
      fc.record({
        values: fc.oneof(
          floats,
          floats.map((one) => Float32Array.from(one)),
        ) as never,
      }),
    ),
    memoryType: fc.integer({ min: 0, max: 4 }),
    metadata: optional(json),
    createTime: optional(time),
  },
  { requiredKeys: [] },
);

test("writes what the library writes, of fields and of messages", () => {
  const hit = fc.record(
    {
      document,
      score: fc.float({ noNaN: true, noDefaultInfinity: true }),
      vectorScore: optional(fc.constantFrom(0, -0, 0.5)),
      passage: optional(fc.record({ start: fc.nat(), end: fc.nat() })),
    },
    { requiredKeys: [] },
  );
  const response = fc.record({ hits: fc.array(hit, { maxLength: 4 }) }, { requiredKeys: [] });
  fc.assert(
    fc.property(response, (message) => {
      same(SearchResponseSchema, message as never);
      same(SearchResponseSchema, create(SearchResponseSchema, message as never));
    }),
    { numRuns: 300 },
  );
});

test("writes every message of these kinds as the library does, whatever their bytes were", () => {
  const schemas = [
    SearchRequestSchema,
    UnifiedSearchResponseSchema,
    IngestionSchema,
    EmbedResponseSchema,
    FilterSchema,
    StatusSchema,
  ];
  fc.assert(
    fc.property(
      fc.constantFrom<DescMessage>(...schemas),
      fc.infiniteStream(fc.nat(5)),
      (schema, draws) => {
        same(schema, filled(schema, draws, 3).message);
      },
    ),
    { numRuns: 500 },
  );
});

/** A message with a drawn choice of its fields. */
function filled(schema: DescMessage, draws: Iterator<number>, depth: number): ReflectMessage {
  const message = reflect(schema);
  const draw = () => draws.next().value ?? 0;
  for (const field of schema.fields) {
    if (draw() < 2 || (field.message !== undefined && depth === 0)) continue;
    const one = () =>
      field.message !== undefined ? filled(field.message, draws, depth - 1) : scalar(field, draw());
    if (field.fieldKind === "list") {
      for (let i = draw(); i > 0; i--) message.get(field).add(one() as never);
    } else if (field.fieldKind === "map") {
      for (let i = draw(); i > 0; i--) message.get(field).set(`k${i}`, one() as never);
    } else message.set(field, one() as never);
  }
  return message;
}

interface ScalarOrEnum {
  readonly enum?: DescEnum | undefined;
  readonly scalar?: ScalarType | undefined;
}

function scalar(field: ScalarOrEnum, drawn: number): unknown {
  if (field.enum !== undefined) return drawn % 2;
  switch (field.scalar) {
    case ScalarType.STRING:
      return ["", "a", "ü".repeat(100), "x".repeat(300), "\0", "z"][drawn];
    case ScalarType.BYTES:
      return new Uint8Array(drawn);
    case ScalarType.BOOL:
      return drawn > 2;
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return BigInt(drawn) * 1_234_567_890_123n;
    default:
      return drawn;
  }
}

test("keeps fields that it does not know", () => {
  const bytes = Uint8Array.of(0x0a, 1, 0x78, 0xfa, 0x7f, 2, 1, 2);
  const message = fromBinary(DocumentSchema, bytes);
  expect(message.$unknown).toHaveLength(1);
  same(DocumentSchema, message);
  expect(Buffer.from(writeMessage(DocumentSchema, message)).equals(bytes)).toBe(true);
});

test("writes JSON values by themselves, and values of other names than plain ones", () => {
  same(DocumentSchema, { metadata: JSON.parse('{"__proto__": {"a": [null, [], {}]}, "": 1e300}') });
  same(ValueSchema, { kind: { case: "structValue", value: { fields: { a: {} } } } });
  same(FilterSchema, { node: { case: undefined } });
});

test.each([
  ["a fraction for an integer", { limit: 1.5 }],
  ["a number too large for a float", { minScore: 1e300 }],
  ["text for a message", { filter: "no" }],
  ["half a surrogate pair", { text: "\ud800" }],
])("says the same of %s", (_, message) => {
  const told = (write: () => unknown) => {
    try {
      return write();
    } catch (error) {
      return (error as Error).message;
    }
  };
  const given = message as never;
  expect(told(() => writeMessage(SearchRequestSchema, given))).toEqual(
    told(() => toBinary(SearchRequestSchema, create(SearchRequestSchema, given))),
  );
});
