import fc from "fast-check";
import type { NewDocument } from "../../services/vector-store/document.ts";
import {
  type Bound,
  type Condition,
  type Filter,
  type MetadataTest,
  type Test,
  type TextTest,
  textFields,
  timeFields,
} from "../../services/vector-store/filter.ts";
import { type Instant, parseInstant } from "../../services/vector-store/instant.ts";
import type { JsonObject, JsonValue, PresentJson } from "../../services/vector-store/json.ts";
import { newDocument, vectorOf } from "./document-store-samples.ts";

/** Few values, so that random filters hit random documents; hostile ones among them. */
const words = [
  "a",
  "A",
  "ab",
  "b",
  "Ä",
  "ä",
  "z",
  "🦄",
  "￮",
  "'",
  '"',
  "\\",
  "%",
  "_",
  "$1",
  "1",
  "null",
  "true",
  "'; drop table memories; --",
];
const keys = ["a", "b", "a.b", "0", "-1", "$", "'", "constructor", "ä"];
const numbers = [0, -0, 1, -1, 1.5, 0.1, 1e21, -1e-7, 2 ** 53, 1.7976931348623157e308, 5e-324];
const times: Instant[] = [
  "2001-01-01T00:00:00Z",
  "2001-01-01T00:00:00.000001Z",
  "2020-02-29T23:59:59.999999Z",
  "2099-12-31T00:00:00Z",
  "0001-01-01T00:00:00Z",
  "9999-12-31T23:59:59.999999Z",
].map((text) => parseInstant(text) ?? 0n);

const word = fc
  .oneof(fc.constantFrom(...words), fc.string({ maxLength: 3, unit: "binary" }))
  .map((text) => text.replaceAll("\0", "0").toWellFormed());
const key = fc.constantFrom(...keys);
const number = fc.constantFrom(...numbers);
const instant = fc.constantFrom(...times);

const scalar: fc.Arbitrary<PresentJson> = fc.oneof(word, number, fc.boolean());
const { json, object } = fc.letrec<{ json: JsonValue; object: JsonObject }>((tie) => ({
  object: fc.dictionary(key, tie("json"), { maxKeys: 3 }),
  json: fc.oneof(
    { maxDepth: 3 },
    scalar,
    fc.constant(null),
    fc.array(tie("json"), { maxLength: 3 }),
    tie("object"),
  ),
}));
const present = json.filter((value): value is PresentJson => value !== null);

/** A document, its id made of its position so that no two have one. */
export const documentArbitrary: fc.Arbitrary<(position: number) => NewDocument> = fc
  .record({
    memoryType: fc.constantFrom("agent", "rag", "workflow", "insight"),
    sourceSystem: word.filter((one) => one !== ""),
    agentId: fc.option(word, { nil: undefined }),
    workflowId: fc.option(word, { nil: undefined }),
    repoId: fc.option(word, { nil: undefined }),
    metadata: object,
    createTime: fc.option(
      instant.filter((one) => one < (times[3] ?? 0n)),
      { nil: undefined },
    ),
    expireTime: fc.option(
      instant.filter((one) => one >= (times[3] ?? 0n)),
      { nil: undefined },
    ),
    vector: fc.option(fc.nat(5).map(vectorOf), { nil: undefined }),
    idStem: word,
  })
  .map(
    ({ metadata, idStem, agentId, workflowId, repoId, ...given }) =>
      (position) =>
        newDocument(`content ${position}`, {
          ...given,
          // Empty means none.
          agentId: agentId || undefined,
          workflowId: workflowId || undefined,
          repoId: repoId || undefined,
          id: `${idStem}#${position}`,
          metadata: JSON.stringify(metadata),
        }),
  );

function testOf<T, R>(value: fc.Arbitrary<T>, bound: fc.Arbitrary<R>): fc.Arbitrary<Test<T, R>> {
  const bounds: fc.Arbitrary<Bound<R>[]> = fc
    .record({
      low: fc.option(fc.record({ comparison: fc.constantFrom("gt", "gte"), value: bound })),
      high: fc.option(fc.record({ comparison: fc.constantFrom("lt", "lte"), value: bound })),
    })
    .map(({ low, high }) => [low, high].filter((one) => one !== null))
    .filter((list) => list.length > 0);
  return fc.oneof(
    fc.record({ kind: fc.constant("equals" as const), value }),
    fc.record({
      kind: fc.constant("one_of" as const),
      values: fc.array(value, { minLength: 1, maxLength: 4 }),
    }),
    fc.record({ kind: fc.constant("range" as const), bounds }),
    fc.record({ kind: fc.constant("exists" as const), exists: fc.boolean() }),
  );
}

const textTest: fc.Arbitrary<TextTest> = fc.oneof(
  testOf(word, word),
  fc.record({ kind: fc.constant("contains" as const), text: word }),
);
const metadataTest: fc.Arbitrary<MetadataTest> = fc.oneof(
  testOf<PresentJson, string | number>(present, word),
  testOf<PresentJson, string | number>(present, number),
  fc.record({ kind: fc.constant("contains" as const), value: present }),
);
const memoryTypeTest = fc.constantFrom("agent", "rag", "workflow", "insight");

const condition: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({
    on: fc.constant("text" as const),
    field: fc.constantFrom(...textFields.filter((one) => one !== "memory_type")),
    test: textTest,
  }),
  fc.record({
    on: fc.constant("text" as const),
    field: fc.constant("memory_type" as const),
    test: testOf(memoryTypeTest, memoryTypeTest),
  }),
  fc.record({
    on: fc.constant("time" as const),
    field: fc.constantFrom(...timeFields),
    test: testOf(instant, instant),
  }),
  fc.record({ on: fc.constant("vector" as const), exists: fc.boolean() }),
  fc.record({
    on: fc.constant("metadata" as const),
    path: fc.array(key, { minLength: 1, maxLength: 3 }),
    test: metadataTest,
  }),
  fc.record({
    on: fc.constant("metadata" as const),
    path: fc.array(key, { minLength: 1, maxLength: 1 }),
    test: metadataTest,
  }),
);

export const filterArbitrary: fc.Arbitrary<Filter> = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { maxDepth: 4 },
    fc.record({ node: fc.constant("condition" as const), condition }),
    fc.record({
      node: fc.constantFrom("all", "any"),
      filters: fc.array(tie("filter"), { minLength: 1, maxLength: 3 }),
    }),
    fc.record({ node: fc.constant("not" as const), filter: tie("filter") }),
  ),
})).filter;
