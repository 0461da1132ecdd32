import type { Collection, CollectionIndex, DistanceName } from "../collection.ts";

export const collectionColumns =
  "name, dimension, distance, embedding_model, index_kind, index_m, index_ef_construction, " +
  "index_lists, text_language, (extract(epoch from created_at) * 1000000)::bigint as created_micros";

/** All tenants share the platform's collections. */
export const ofPlatform = "tenant = ''";

/** A row of `collectionColumns` as node-postgres gives it. */
export interface CollectionRow {
  readonly name: string;
  readonly dimension: number;
  readonly distance: DistanceName;
  readonly embedding_model: string | null;
  readonly index_kind: CollectionIndex["kind"] | null;
  readonly index_m: number | null;
  readonly index_ef_construction: number | null;
  readonly index_lists: number | null;
  readonly text_language: string;
  readonly created_micros: string;
}

export function collectionOfRow(row: CollectionRow): Collection {
  return {
    name: row.name,
    dimension: row.dimension,
    distance: row.distance,
    embeddingModel: row.embedding_model ?? undefined,
    index:
      row.index_kind === null
        ? undefined
        : {
            kind: row.index_kind,
            m: row.index_m ?? undefined,
            efConstruction: row.index_ef_construction ?? undefined,
            lists: row.index_lists ?? undefined,
          },
    textLanguage: row.text_language,
    createTime: BigInt(row.created_micros),
  };
}
