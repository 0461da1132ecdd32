import type { Mirror } from "./mirror.ts";
import type { RecordStore, TableRows } from "./store.ts";
import type { VectorIndexing } from "./vector-indexing.ts";
import type { Writing } from "./writing.ts";

/** What the bridge sees. */
export interface BridgeStatus {
  readonly file: string;
  readonly readable: boolean;
  readonly eras: readonly string[];
  readonly tables: readonly TableRows[];
  readonly unknownTables: readonly string[];
  /** Empty: the file is free. */
  readonly lockHolder: string;
  /** Milliseconds; undefined where the file itself was read. */
  readonly snapshotAgeMs: number | undefined;
  readonly indexedRecords: number;
  readonly totalRecords: number;
  readonly lastWriteTime: number | undefined;
  readonly queuedWrites: number;
  /** Undefined: none waits. */
  readonly oldestQueuedAgeMs: number | undefined;
  /** For people: anything out of order. */
  readonly message: string;
}

export interface BridgeParts {
  readonly store: RecordStore;
  readonly mirror: Mirror;
  readonly indexing: VectorIndexing;
  readonly writing: Writing;
  /** What could not be opened, and what that means. */
  readonly faults: readonly string[];
}

/** Asking who holds the file takes its lock for some milliseconds, so it is asked this rarely. */
const holderAgeMs = 5_000;

export class BridgeStatusReader {
  readonly #parts: BridgeParts;
  #holder: { readonly asked: number; readonly answer: Promise<string | undefined> } | undefined;

  constructor(parts: BridgeParts) {
    this.#parts = parts;
  }

  async read(): Promise<BridgeStatus> {
    const { store, mirror, indexing, writing, faults: missing } = this.#parts;
    const holder = await this.#holderNow();
    const status = await mirror.status();
    const { contents } = status;
    const { catalogue } = mirror;
    const { count, oldest } = writing.queue;
    // A copy of a file that is free again and has not changed is the file.
    const direct = holder === undefined && !status.stale;
    const unwritable = contents?.unwritableIndexes ?? [];
    const faults = contents?.faults ?? 0;
    const messages = [
      status.fault,
      holder === undefined ? "" : lockedMessage(holder, status.snapshotAgeMs),
      status.readable && status.stale ? "the file has changed since it was read" : "",
      ...(contents?.unreadFiles ?? []).map(({ why }) => why),
      faults > 0 ? `${faults} rows are no records; ExportRecords names them` : "",
      unwritable.length > 0
        ? `not written, because of its HNSW indexes: ${unwritable.join(", ")}`
        : "",
      ...missing,
    ];
    return {
      file: store.path,
      readable: status.readable,
      eras: contents?.eras ?? [],
      tables: contents?.tables ?? [],
      unknownTables: contents?.unknownTables ?? [],
      lockHolder: holder === "" ? "another program" : (holder ?? ""),
      snapshotAgeMs: direct ? undefined : status.snapshotAgeMs,
      indexedRecords: catalogue === undefined ? 0 : indexing.indexedRecords(catalogue),
      totalRecords: status.records,
      lastWriteTime: status.lastWriteTime,
      queuedWrites: count,
      oldestQueuedAgeMs: oldest === undefined ? undefined : Math.max(0, Date.now() - oldest),
      message: messages.filter((message) => message !== "").join("; "),
    };
  }

  async #holderNow(): Promise<string | undefined> {
    const now = performance.now();
    if (this.#holder === undefined || now - this.#holder.asked > holderAgeMs) {
      this.#holder = { asked: now, answer: this.#parts.store.holder() };
    }
    return this.#holder.answer;
  }
}

function lockedMessage(holder: string, snapshotAgeMs: number | undefined): string {
  const who = holder === "" ? "another program" : holder;
  const reading = snapshotAgeMs === undefined ? "" : "; reading goes on from a copy";
  return `${who} holds the file${reading}; writes wait until it is free`;
}
