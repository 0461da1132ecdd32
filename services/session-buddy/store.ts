import type { Draft, StoredRecord } from "./record.ts";

/** What a file holds beside its records. */
export interface FileContents {
  /** Layouts found, `A` to `F` and `KG`, in order. */
  readonly eras: readonly string[];
  readonly tables: readonly TableRows[];
  /** Tables that no known layout has. */
  readonly unknownTables: readonly string[];
  /** Known layouts whose records are not read. */
  readonly unreadEras: readonly string[];
  /** Names of indexes that this program must not write to. */
  readonly unwritableIndexes: readonly string[];
}

export interface TableRows {
  /** With its schema where that is not `main`. */
  readonly table: string;
  /** Empty: unknown. */
  readonly era: string;
  readonly rows: number;
}

/** Takes records as they are read; the next ones are read when it resolves. */
export type RecordSink = (records: readonly StoredRecord[]) => Promise<void>;

/** A version of the file: equal when nothing was written between. */
export type Signature = string;

export interface ReadReport {
  readonly contents: FileContents;
  /** The version that was read. */
  readonly signature: Signature;
  /** True when the file was held and a copy was read. */
  readonly snapshot: boolean;
  /** Who held it, where known. */
  readonly holder: string | undefined;
}

/** The file, held for writing. */
export interface WriteSession {
  /** The version that is there now; nobody else can change it. */
  readonly signature: Signature;
  /** Reads everything, as `read` does. */
  read(sink: RecordSink): Promise<FileContents>;
  /** Adds a record in Session-Buddy's newest layout and returns it as `read` would give it. */
  insert(draft: Draft): Promise<StoredRecord>;
}

/**
 * Session-Buddy's file. Other programs write it too and hold it while they run, so nothing keeps
 * it open: each call opens, works and closes, one call at a time. Errors are domain errors of
 * errors.ts.
 */
export interface RecordStore {
  /** The file's path, for people. */
  readonly path: string;
  /** Undefined where there is no file. Costs two stat calls; opens nothing. */
  signature(): Promise<Signature | undefined>;
  /** Makes the file where there is none (or an empty one), whole or not at all. */
  ensure(): Promise<void>;
  /** Reads every record, in any order, through a copy where another program holds the file. */
  read(sink: RecordSink, signal?: AbortSignal): Promise<ReadReport>;
  /**
   * Holds the file while `work` runs; what it inserted is durable when this resolves. Returns the
   * version that is there afterwards; undefined when it cannot be told from a foreign write.
   * @throws StoreLockedError when another program holds the file.
   */
  write<T>(
    work: (session: WriteSession) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<{ result: T; signature: Signature | undefined }>;
  /** Who holds the file now: undefined when it is free, "" when nobody knows the name. */
  holder(): Promise<string | undefined>;
}
