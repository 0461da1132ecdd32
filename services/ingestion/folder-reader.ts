import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { untilAborted } from "../../shared/abortable.ts";
import { fileErrorOf } from "./file-failures.ts";
import type { FileError, IngestionSettings } from "./ingestion.ts";
import type { SplitFamily } from "./languages.ts";
import type { PlannedChunk, PlannedFile } from "./planned-file.ts";
import type { FileStamp } from "./repository-walk.ts";
import type { RepositoryKey } from "./store.ts";

/** What is read of which folder. */
export interface FolderOrder extends IngestionSettings {
  readonly key: RepositoryKey;
  /** A folder, as a real path. */
  readonly root: string;
  readonly maxFileBytes: number;
}

/** Files that a walk has found, in the order of `comparePaths`, and what else it met. */
export interface FoundPage {
  readonly paths: readonly string[];
  /** Four numbers a path: see `stampAt`. */
  readonly stamps: BigInt64Array;
  /** By reason; a folder counts once. */
  readonly skipped: Readonly<Record<string, SkippedPaths>>;
  /** Files and folders that cannot be looked at: what is known of them, and below, still holds. */
  readonly failed: readonly { readonly path: string; readonly error: FileError }[];
  readonly done: boolean;
}

export interface SkippedPaths {
  readonly count: number;
  /** The first of them. */
  readonly examples: readonly string[];
}

export interface FileToPlan {
  readonly path: string;
  /** A file of these bytes is not split. */
  readonly hash: string | undefined;
}

/** What reading and splitting a file came to. */
export type PlanOutcome =
  | { readonly kind: "planned"; readonly file: PlannedFile }
  | { readonly kind: "unchanged"; readonly stamp: FileStamp | undefined }
  /** It is gone. */
  | { readonly kind: "absent" }
  | { readonly kind: "skipped"; readonly reason: string }
  /** `fault`: what went wrong, where it is a fault of ours. */
  | { readonly kind: "failed"; readonly error: FileError; readonly fault: unknown };

export interface PlannedPage {
  /** One a file, in their order. */
  readonly outcomes: readonly PlanOutcome[];
  readonly readMs: number;
  readonly splitMs: number;
}

/** A text, and how it is split. */
export interface SplitOrder {
  readonly key: RepositoryKey;
  readonly path: string;
  readonly text: string;
  readonly family: SplitFamily;
  readonly chunkSize: number;
  readonly chunkOverlap: number;
}

export interface SplitText {
  readonly chunks: readonly PlannedChunk[];
}

export type FolderRequest =
  | { readonly kind: "open"; readonly order: FolderOrder }
  | { readonly kind: "walk" }
  | { readonly kind: "plan"; readonly files: readonly FileToPlan[] }
  /** Needs no folder. */
  | { readonly kind: "split"; readonly order: SplitOrder };

export type FolderAnswer =
  | { readonly commit: string | undefined }
  | FoundPage
  | PlannedPage
  | SplitText;

const threadFile = join(import.meta.dirname, "folder-thread.ts");
const mebibyte = 2 ** 20;
/** What a thread's heap may hold, and so many times the largest file. */
const heapMebibytes = 384;
const heapPerFileByte = 8;
/** How long files may take to be read and split, and longer where they may be large. */
const leastPlanMs = 60_000;
const bytesPerMs = 256;

/** A thread is gone, or had to be ended, with what it was asked. */
class ThreadLostError extends Error {
  override readonly name = "ThreadLostError";
  /** Whether it was at work on this, and not on something before. */
  readonly isGuilty: boolean;

  constructor(isGuilty: boolean, cause?: unknown) {
    super("the thread is gone", { cause });
    this.isGuilty = isGuilty;
  }
}

export function stampAt(stamps: BigInt64Array, index: number): FileStamp {
  const [size = 0n, mtimeNs = 0n, ctimeNs = 0n, inode = 0n] = stamps.subarray(
    index * 4,
    index * 4 + 4,
  );
  return { size, mtimeNs, ctimeNs, inode };
}

/** Threads that read folders and split documents; those that have nothing to do wait for the next one to be asked. */
export class FolderThreads implements AsyncDisposable {
  /** How long one request to read and split files may take. */
  readonly planMs: number;
  readonly #maxFileBytes: number;
  readonly #idle: FolderThread[] = [];

  constructor({
    maxFileBytes,
    planMs = leastPlanMs + maxFileBytes / bytesPerMs,
  }: {
    readonly maxFileBytes: number;
    readonly planMs?: number;
  }) {
    this.#maxFileBytes = maxFileBytes;
    this.planMs = planMs;
  }

  take(): FolderThread {
    for (let thread = this.#idle.pop(); thread !== undefined; thread = this.#idle.pop()) {
      if (!thread.isLost) return thread;
    }
    return new FolderThread(this.#maxFileBytes);
  }

  /** One that is lost, or still has something to do, is ended. */
  giveBack(thread: FolderThread): void {
    if (thread.isLost || thread.isBusy) void thread.end();
    else this.#idle.push(thread);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((thread) => thread.end()));
  }
}

interface Waiting {
  readonly resolve: (answer: FolderAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/** A thread that answers requests one after the other. */
class FolderThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #lost = false;

  constructor(maxFileBytes: number) {
    const maxOldGenerationSizeMb =
      heapMebibytes + Math.ceil((maxFileBytes * heapPerFileByte) / mebibyte);
    this.#worker = new Worker(threadFile, {
      resourceLimits: { maxOldGenerationSizeMb, maxYoungGenerationSizeMb: 16 },
    });
    this.#worker.unref();
    this.#worker.on("message", ({ id, answer, error }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(error);
    });
    // A thread that ran out of its heap says so and is gone.
    this.#worker.on("error", (error) => this.#lose(error));
    this.#worker.once("exit", () => this.#lose(undefined));
  }

  get isLost(): boolean {
    return this.#lost;
  }

  get isBusy(): boolean {
    return this.#waiting.size > 0;
  }

  async ask<T extends FolderAnswer>(request: FolderRequest, limitMs?: number): Promise<T> {
    if (this.#lost) throw new ThreadLostError(false);
    const { promise, resolve, reject } = Promise.withResolvers<FolderAnswer>();
    const id = ++this.#lastId;
    this.#waiting.set(id, { resolve, reject });
    const timer = limitMs === undefined ? undefined : setTimeout(() => void this.end(), limitMs);
    this.#worker.postMessage({ id, request });
    try {
      return (await promise) as T;
    } finally {
      clearTimeout(timer);
    }
  }

  /** One that hangs in the file system may stay; nobody waits for it. */
  async end(): Promise<void> {
    this.#lose(undefined);
    await this.#worker.terminate();
  }

  #lose(cause: unknown): void {
    this.#lost = true;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    // It answers in the order in which it was asked.
    for (const [at, { reject }] of waiting.entries()) reject(new ThreadLostError(at === 0, cause));
  }
}

/**
 * Walks a folder, reads its files and splits them, all in a thread of its own: what takes long, or
 * goes wrong, holds up nobody else.
 */
export class FolderReader implements Disposable {
  readonly #threads: FolderThreads;
  readonly #order: FolderOrder;
  readonly #signal: AbortSignal;
  #thread: FolderThread;
  /** Set where the thread was lost: the next one has not been told what to read. */
  #reopening: Promise<unknown> | undefined;

  private constructor(threads: FolderThreads, order: FolderOrder, signal: AbortSignal) {
    this.#threads = threads;
    this.#order = order;
    this.#signal = signal;
    this.#thread = threads.take();
  }

  /** Also tells which commit is checked out, in hex; undefined where there is none. */
  static async open(
    threads: FolderThreads,
    order: FolderOrder,
    signal: AbortSignal,
  ): Promise<{ readonly reader: FolderReader; readonly commit: string | undefined }> {
    const reader = new FolderReader(threads, order, signal);
    try {
      const { commit } = await reader.#ask<{ commit: string | undefined }>({
        kind: "open",
        order,
      });
      return { reader, commit };
    } catch (error) {
      reader[Symbol.dispose]();
      throw error;
    }
  }

  /** What the walk finds; the next page is made while one is looked at. */
  async *walk(): AsyncGenerator<FoundPage> {
    let next = this.#ask<FoundPage>({ kind: "walk" });
    for (;;) {
      const page = await next;
      if (!page.done) {
        next = this.#ask<FoundPage>({ kind: "walk" });
        // Where the reader leaves, nobody waits for this one.
        next.catch(() => {});
      }
      yield page;
      if (page.done) return;
    }
  }

  /**
   * Reads files and splits them. A file over which the thread is lost, since it takes too long or
   * too much memory, fails alone.
   */
  async plan(files: readonly FileToPlan[]): Promise<PlannedPage> {
    try {
      return await this.#plan(files);
    } catch (error) {
      if (!(error instanceof ThreadLostError)) throw error;
      const [only] = files;
      if (files.length > 1 || only === undefined) return await this.#planEach(files);
      if (!error.isGuilty) return await this.plan(files);
      const outcome = {
        kind: "failed",
        error: fileErrorOf(only.path, error),
        fault: error,
      } as const;
      return { outcomes: [outcome], readMs: 0, splitMs: 0 };
    }
  }

  [Symbol.dispose](): void {
    this.#threads.giveBack(this.#thread);
  }

  async #planEach(files: readonly FileToPlan[]): Promise<PlannedPage> {
    const pages: PlannedPage[] = [];
    for (const file of files) pages.push(await this.plan([file]));
    return {
      outcomes: pages.flatMap(({ outcomes }) => outcomes),
      readMs: pages.reduce((sum, { readMs }) => sum + readMs, 0),
      splitMs: pages.reduce((sum, { splitMs }) => sum + splitMs, 0),
    };
  }

  async #plan(files: readonly FileToPlan[]): Promise<PlannedPage> {
    if (this.#thread.isLost) {
      this.#thread = this.#threads.take();
      this.#reopening = this.#thread.ask({ kind: "open", order: this.#order });
    }
    await this.#reopening;
    return await this.#ask({ kind: "plan", files }, this.#threads.planMs);
  }

  #ask<T extends FolderAnswer>(request: FolderRequest, limitMs?: number): Promise<T> {
    return untilAborted(this.#thread.ask<T>(request, limitMs), this.#signal);
  }
}
