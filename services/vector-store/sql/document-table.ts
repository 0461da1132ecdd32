import type { DistanceName } from "../collection.ts";

/** The type of a table's vectors: halfvec, of half precision, above 2,000 components. */
export type VectorType = "vector" | "halfvec";

/** Where a collection's documents are. */
export interface DocumentTable {
  /** As it stands in a statement; made by us, never of what a caller sent. */
  readonly name: string;
  readonly vectorType: VectorType;
  readonly dimension: number;
  readonly distance: DistanceName;
}

/** Most components of a vector that is kept in full precision. */
const largestVector = 2_000;

const tableName = /^(memories|documents_[0-9]{1,19})$/;

export function documentTable(
  name: string,
  dimension: number,
  distance: DistanceName,
): DocumentTable {
  if (!tableName.test(name)) throw new Error(`${name} is no table of documents`);
  const vectorType = dimension > largestVector ? "halfvec" : "vector";
  return { name, vectorType, dimension, distance };
}

/**
 * A value of type `vector` as one of the table's type. Vectors travel as `vector` whatever they
 * become, so that there is one codec.
 */
export function asStored({ vectorType }: DocumentTable, vector: string): string {
  return vectorType === "vector" ? vector : `${vector}::halfvec`;
}

/** The table's vector in the binary format of type `vector`. */
export function vectorBytes({ vectorType }: DocumentTable, column: string): string {
  return `vector_send(${vectorType === "vector" ? column : `${column}::vector`})`;
}
