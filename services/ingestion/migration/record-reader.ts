import { createHash, type Hash } from "node:crypto";
import type { DomainError } from "../../../shared/errors.ts";
import { patiently } from "../patience.ts";
import type { Work } from "../ports.ts";
import type {
  RecordSource,
  RowFault,
  SourceFile,
  SourceReading,
  SourceRecord,
  SourceRequest,
} from "./source-record.ts";

/** So many records from the beginning, and what they were. */
export interface StreamPosition {
  readonly records: number;
  /** Of everything up to here; "" at the beginning. */
  readonly digest: string;
}

export const beginning: StreamPosition = { records: 0, digest: "" };

/** Records that are done together. */
export interface RecordBatch {
  readonly records: readonly SourceRecord[];
  readonly faults: readonly RowFault[];
  readonly end: StreamPosition;
}

/** What was read up to a position is no longer what the file holds there. */
export class SourceChangedError extends Error {
  override readonly name = "SourceChangedError";
}

export interface ReaderOptions {
  readonly mostRecords: number;
  /** Of contents and metadata; a single record may have more. */
  readonly mostBytes: number;
  /** How long the bridge may fail in the midst of it, in milliseconds. */
  readonly patienceMs: number;
  readonly onRetry: (error: DomainError, pauseMs: number) => void;
}

/**
 * Reads a file in batches, across failures of the bridge: after one it reads from the beginning
 * again, passes over what it has had, and goes on. Asking for the next batch is what reads it.
 */
export class RecordReader implements Disposable {
  readonly #source: RecordSource;
  readonly #work: Work;
  readonly #request: SourceRequest;
  readonly #options: ReaderOptions;
  #reading: SourceReading | undefined;

  constructor(source: RecordSource, work: Work, request: SourceRequest, options: ReaderOptions) {
    this.#source = source;
    this.#work = work;
    this.#request = request;
    this.#options = options;
  }

  /** Opens the file; what cannot be read at all is told at once. */
  async open(): Promise<SourceFile> {
    this.#reading ??= await this.#source.open(this.#work, this.#request);
    return this.#reading.file;
  }

  /**
   * What stands after a position. Throws SourceChangedError where what stands before it is not what
   * stood there when the position was taken.
   */
  async *batches(after: StreamPosition): AsyncGenerator<RecordBatch> {
    let reached = after;
    let stream: AsyncGenerator<RecordBatch> | undefined;
    const advance = async () => {
      stream ??= this.#stream(reached);
      try {
        return await stream.next();
      } catch (error) {
        stream = undefined;
        this.#close();
        throw error;
      }
    };
    const patience = {
      limitMs: this.#options.patienceMs,
      signal: this.#work.signal,
      onRetry: this.#options.onRetry,
    };
    try {
      for (;;) {
        const { value, done } = await patiently(patience, advance);
        if (done === true) return;
        reached = value.end;
        yield value;
      }
    } finally {
      this.#close();
    }
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  async *#stream(after: StreamPosition): AsyncGenerator<RecordBatch> {
    await this.open();
    const reading = this.#reading;
    if (reading === undefined) return;
    const hash = createHash("sha256");
    let position = 0;
    let batch = new OpenBatch();
    const take = (item: SourceRecord | RowFault, size: number): RecordBatch | undefined => {
      note(hash, item);
      position++;
      if (position <= after.records) {
        if (position === after.records && digestOf(hash) !== after.digest) {
          throw new SourceChangedError();
        }
        return undefined;
      }
      batch.add(item, size);
      if (batch.size < this.#options.mostRecords && batch.bytes < this.#options.mostBytes) {
        return undefined;
      }
      const full = batch.close({ records: position, digest: digestOf(hash) });
      batch = new OpenBatch();
      return full;
    };
    for await (const { records, faults } of reading.pages) {
      for (const record of records) {
        const full = take(record, bytesOf(record));
        if (full !== undefined) yield full;
      }
      for (const fault of faults) {
        const full = take(fault, 0);
        if (full !== undefined) yield full;
      }
    }
    if (position < after.records) throw new SourceChangedError();
    if (batch.size > 0) yield batch.close({ records: position, digest: digestOf(hash) });
  }

  #close(): void {
    this.#reading?.close();
    this.#reading = undefined;
  }
}

class OpenBatch {
  readonly #records: SourceRecord[] = [];
  readonly #faults: RowFault[] = [];
  bytes = 0;

  get size(): number {
    return this.#records.length + this.#faults.length;
  }

  add(item: SourceRecord | RowFault, bytes: number): void {
    if ("reason" in item) this.#faults.push(item);
    else this.#records.push(item);
    this.bytes += bytes;
  }

  close(end: StreamPosition): RecordBatch {
    return { records: this.#records, faults: this.#faults, end };
  }
}

function bytesOf({ content, metadata }: SourceRecord): number {
  return Buffer.byteLength(content) + Buffer.byteLength(JSON.stringify(metadata));
}

function note(hash: Hash, item: SourceRecord | RowFault): void {
  const text = "reason" in item ? "" : item.content;
  // The length first, so that no two sequences of records are the same sequence of bytes.
  hash.update(JSON.stringify([item.era, item.kind, item.id, text.length]));
  hash.update(text);
}

function digestOf(hash: Hash): string {
  return hash.copy().digest("hex");
}
