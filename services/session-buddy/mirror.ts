import { setTimeout as later } from "node:timers/promises";
import { DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import { Catalogue } from "./catalogue.ts";
import { RequestIdReusedError } from "./errors.ts";
import { createBreathe } from "./event-loop.ts";
import { type QueuedWrite, queuedRecord } from "./outbox.ts";
import type { Draft, StoredRecord } from "./record.ts";
import type { FileContents, ReadReport, RecordStore, Signature, WriteSession } from "./store.ts";

export interface MirrorOptions {
  readonly store: RecordStore;
  /** Told of every change of whether the file can be read. */
  readonly onReadable?: (readable: boolean, why: string) => void;
  /** Writes that wait for the file; they are found as if they were in it. */
  readonly queued?: () => readonly QueuedWrite[];
  /** Told when other records are there than before. */
  readonly onChange?: () => void;
  /** How often the file is looked at (two stat calls); default 2,000 ms. */
  readonly watchIntervalMs?: number;
  /** A changed file is read again this long after the last time at the earliest; default 2,000 ms. */
  readonly refreshIntervalMs?: number;
  /** How long a search waits for a changed file before it answers from what it has; default 300 ms. */
  readonly refreshWaitMs?: number;
  /** Searches look at the file again this long after a look that saw no change; default 100 ms. */
  readonly lookIntervalMs?: number;
}

/** What is known of the file. */
interface Image {
  readonly catalogue: Catalogue;
  readonly contents: FileContents;
  /** Undefined: a write of ours may hide a foreign one, so it counts as changed. */
  readonly signature: Signature | undefined;
  /** When a copy was read because the file was held; undefined: the file itself was read. */
  readonly snapshotTime: number | undefined;
}

/** Where a draft is that was written or is there already. */
export interface Written {
  readonly id: string;
  readonly deduplicated: boolean;
  readonly delivery: "written";
}

/** What answers a search. */
export interface View {
  readonly catalogue: Catalogue;
  /** Why this may be behind the file; empty: it is not. */
  readonly staleness: readonly string[];
}

export interface MirrorStatus {
  readonly readable: boolean;
  /** Why it is not readable; empty where it is. */
  readonly fault: string;
  readonly contents: FileContents | undefined;
  readonly records: number;
  readonly stale: boolean;
  /** Milliseconds; undefined where the file itself was read. */
  readonly snapshotAgeMs: number | undefined;
  /** Milliseconds since 1970; undefined where this process wrote nothing. */
  readonly lastWriteTime: number | undefined;
}

/** Reading may use this share of the time at most, however large the file is. */
const readingShare = 1 / 10;

/**
 * Keeps the catalogue in step with a file that other programs write. Nothing holds the file between
 * two readings: it is looked at with stat, and read again when it has changed.
 */
export class Mirror implements AsyncDisposable {
  readonly #options: Required<MirrorOptions>;
  readonly #store: RecordStore;
  readonly #stop = new AbortController();
  #image: Image | undefined;
  #fault: unknown;
  #readable: boolean | undefined;
  #refreshing: Promise<void> | undefined;
  #nextRefresh = 0;
  /** The image that the file was last seen to be, and when that was. */
  #seen: { readonly image: Image; readonly at: number } | undefined;
  #lastWriteTime: number | undefined;
  #watching: Promise<void> | undefined;

  constructor(options: MirrorOptions) {
    this.#store = options.store;
    this.#options = {
      onReadable: () => {},
      onChange: () => {},
      queued: () => [],
      watchIntervalMs: 2_000,
      refreshIntervalMs: 2_000,
      refreshWaitMs: 300,
      lookIntervalMs: 100,
      ...options,
    };
  }

  /** Reads the file and begins to watch it; a file that cannot be read is tried again. */
  start(): void {
    this.#watching ??= this.#watch();
  }

  /**
   * What can be searched now. Waits a little for a changed file, which it knows of at the latest
   * `lookIntervalMs` after the change; waits for the first reading.
   * @throws StoreUnavailableError when the file cannot be read.
   */
  async view(signal?: AbortSignal): Promise<View> {
    const current = this.#wasJustCurrent() || (await this.#isCurrent());
    if (!current) {
      const refreshing = this.#mayRefresh() ? this.#refresh() : this.#refreshing;
      if (refreshing !== undefined) await this.#waitFor(refreshing, signal);
    }
    signal?.throwIfAborted();
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#image === undefined)
      throw new DomainError(
        "unavailable",
        "DEPENDENCY_UNAVAILABLE",
        `${this.#store.path} is being read for the first time`,
        { retryAfterMs: 1_000 },
      );
    const { catalogue, contents } = this.#image;
    const stale = !(current || (await this.#isCurrent()));
    return {
      catalogue,
      staleness: [
        ...(stale ? ["Session-Buddy's file has changed since it was read"] : []),
        ...contents.unreadFiles.map(({ why }) => why),
      ],
    };
  }

  /** What a draft repeats, where memory knows and the file has not changed since. */
  async findKnown(draft: Draft): Promise<Written | undefined> {
    const image = this.#image;
    if (image?.signature === undefined) return undefined;
    if ((await this.#store.signature()) !== image.signature) return undefined;
    return findKnown(image.catalogue, draft);
  }

  /** What a draft repeats, as far as memory knows. */
  findInMemory(draft: Draft): Written | undefined {
    return this.#image === undefined ? undefined : findKnown(this.#image.catalogue, draft);
  }

  /** Shows a write that waits to those who search. */
  addQueued(write: QueuedWrite): void {
    this.#image?.catalogue.addQueued([queuedRecord(write)]);
    this.#options.onChange();
  }

  /**
   * Writes what waits, in its order and each once whatever happened before, and then a last one
   * unless it is there already, by its request id or its text.
   * @throws StoreLockedError, UnwritableIndexError, RequestIdReusedError, StoreUnavailableError
   */
  async write(
    waiting: readonly QueuedWrite[],
    last: QueuedWrite,
    signal?: AbortSignal,
  ): Promise<Written>;
  async write(
    waiting: readonly QueuedWrite[],
    last: undefined,
    signal?: AbortSignal,
  ): Promise<undefined>;
  async write(
    waiting: readonly QueuedWrite[],
    last: QueuedWrite | undefined,
    signal?: AbortSignal,
  ) {
    const { result, signature } = await this.#store.write(async (session) => {
      const image = await this.#imageOf(session);
      const records: StoredRecord[] = [];
      for (const write of waiting) records.push(...(await session.insert(write)));
      if (last === undefined) return { image, records, answer: undefined };
      const known = findKnown(image.catalogue, last.draft);
      if (known !== undefined) return { image, records, answer: known };
      records.push(...(await session.insert(last)));
      return { image, records, answer: written(last) };
    }, signal);
    const { image, records, answer } = result;
    await image.catalogue.settle(records);
    if (records.length > 0) this.#lastWriteTime = Date.now();
    const inserted = records.length;
    this.#accept({
      catalogue: image.catalogue,
      contents: countInserted(image.contents, inserted),
      signature: image.whole && hasReflections(image.contents, inserted) ? signature : undefined,
      snapshotTime: undefined,
    });
    return answer;
  }

  async status(): Promise<MirrorStatus> {
    const image = this.#image;
    const taken = image?.snapshotTime;
    return {
      readable: this.#fault === undefined && image !== undefined,
      fault: faultMessage(this.#fault),
      contents: image?.contents,
      records: image?.catalogue.entries.length ?? 0,
      stale: !(await this.#isCurrent()),
      snapshotAgeMs: taken === undefined ? undefined : Date.now() - taken,
      lastWriteTime: this.#lastWriteTime,
    };
  }

  /** The catalogue as last read; undefined before the first reading and while it cannot be read. */
  get catalogue(): Catalogue | undefined {
    return this.#fault === undefined ? this.#image?.catalogue : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled([this.#watching, this.#refreshing]);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (this.#mayRefresh() && !(await this.#isCurrent())) await this.#refresh();
      try {
        await sleep(this.#options.watchIntervalMs, signal);
      } catch {
        return;
      }
    }
  }

  /** Whether a look at the file is so new that a search needs no other. */
  #wasJustCurrent(): boolean {
    if (this.#seen === undefined || this.#seen.image !== this.#image) return false;
    return performance.now() - this.#seen.at < this.#options.lookIntervalMs;
  }

  /** False too when the file cannot be looked at: then reading it tells why. */
  async #isCurrent(): Promise<boolean> {
    const image = this.#image;
    if (this.#fault !== undefined || image?.signature === undefined) return false;
    const at = performance.now();
    try {
      const current = (await this.#store.signature()) === image.signature;
      this.#seen = current ? { image, at } : undefined;
      return current;
    } catch {
      this.#seen = undefined;
      return false;
    }
  }

  #mayRefresh(): boolean {
    return this.#refreshing === undefined && performance.now() >= this.#nextRefresh;
  }

  /** Reads the file anew; never rejects, since the fault is kept for those who ask. */
  #refresh(): Promise<void> {
    const started = performance.now();
    this.#refreshing ??= this.#readAnew().finally(() => {
      this.#refreshing = undefined;
      const took = performance.now() - started;
      const pause = Math.max(this.#options.refreshIntervalMs, took / readingShare);
      this.#nextRefresh = performance.now() + pause;
    });
    return this.#refreshing;
  }

  async #readAnew(): Promise<void> {
    const { signal } = this.#stop;
    const catalogue = new Catalogue();
    const breathe = createBreathe(signal);
    try {
      // Indexed after the file is let go: it is held for reading only, not for our work on it.
      const batches: (readonly StoredRecord[])[] = [];
      const report = await this.#store.read(async (records) => {
        batches.push(records);
        await breathe();
      }, signal);
      for (const records of batches) await catalogue.add(records, breathe);
      this.#accept(imageFrom(catalogue, report));
    } catch (error) {
      if (!signal.aborted) this.#refuse(error);
    }
  }

  /**
   * What is known, if it is what the held file has; else what is known with the records that are
   * new since, which is enough to tell what is there already, and quick while others wait. `whole`
   * is false then: the file has to be read again.
   */
  async #imageOf(session: WriteSession): Promise<Image & { readonly whole: boolean }> {
    const { signature } = session;
    const image = this.#image;
    if (image?.signature === signature) return { ...image, whole: true };
    if (image !== undefined) {
      await session.readNew(image.catalogue.ids(), (records) => image.catalogue.settle(records));
      return { ...image, whole: false };
    }
    const catalogue = new Catalogue();
    const contents = await session.read((records) => catalogue.add(records));
    return { catalogue, contents, signature, snapshotTime: undefined, whole: true };
  }

  /** What waits is in it before others see it. */
  #accept(image: Image): void {
    const missing = this.#options.queued().filter(({ id }) => !image.catalogue.hasQueued(id));
    if (missing.length > 0) image.catalogue.addQueued(missing.map(queuedRecord));
    this.#image = image;
    this.#fault = undefined;
    this.#tellReadable(true, "");
    this.#options.onChange();
  }

  #refuse(error: unknown): void {
    this.#fault = error;
    this.#image = undefined;
    this.#tellReadable(false, faultMessage(error));
  }

  #tellReadable(readable: boolean, why: string): void {
    if (this.#readable === readable) return;
    this.#readable = readable;
    this.#options.onReadable(readable, why);
  }

  /** With something to answer from, only a little while. */
  async #waitFor(refreshing: Promise<void>, signal?: AbortSignal): Promise<void> {
    const enough = new AbortController();
    const waits: Promise<unknown>[] = [refreshing];
    if (this.#image !== undefined) {
      waits.push(later(this.#options.refreshWaitMs, undefined, { signal: enough.signal }));
    }
    if (signal !== undefined) {
      waits.push(
        new Promise<void>((resolve) => {
          if (signal.aborted) resolve();
          signal.addEventListener("abort", () => resolve(), { once: true, signal: enough.signal });
        }),
      );
    }
    try {
      await Promise.race(waits);
    } finally {
      for (const wait of waits) wait.catch(() => {});
      enough.abort();
    }
  }
}

function findKnown(catalogue: Catalogue, draft: Draft): Written | undefined {
  const known = catalogue.find(draft);
  if (known === undefined) return undefined;
  if (!known.sameText) throw new RequestIdReusedError(draft.requestId);
  return { id: known.id, deduplicated: true, delivery: "written" };
}

function written({ id }: QueuedWrite): Written {
  return { id, deduplicated: false, delivery: "written" };
}

function imageFrom(catalogue: Catalogue, report: ReadReport): Image {
  const { contents, signature, snapshot } = report;
  return { catalogue, contents, signature, snapshotTime: snapshot ? Date.now() : undefined };
}

/** The counts after our own write, without reading the file for them. */
function countInserted(contents: FileContents, inserted: number): FileContents {
  return {
    ...contents,
    tables: contents.tables.map((table) =>
      table.table === "reflections_v2" ? { ...table, rows: table.rows + inserted } : table,
    ),
  };
}

/** The first record of an older file comes with new tables: what is there has to be read. */
function hasReflections({ tables }: FileContents, inserted: number): boolean {
  return inserted === 0 || tables.some(({ table }) => table === "reflections_v2");
}

function faultMessage(fault: unknown): string {
  if (fault === undefined) return "";
  return fault instanceof DomainError ? fault.message : "the file cannot be read";
}
