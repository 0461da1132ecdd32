import type { TextRange } from "../passage.ts";
import type { Hit } from "../search.ts";
import { type DocumentRow, documentOfRow } from "./document-row.ts";

export interface HasPassages {
  /** Whether the tenant has passages; where they were not compared. */
  readonly has_passages?: boolean;
}

/** A row of a search. */
export interface HitRow extends DocumentRow, HasPassages {
  readonly score: number;
  readonly vector_score: number | null;
  readonly text_score: number | null;
  readonly bytes: number;
  /** The passage that is nearer than the document, if any; not in a search by words. */
  readonly range_start?: number | null;
  readonly range_end?: number | null;
}

export function hitOfRow(row: HitRow): Hit {
  return {
    document: documentOfRow(row),
    score: row.score,
    vectorScore: row.vector_score ?? undefined,
    textScore: row.text_score ?? undefined,
    bytes: row.bytes,
    passage: passageOf(row),
  };
}

function passageOf({ range_start: start, range_end: end }: HitRow): TextRange | undefined {
  return start == null || end == null ? undefined : { start, end };
}
