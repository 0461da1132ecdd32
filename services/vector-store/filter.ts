import type { Instant } from "./instant.ts";
import type { PresentJson } from "./json.ts";

/** Bounds of a filter's size; beyond them it is refused. */
export const filterBounds = {
  depth: 16,
  /** Filters in one list, and values in one `one_of`. */
  listLength: 1_000,
  /** Conditions in the whole tree. */
  conditions: 5_000,
  /** Steps of a metadata path. */
  pathSteps: 32,
} as const;

export const textFields = [
  "id",
  "memory_type",
  "source_system",
  "agent_id",
  "workflow_id",
  "repo_id",
  "content_hash",
] as const;
export type TextField = (typeof textFields)[number];

export const timeFields = ["create_time", "update_time", "expire_time"] as const;
export type TimeField = (typeof timeFields)[number];

export type Comparison = "gt" | "gte" | "lt" | "lte";

/** One end of an interval. */
export interface Bound<T> {
  readonly comparison: Comparison;
  readonly value: T;
}

/** A test of a value that documents may not have; none holds for an absent one but exists: false. */
export type Test<T, R = T> =
  | { readonly kind: "equals"; readonly value: T }
  | { readonly kind: "one_of"; readonly values: readonly T[] }
  /** Every bound holds. Bounds of one range are of one type. */
  | { readonly kind: "range"; readonly bounds: readonly Bound<R>[] }
  | { readonly kind: "exists"; readonly exists: boolean };

export type TextTest =
  | Test<string>
  /** Letter case ignored. */
  | { readonly kind: "contains"; readonly text: string };

/** JSON null is no value: in metadata it counts as absent. */
export type MetadataTest =
  | Test<PresentJson, string | number>
  /** A list with an equal element, or an object with equal entries under all keys of this one. */
  | { readonly kind: "contains"; readonly value: PresentJson };

export type Condition =
  | { readonly on: "text"; readonly field: TextField; readonly test: TextTest }
  | { readonly on: "time"; readonly field: TimeField; readonly test: Test<Instant> }
  | { readonly on: "vector"; readonly exists: boolean }
  /** The path's steps are keys of objects; none looks into a list. */
  | { readonly on: "metadata"; readonly path: readonly string[]; readonly test: MetadataTest };

/** Which documents are meant. What a document does not have makes a condition false, never unknown. */
export type Filter =
  | { readonly node: "all"; readonly filters: readonly Filter[] }
  | { readonly node: "any"; readonly filters: readonly Filter[] }
  | { readonly node: "not"; readonly filter: Filter }
  | { readonly node: "condition"; readonly condition: Condition };
