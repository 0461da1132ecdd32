import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  decodeTid,
  encodeBoolArray,
  encodeJsonbArray,
  encodeRealArray,
  encodeTextArray,
  encodeTidArray,
  encodeTimestamptzArray,
} from "../../shared/postgres/array-codec.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import {
  decodeVector,
  encodeVector,
  encodeVectorArray,
} from "../../shared/postgres/vector-codec.ts";
import { describeEachStore } from "../harness/postgres.ts";

describeEachStore("binary parameters", (_kind, database) => {
  let postgres: Postgres;
  let vectorOid: number;

  beforeEach(async () => {
    postgres = database().open();
    vectorOid = await postgres.vectorOid();
  });
  afterEach(async () => {
    await postgres[Symbol.asyncDispose]();
  });

  /** What the server makes of an array parameter, as JSON. */
  const read = async (parameter: Buffer, type: string, column = "x") => {
    const { rows } = await postgres.query<{ x: unknown }>(
      `select ${column} as x from unnest($1::${type}[]) with ordinality as t(x, i) order by i`,
      [parameter],
    );
    return rows.map(({ x }) => x);
  };
  const text = fc.string({ unit: "grapheme", maxLength: 40 }).filter((s) => !s.includes("\0"));
  const some = <T>(items: fc.Arbitrary<T>) => fc.array(fc.option(items), { maxLength: 20 });
  const runs = { numRuns: 25 };

  test("carry texts", async () => {
    await fc.assert(
      fc.asyncProperty(some(text), async (items) => {
        expect(await read(encodeTextArray(items), "text")).toEqual(items);
      }),
      runs,
    );
  });

  test("carry JSON", async () => {
    await fc.assert(
      fc.asyncProperty(
        some(fc.dictionary(text, text, { noNullPrototype: true })),
        async (items) => {
          const encoded = encodeJsonbArray(items.map((item) => item && JSON.stringify(item)));
          expect(await read(encoded, "jsonb")).toEqual(items);
        },
      ),
      runs,
    );
  });

  test("carry times to the microsecond, as Dates and as numbers", async () => {
    const items = [
      new Date("1969-12-31T23:59:59.999Z"),
      null,
      new Date("2026-02-28T12:00:00.123Z"),
      1_700_000_000_123_456n,
    ];
    const micros = await read(
      encodeTimestamptzArray(items),
      "timestamptz",
      "(extract(epoch from x) * 1000000)::bigint::text",
    );
    expect(micros).toEqual(["-1000", null, "1772280000123000", "1700000000123456"]);
  });

  test("carry flags, and nothing", async () => {
    expect(await read(encodeBoolArray([true, false, null]), "bool")).toEqual([true, false, null]);
    expect(await read(encodeTextArray([]), "text")).toEqual([]);
  });

  test("carry numbers of single precision, and places of rows", async () => {
    const numbers = [0.1, -2.5e-30, null, 0];
    const rounded = numbers.map((one) => one && Math.fround(one));
    const told = (await read(encodeRealArray(numbers), "real")) as (number | null)[];
    expect(told.map((one) => one && Math.fround(one))).toEqual(rounded);
    const places = ["(0,1)", "(4294967294,65535)", "(70000,17)"];
    expect(await read(encodeTidArray(places.map(decodeTid)), "tid")).toEqual(places);
    expect(() => decodeTid("(1)")).toThrow(RangeError);
  });

  test("carry vectors, one and many", async () => {
    const vector = fc.float32Array({
      minLength: 1,
      maxLength: 40,
      noNaN: true,
      noDefaultInfinity: true,
    });
    await fc.assert(
      fc.asyncProperty(some(vector), async (items) => {
        const read = async (column: string) => {
          const { rows } = await postgres.query<{ x: string | Buffer | null }>(
            `select ${column} as x from unnest($1::vector[]) with ordinality as t(v, i) order by i`,
            [encodeVectorArray(items, vectorOid)],
          );
          return rows.map(({ x }) => (x === null ? null : decodeVector(x)));
        };
        expect(await read("v")).toEqual(items);
        expect(await read("vector_send(v)")).toEqual(items);
      }),
      runs,
    );
    const { rows } = await postgres.query("select $1::vector <-> '[1,2]' as distance", [
      encodeVector([4, 6]),
    ]);
    expect(rows).toEqual([{ distance: 5 }]);
  });

  test("carry a whole batch: 500 rows of 768 dimensions", async () => {
    const vectors = Array.from({ length: 500 }, (_, i) =>
      Float32Array.from({ length: 768 }, (_, j) => Math.sin(i * 768 + j)),
    );
    const { rows } = await postgres.query<{ n: number; d: number; last: string }>(
      `select count(*)::int as n, max(vector_dims(v)) as d, (array_agg(v order by i desc))[1]::text as last
       from unnest($1::vector[]) with ordinality as t(v, i)`,
      [encodeVectorArray(vectors, vectorOid)],
    );
    expect(rows[0]).toMatchObject({ n: 500, d: 768 });
    expect(decodeVector(rows[0]?.last ?? "")).toEqual(vectors.at(-1));
  });
});
