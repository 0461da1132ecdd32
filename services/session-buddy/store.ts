import type { QueuedWrite } from "./outbox.ts";
import type { StoredRecord } from "./record.ts";

/** What a file, and those beside it, hold beside their records. */
export interface FileContents {
  /** Layouts found, `A` to `F` and `KG`, in order. */
  readonly eras: readonly string[];
  readonly tables: readonly TableRows[];
  /** Tables that no known layout has. */
  readonly unknownTables: readonly string[];
  /** Names of indexes that this program must not write to. */
  readonly unwritableIndexes: readonly string[];
  /** Rows of record tables that are no records. */
  readonly faults: number;
  /** Records that another layout has too; counted once. */
  readonly folded: number;
  /** Files beside this one, and logs, that cannot be read, with why. */
  readonly unreadFiles: readonly UnreadFile[];
}

export interface UnreadFile {
  /** Its name, without its folder. */
  readonly file: string;
  /** For people. */
  readonly why: string;
}

export interface TableRows {
  /** The name of the file that it is in. */
  readonly file: string;
  /** With its schema where that is not `main`. */
  readonly table: string;
  /** Empty: unknown. */
  readonly era: string;
  readonly rows: number;
}

/** Takes records as they are read; the next ones are read when it resolves. */
export type RecordSink = (records: readonly StoredRecord[]) => Promise<void>;

/** A version of the files: equal when nothing was written between. */
export type Signature = string;

export interface ReadReport {
  readonly contents: FileContents;
  /** The version that was read. */
  readonly signature: Signature;
  /** True when a file was held and a copy was read. */
  readonly snapshot: boolean;
  /** Who held the file itself, where known. */
  readonly holder: string | undefined;
}

/** The file, held for writing. */
export interface WriteSession {
  /** The version that is there now; nobody else can change it. */
  readonly signature: Signature;
  /** Reads everything, as `read` does. */
  read(sink: RecordSink): Promise<FileContents>;
  /** Reads the records of the newest layout's reflections that are not among these ids. */
  readNew(known: ReadonlySet<string>, sink: RecordSink): Promise<void>;
  /**
   * Adds a record in Session-Buddy's newest layout and returns it as `read` would give it; nothing
   * where its id is there already, from a delivery that nobody could note.
   */
  insert(write: QueuedWrite): Promise<StoredRecord[]>;
}

/**
 * Session-Buddy's file, and those that its versions put beside it. Other programs write them too
 * and hold them while they run, so nothing keeps one open: each call opens, works and closes, one
 * call at a time. Errors are domain errors of errors.ts.
 */
export interface RecordStore {
  /** The file's path, for people. */
  readonly path: string;
  /** Undefined where there is no file. Costs a look at the folder; opens nothing. */
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
