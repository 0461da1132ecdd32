import { basename } from "node:path";
import { DomainError } from "../../shared/errors.ts";
import type { DuckDb } from "./duckdb.ts";
import {
  countRows,
  type RecordBatch,
  readContents,
  readSource,
  recordSources,
  tablesOf,
} from "./duckdb-reading.ts";
import { TooManyExportsError } from "./errors.ts";
import { TwoPassFolding } from "./folding.ts";
import { markOf } from "./mark.ts";
import type { RecordKind, RowFault, StoredRecord } from "./record.ts";
import type { SessionBuddyFile } from "./session-buddy-file.ts";
import { logLeftOut, type SessionBuddyFiles } from "./session-buddy-files.ts";
import type { TableRows, UnreadFile } from "./store.ts";
import type { WallTime } from "./wall-time.ts";

/** Each export keeps a copy of the files on disk until it ends. */
const mostExports = 4;
const batchRecords = 100;
const batchCharacters = 1_048_576;

export interface ExportOrder {
  readonly files: SessionBuddyFiles;
  readonly wallTime: WallTime;
  /** Who asks: gets its own records and everyone's. */
  readonly tenant: string;
  /** Empty: all. */
  readonly kinds: ReadonlySet<RecordKind>;
}

export interface ExportBegin {
  readonly file: string;
  readonly eras: readonly string[];
  readonly tables: readonly TableRows[];
  readonly unknownTables: readonly string[];
  readonly timeZone: string;
  readonly recordRows: number;
  /** Undefined: the file is free; "": nobody knows the name. */
  readonly holder: string | undefined;
  readonly unreadFiles: readonly UnreadFile[];
}

export interface ExportCounts {
  rows: number;
  records: number;
  folded: number;
  faults: number;
  leftOut: number;
}

/** A part of an export, in the order of the contract. */
export type ExportPart =
  | { readonly begin: ExportBegin }
  | { readonly records: readonly StoredRecord[]; readonly faults: readonly RowFault[] }
  | { readonly end: ExportCounts };

/** One file's copy, opened. */
interface OpenCopy {
  readonly fileName: string;
  readonly database: DuckDb;
}

/** Streams all records of a file and of those beside it, from copies and with flat memory. */
export class RecordExport {
  #running = 0;

  /** @throws StoreUnavailableError, TooManyExportsError */
  async *run(order: ExportOrder, signal: AbortSignal): AsyncGenerator<ExportPart> {
    if (this.#running >= mostExports) throw new TooManyExportsError(mostExports);
    this.#running++;
    try {
      yield* this.#run(order, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw order.files.main.errorOf(error);
    } finally {
      this.#running--;
    }
  }

  async *#run(order: ExportOrder, signal: AbortSignal): AsyncGenerator<ExportPart> {
    const { files } = order;
    await using opened = new AsyncDisposableStack();
    const holder = await files.main.holder();
    const unreadFiles: UnreadFile[] = [];
    const open = async (file: SessionBuddyFile): Promise<OpenCopy> => {
      const copy = opened.use(await file.copy(signal));
      const { database, withoutLog } = await file.openCopy(copy);
      opened.use(database);
      if (withoutLog) unreadFiles.push(logLeftOut(file.path));
      return { fileName: basename(file.path), database };
    };
    const copies = [await open(files.main)];
    for (const file of await files.beside()) {
      try {
        copies.push(await open(file));
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        unreadFiles.push({ file: basename(file.path), why: error.message });
      }
    }
    const begin = await describe(order, copies, holder, unreadFiles, signal);
    yield { begin };
    const reading = new Reading(order, copies, signal);
    // Where one layout has all records, there is nothing to fold.
    if (new Set(await reading.eras()).size > 1) await reading.note();
    yield* reading.parts();
    yield { end: reading.counts };
  }
}

async function describe(
  { files, wallTime }: ExportOrder,
  copies: readonly OpenCopy[],
  holder: string | undefined,
  unreadFiles: readonly UnreadFile[],
  signal: AbortSignal,
): Promise<ExportBegin> {
  const eras = new Set<string>();
  const tables: TableRows[] = [];
  const unknownTables: string[] = [];
  let recordRows = 0;
  for (const { database, fileName } of copies) {
    const all = await tablesOf(database, signal);
    const contents = await readContents(database, all, fileName, signal);
    for (const era of contents.eras) eras.add(era);
    tables.push(...contents.tables);
    unknownTables.push(...contents.unknownTables);
    for (const source of recordSources(all, fileName)) {
      recordRows += await countRows(database, source, signal);
    }
  }
  return {
    file: files.main.path,
    eras: [...eras].sort(),
    tables,
    unknownTables,
    timeZone: wallTime.zone,
    recordRows,
    holder,
    unreadFiles,
  };
}

/** Goes over the copies, twice where records have to be folded. */
class Reading {
  readonly counts: ExportCounts = { rows: 0, records: 0, folded: 0, faults: 0, leftOut: 0 };
  readonly #order: ExportOrder;
  readonly #copies: readonly OpenCopy[];
  readonly #signal: AbortSignal;
  readonly #folding = new TwoPassFolding();

  constructor(order: ExportOrder, copies: readonly OpenCopy[], signal: AbortSignal) {
    this.#order = order;
    this.#copies = copies;
    this.#signal = signal;
  }

  /** Of the tables that hold records. */
  async eras(): Promise<string[]> {
    const eras: string[] = [];
    for (const { database, fileName } of this.#copies) {
      const sources = recordSources(await tablesOf(database, this.#signal), fileName);
      eras.push(...sources.map(({ era }) => era));
    }
    return eras;
  }

  async note(): Promise<void> {
    for await (const { records } of this.#batches()) {
      for (const record of records) this.#folding.note(record);
    }
  }

  async *parts(): AsyncGenerator<ExportPart> {
    let records: StoredRecord[] = [];
    let faults: RowFault[] = [];
    let characters = 0;
    for await (const batch of this.#batches()) {
      this.counts.rows += batch.records.length + batch.faults.length;
      this.counts.faults += batch.faults.length;
      faults.push(...batch.faults);
      for (const record of batch.records) {
        const chosen = this.#choose(record);
        if (chosen === undefined) continue;
        records.push(chosen);
        characters += chosen.content.length + chosen.metadata.length;
        if (records.length < batchRecords && characters < batchCharacters) continue;
        this.counts.records += records.length;
        yield { records, faults };
        records = [];
        faults = [];
        characters = 0;
      }
    }
    this.counts.records += records.length;
    if (records.length + faults.length > 0) yield { records, faults };
  }

  #choose(record: StoredRecord): StoredRecord | undefined {
    const { tenant, kinds } = this.#order;
    const owner = markOf(record.metadata).tenant;
    const wanted = kinds.size === 0 || kinds.has(record.kind);
    if (!wanted || (owner !== "" && owner !== tenant)) {
      this.counts.leftOut++;
      return undefined;
    }
    const whole = this.#folding.fold(record);
    if (whole === undefined) this.counts.folded++;
    return whole;
  }

  async *#batches(): AsyncGenerator<RecordBatch> {
    for (const { database, fileName } of this.#copies) {
      const tables = await tablesOf(database, this.#signal);
      for (const source of recordSources(tables, fileName)) {
        yield* readSource(database, source, fileName, this.#order.wallTime, this.#signal);
      }
    }
  }
}
