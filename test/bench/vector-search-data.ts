import type pg from "pg";
import { contentHash } from "../../shared/hash.ts";
import { encodeJsonbArray, encodeTextArray } from "../../shared/postgres/array-codec.ts";
import { encodeVectorArray } from "../../shared/postgres/vector-codec.ts";
import { ClusteredVectors, randomOf } from "./clustered-vectors.ts";

const batch = 1_000;

export interface Load {
  readonly table: string;
  readonly rows: number;
  readonly dimension: number;
  /** Whose the i-th document is. */
  readonly tenantOf: (i: number) => string;
  readonly firstId?: number;
}

/**
 * Writes documents of about 600 characters straight into a table, by binary arrays. The metadata's
 * `share` is a number of 0 to 999, for filters of any selectivity.
 */
export async function load(client: pg.Client, of: Load): Promise<void> {
  const { table, rows, dimension, tenantOf, firstId = 0 } = of;
  const { rows: facts } = await client.query("select to_regtype('vector')::oid::int as oid");
  const oid = Number(facts[0]?.oid);
  const vectors = new ClusteredVectors(dimension, { seed: 1 + firstId });
  const random = randomOf(7 + firstId);
  for (let from = 0; from < rows; from += batch) {
    const numbers = Array.from(
      { length: Math.min(batch, rows - from) },
      (_, i) => firstId + from + i,
    );
    const contents = numbers.map((i) => contentOf(i, random));
    await client.query({
      name: `load_${table}`,
      text: `insert into ${table} (tenant, id, content, embedding, memory_type, source_system,
          metadata, content_hash, dedup_scope)
        select tenant, id, content, embedding, 'rag', 'bench', metadata, hash, 'owner:'
        from unnest($1::text[], $2::text[], $3::text[], $4::vector[], $5::jsonb[], $6::text[])
          i(tenant, id, content, embedding, metadata, hash)`,
      values: [
        encodeTextArray(numbers.map(tenantOf)),
        encodeTextArray(numbers.map((i) => `document-${i}`)),
        encodeTextArray(contents),
        encodeVectorArray(
          numbers.map(() => vectors.next()),
          oid,
        ),
        encodeJsonbArray(
          numbers.map((i) => JSON.stringify({ share: Math.floor(random() * 1_000), page: i })),
        ),
        encodeTextArray(contents.map(contentHash)),
      ],
    });
  }
}

function contentOf(i: number, random: () => number): string {
  const words = Array.from({ length: 90 }, () =>
    Math.floor(random() ** 3 * 20_000)
      .toString(36)
      .padStart(5, "w"),
  );
  return `document ${i} ${words.join(" ")}`;
}

/** Vectors to ask for, of the same distribution. */
export function queryVectors(count: number, dimension: number): number[][] {
  const vectors = new ClusteredVectors(dimension, { seed: 99 });
  return Array.from({ length: count }, () => [...vectors.next()]);
}
