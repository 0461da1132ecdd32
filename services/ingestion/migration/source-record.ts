import type { Work } from "../ports.ts";

/** What kinds of things Session-Buddy keeps. */
export type RecordKind = "reflection" | "conversation" | "insight" | "entity";

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

/** A record of Session-Buddy, of whatever layout, in one form. Empty texts mean "none". */
export interface SourceRecord {
  readonly id: string;
  readonly kind: RecordKind;
  /** The layout it was read from: `A` to `F`, `KG`, or `outbox`. */
  readonly era: string;
  readonly content: string;
  readonly tags: readonly string[];
  readonly project: string;
  readonly collection: string;
  readonly insightType: string;
  readonly confidence: number | undefined;
  readonly metadata: JsonObject;
  /** Microseconds since 1970 UTC, here and below. */
  readonly createMicros: bigint | undefined;
  readonly updateMicros: bigint | undefined;
  /** Other rows that say the same and were folded into this one. */
  readonly folded: readonly FoldedRow[];
}

/** A row that another one stands for. */
export interface FoldedRow {
  readonly id: string;
  readonly era: string;
}

/** A row that the bridge could not make a record of. */
export interface RowFault {
  /** "": the table as a whole cannot be read. */
  readonly id: string;
  readonly kind: RecordKind;
  readonly era: string;
  /** For people. */
  readonly reason: string;
}

/** Which file, and how its times are meant. */
export interface SourceRequest {
  /** "": the bridge's configured file. */
  readonly path: string;
  /** An IANA name; "": the bridge's own. */
  readonly timeZone: string;
}

/** The file that is read. */
export interface SourceFile {
  /** Its real path. */
  readonly file: string;
  readonly eras: readonly string[];
  /** Rows of records. */
  readonly rows: number;
  /** The zone in which times are read. */
  readonly timeZone: string;
  /** Tables that are not read, since no known layout has them. */
  readonly unknownTables: readonly string[];
  /** Files beside it that cannot be read, with why. */
  readonly unreadFiles: readonly string[];
  /** Who holds it; "": nobody. */
  readonly lockHolder: string;
}

/** A part of a reading. */
export interface SourcePage {
  readonly records: readonly SourceRecord[];
  readonly faults: readonly RowFault[];
}

/** One reading of a file, as it was when the reading was opened. */
export interface SourceReading {
  readonly file: SourceFile;
  /** To be read once; whoever leaves early ends the reading. */
  readonly pages: AsyncIterable<SourcePage>;
  close(): void;
}

/**
 * Reads Session-Buddy's files. Every reading of an unchanged file gives the same records in the same
 * order. Throws DependencyUnavailableError where the bridge does not answer, other DomainErrors as
 * it reports them.
 */
export interface RecordSource {
  open(work: Work, request: SourceRequest): Promise<SourceReading>;
}
