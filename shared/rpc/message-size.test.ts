import fc from "fast-check";
import { expect, test } from "vitest";
import { IngestionSchema } from "../gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { SearchResultSchema } from "../gen/mahavishnu/memory/v1/search_pb.js";
import { DocumentSchema } from "../gen/mahavishnu/vectorstore/v1/document_pb.js";
import { mostBytes } from "./message-size.ts";
import { writeMessage } from "./message-writer.ts";

test("is never less than a message has, whatever metadata and text are", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 60 });
  const message = fc.record(
    {
      id: text,
      content: text,
      metadata: fc.dictionary(text, fc.jsonValue() as fc.Arbitrary<never>),
      score: fc.float({ noNaN: true, noDefaultInfinity: true }),
      foundIn: fc.array(fc.constantFrom(1, 2)),
      createTime: fc.record({ seconds: fc.bigInt(-(2n ** 62n), 2n ** 62n), nanos: fc.nat() }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(message, (one) => {
      const bytes = writeMessage(SearchResultSchema, one as never).byteLength;
      expect(mostBytes(one)).toBeGreaterThanOrEqual(bytes);
    }),
  );
});

test("counts vectors, maps, negative numbers and lists of small values", () => {
  const vector = { values: new Float32Array(1_000) };
  const deep = JSON.parse(`${'{"":['.repeat(50)}1${"]}".repeat(50)}`);
  const document = { vector, metadata: { deep, many: Array.from({ length: 1_000 }, () => null) } };
  const written = writeMessage(DocumentSchema, document as never);
  expect(mostBytes(document)).toBeGreaterThan(written.byteLength);
  const counts = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`${i}`, -1n]));
  const ingestion = { filesSkipped: counts, error: "ü".repeat(500) } as never;
  expect(mostBytes(ingestion)).toBeGreaterThan(writeMessage(IngestionSchema, ingestion).byteLength);
});
