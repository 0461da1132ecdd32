import type { Mirror } from "./mirror.ts";
import type { RecordStore, TableRows } from "./store.ts";
import type { VectorIndexing } from "./vector-indexing.ts";

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
  /** For people: anything out of order. */
  readonly message: string;
}

/** Asking who holds the file takes its lock for some milliseconds, so it is asked this rarely. */
const holderAgeMs = 5_000;

export class BridgeStatusReader {
  readonly #store: RecordStore;
  readonly #mirror: Mirror;
  readonly #indexing: VectorIndexing;
  readonly #indexFault: string;
  #holder: { readonly asked: number; readonly answer: Promise<string | undefined> } | undefined;

  /** `indexFault`: why there is no side index; empty where there is one. */
  constructor(store: RecordStore, mirror: Mirror, indexing: VectorIndexing, indexFault: string) {
    this.#store = store;
    this.#mirror = mirror;
    this.#indexing = indexing;
    this.#indexFault = indexFault;
  }

  async read(): Promise<BridgeStatus> {
    const holder = await this.#holderNow();
    const status = await this.#mirror.status();
    const { contents } = status;
    const catalogue = this.#mirror.catalogue;
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
      this.#indexFault,
    ];
    return {
      file: this.#store.path,
      readable: status.readable,
      eras: contents?.eras ?? [],
      tables: contents?.tables ?? [],
      unknownTables: contents?.unknownTables ?? [],
      lockHolder: holder === "" ? "another program" : (holder ?? ""),
      snapshotAgeMs: direct ? undefined : status.snapshotAgeMs,
      indexedRecords: catalogue === undefined ? 0 : this.#indexing.indexedRecords(catalogue),
      totalRecords: status.records,
      lastWriteTime: status.lastWriteTime,
      message: messages.filter((message) => message !== "").join("; "),
    };
  }

  async #holderNow(): Promise<string | undefined> {
    const now = performance.now();
    if (this.#holder === undefined || now - this.#holder.asked > holderAgeMs) {
      this.#holder = { asked: now, answer: this.#store.holder() };
    }
    return this.#holder.answer;
  }
}

function lockedMessage(holder: string, snapshotAgeMs: number | undefined): string {
  const who = holder === "" ? "another program" : holder;
  const reading = snapshotAgeMs === undefined ? "" : "; reading goes on from a copy";
  return `${who} holds the file${reading}; writing waits until it is free`;
}
