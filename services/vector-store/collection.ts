import { DimensionMismatchError, ModelMismatchError } from "./errors.ts";
import type { Instant } from "./instant.ts";

/** The collection that every database has, and the one meant where none is named. */
export const defaultCollection = "memories";

export type DistanceName = "cosine" | "euclidean" | "dot_product";

/** The approximate index of a collection. */
export interface CollectionIndex {
  readonly kind: "hnsw" | "ivfflat";
  readonly m: number | undefined;
  readonly efConstruction: number | undefined;
  readonly lists: number | undefined;
}

/** A named set of documents whose vectors come from one model. */
export interface Collection {
  readonly name: string;
  readonly dimension: number;
  readonly distance: DistanceName;
  /** Undefined until the first vector claims the collection for its model. */
  readonly embeddingModel: string | undefined;
  /** Undefined where every search is exact. */
  readonly index: CollectionIndex | undefined;
  /** The text search configuration of PostgreSQL that makes words of its texts and queries. */
  readonly textLanguage: string;
  readonly createTime: Instant;
}

/** A collection to make; its name and dimension are valid. */
export type NewCollection = Pick<
  Collection,
  "name" | "dimension" | "distance" | "embeddingModel" | "textLanguage"
>;

/** What the database knows of a collection's documents, of all tenants; estimates but for sizes. */
export interface CollectionStatistics {
  readonly indexBytes: bigint;
  /** Documents, vectors and all indexes. */
  readonly tableBytes: bigint;
  readonly rows: bigint;
  /** Versions of rows that are no longer seen and not yet removed. */
  readonly deadRows: bigint;
  readonly pgvectorVersion: string;
}

/** An index to build; what is undefined is chosen by the store. */
export type IndexOrder =
  | {
      readonly kind: "hnsw";
      readonly m: number | undefined;
      readonly efConstruction: number | undefined;
      /** Where there is an index by now, it will do. Default false: it is built anew. */
      readonly ifMissing?: boolean;
    }
  | { readonly kind: "ivfflat"; readonly lists: number | undefined };

/** How far a build is. */
export interface IndexProgress {
  readonly phase: string;
  /** 0 to 1; never falls. */
  readonly progress: number;
  readonly elapsedMs: number;
  /** Set once the index is in use, in the last one. */
  readonly built: (CollectionIndex & { readonly bytes: bigint }) | undefined;
}

/** Throws ModelMismatchError where the collection belongs to another model. */
export function requireModel({ embeddingModel }: Collection, model: string | undefined): void {
  if (model === undefined || embeddingModel === undefined || embeddingModel === model) return;
  throw new ModelMismatchError(embeddingModel, model);
}

/** Throws DimensionMismatchError; `field` is where the vector stands in the request. */
export function requireDimension(
  { dimension }: Collection,
  vector: readonly number[],
  field: string,
): void {
  if (vector.length !== dimension) {
    throw new DimensionMismatchError(field, dimension, vector.length);
  }
}
