import type { CollectionIndex } from "./collection.ts";

/** How the nearest vectors of a scope are found. */
export type NearestPlan =
  /**
   * Every vector of the scope is compared. `small`: the scope is known to be a small part of the
   * collection, so that the same words are another statement, with a plan of its own.
   */
  | { readonly by: "scan"; readonly small?: boolean }
  /** The index brings candidates; where they are too few, every vector is compared after all. */
  | {
      readonly by: "index";
      readonly kind: CollectionIndex["kind"];
      /** How many the index is asked for; as many as are wanted, or a few more. */
      readonly candidates: number;
      /** HNSW: ef_search; IVFFlat: probes. */
      readonly effort: number;
    };

export interface NearestQuestion {
  /** The collection's index; undefined where there is none. */
  readonly index: CollectionIndex | undefined;
  /** The caller wants the truth, whatever it takes. */
  readonly exact: boolean;
  /** How many are wanted. */
  readonly wanted: number;
  /** Scopes up to this size are searched exactly. */
  readonly threshold: number;
  /** Documents of all tenants in the collection, about. */
  readonly rows: number;
}

/** pgvector's own bounds. */
const largestEfSearch = 1_000;

/** A scope of less than this part of its collection is small. */
const smallPart = 20;

/** Steps of the number of candidates: each is a statement of its own. */
const steps = [32, 64, 128, 256, 512, 1_024, 2_048, 4_096];

/** The least step that holds so many; undefined where none does. */
export function stepOf(wanted: number): number | undefined {
  return steps.find((step) => step >= wanted);
}

/** Whether the answer depends on how large the scope is: where it does not, nobody need count. */
export function needsScope({ index, exact, rows, threshold }: NearestQuestion): boolean {
  return index !== undefined && !exact && rows > threshold;
}

/**
 * A scan is exact and reads the scope in order; an index walks over all tenants' vectors and drops
 * what is outside of the scope. Up to the threshold the scan is the quicker one, or nearly so. A
 * large scope that is a tiny part of its collection is scanned after all when the walk brings too
 * few: pgvector ends it after 20,000 vectors (`hnsw.max_scan_tuples`).
 *
 * `scope` is how many documents are in it, or any number above the threshold where there are more;
 * undefined where they were not counted.
 */
export function planNearest(question: NearestQuestion, scope: number | undefined): NearestPlan {
  const { index, wanted, threshold, rows } = question;
  if (index === undefined || scope === undefined || !needsScope(question)) return { by: "scan" };
  if (scope <= threshold) return { by: "scan", small: scope * smallPart < rows };
  const candidates = stepOf(wanted);
  if (candidates === undefined) return { by: "scan" };
  return { by: "index", kind: index.kind, candidates, effort: effortOf(index, candidates) };
}

/**
 * How many of the best a scope's memory is asked for: what was deleted is among them, and what a
 * filter leaves out.
 */
export function rememberedCandidates(wanted: number, filtered: boolean): number {
  return filtered
    ? Math.max(wanted + 16, Math.min(8 * wanted, 1_000))
    : wanted + 16 + (wanted >> 2);
}

function effortOf(index: CollectionIndex, candidates: number): number {
  if (index.kind === "ivfflat") return probesFor(index.lists ?? 1);
  return Math.min(Math.max(hnswEfSearch, 2 * candidates), largestEfSearch);
}

/** Measured: see docs/decisions/0005-search-planner.md. */
const hnswEfSearch = 150;

/** How many of an IVFFlat index's lists a search looks into. */
export function probesFor(lists: number): number {
  return Math.min(lists, Math.max(10, Math.ceil(1.5 * Math.sqrt(lists))));
}

/**
 * Lists of an IVFFlat index for so many rows: rows / 300, as 500 lists are for 150,000 rows, and
 * from 810,000 rows on 3 * sqrt(rows), as pgvector advises the square root for more than a million.
 */
export function proposedLists(rows: number): number {
  const lists = rows <= 810_000 ? rows / 300 : 3 * Math.sqrt(rows);
  return Math.min(32_768, Math.max(1, Math.round(lists)));
}

/** Rows that an IVFFlat index needs: k-means finds no centre of a cluster in fewer. */
export function rowsNeeded(lists: number): number {
  return Math.max(1_000, 30 * lists);
}
