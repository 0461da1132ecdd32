import { hash } from "node:crypto";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import { newId } from "../../shared/ids.ts";
import { commitBatch } from "./batch-commit.ts";
import type { DocumentConverter } from "./document-converter.ts";
import type { DocumentSplitter } from "./document-splitter.ts";
import { type DocumentText, type IncomingDocument, textOfDocument } from "./document-text.ts";
import { RepositoryBusyError } from "./errors.ts";
import { HeldLease } from "./held-lease.ts";
import type { IngestionSettings } from "./ingestion.ts";
import type { RunOptions } from "./ingestion-run.ts";
import { isolating } from "./isolation.ts";
import { patiently } from "./patience.ts";
import { type FileEnd, type PlannedFile, recipeOf } from "./planned-file.ts";
import type { Embedder, ItemFailure, Metadata, PassageStore, Work } from "./ports.ts";
import { StopRequest } from "./stop-request.ts";
import type { FileStore, IngestionKey, JobStore, KnownFile, RepositoryKey } from "./store.ts";
import { Tally } from "./tally.ts";

/** A document of a stream, and what its sender keeps with it. */
export interface StreamedDocument extends IncomingDocument {
  readonly metadata: Metadata;
}

/** What became of a document. */
export interface DocumentEnd {
  readonly uri: string;
  readonly end: FileEnd;
}

export interface DocumentStreamOptions extends RunOptions {
  readonly leaseMs: number;
}

export interface DocumentStreamParts {
  readonly jobs: JobStore;
  readonly files: FileStore;
  readonly embedder: Embedder;
  readonly passages: PassageStore;
  readonly converter: DocumentConverter;
  readonly splitter: DocumentSplitter;
  readonly onStored: (chunks: number) => void;
  readonly onRetry: (error: DomainError, pauseMs: number) => void;
  /** A document failed for a reason that its sender is not told. */
  readonly onDocumentFault: (error: unknown) => void;
  readonly onFault: (what: string, error: unknown) => void;
}

/** Takes in documents that a client sends, batch after batch, as an ingestion of its own. */
export class DocumentStream {
  readonly #options: DocumentStreamOptions;
  readonly #parts: DocumentStreamParts;
  readonly #key: RepositoryKey;
  readonly #job: IngestionKey;
  readonly #settings: IngestionSettings;
  readonly #held: HeldLease;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #tally = new Tally();
  #model = "";
  #recipe = "";
  #trusted = true;

  private constructor(
    work: Work,
    repoId: string,
    settings: IngestionSettings,
    options: DocumentStreamOptions,
    parts: DocumentStreamParts,
    job: IngestionKey,
    held: (stream: DocumentStream) => HeldLease,
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#key = { tenant: work.tenant, repoId };
    this.#job = job;
    this.#settings = settings;
    this.#signal = AbortSignal.any([work.signal, this.#stop.signal]);
    this.#tally.stage = "ingesting";
    this.#held = held(this);
  }

  /** Throws RepositoryBusyError while the repository is being deleted. */
  static async open(
    work: Work,
    repoId: string,
    settings: IngestionSettings,
    options: DocumentStreamOptions,
    parts: DocumentStreamParts,
  ): Promise<DocumentStream> {
    const { tenant } = work;
    const lease = { token: newId(), ms: options.leaseMs };
    const since = performance.now();
    const id = newId();
    const job = { tenant, repoId, id, kind: "documents", path: "", settings, lease } as const;
    const other = await parts.jobs.create(job, work.signal);
    if (other !== undefined) throw new RepositoryBusyError(repoId, other);
    const key = { tenant, id };
    const hold = (stream: DocumentStream) =>
      new HeldLease({
        store: parts.jobs,
        key,
        lease,
        since,
        news: () => ({ progress: stream.#tally.snapshot(), advanced: false }),
        onVerdict: (verdict) => stream.#stop.abort(verdict),
        onFault: (error) => parts.onFault("a sign of life was not recorded", error),
      });
    const stream = new DocumentStream(work, repoId, settings, options, parts, key, hold);
    try {
      await stream.#prepare();
    } catch (error) {
      await stream.close(error);
      throw error;
    }
    return stream;
  }

  /** Aborts when the stream must end: its caller has gone, or it was cancelled. */
  get signal(): AbortSignal {
    return this.#signal;
  }

  /** Why the stream was ended from elsewhere, for its caller. */
  get verdict(): DomainError | undefined {
    const reason: unknown = this.#stop.signal.reason;
    if (!(reason instanceof StopRequest)) return undefined;
    if (reason.why === "cancelled") {
      return new DomainError("aborted", "CONFLICT", "CancelIngestion has ended this stream");
    }
    return new DependencyUnavailableError("ingestion", "the stream was taken for dead");
  }

  /**
   * Brings documents in, no two of one uri, and tells of each once; what is told as stored is
   * committed.
   */
  async take(
    documents: readonly StreamedDocument[],
    onEnd: (end: DocumentEnd) => void,
  ): Promise<void> {
    this.#tally.filesTotal += documents.length;
    const uris = documents.map(({ uri }) => uri);
    const known = await this.#patiently(() =>
      this.#parts.files.knownFiles(this.#key, uris, this.#signal),
    );
    const planned: PlannedFile[] = [];
    for (const document of documents) {
      const { uri } = document;
      this.#tally.filesRead++;
      const before = this.#current(known.get(uri));
      const documentHash = hashOf(document);
      if (before !== undefined && before.hash === documentHash) {
        this.#tally.filesDone++;
        this.#tally.chunksUnchanged += before.chunkCount;
        onEnd({ uri, end: { stored: 0, unchanged: before.chunkCount } });
        continue;
      }
      try {
        const file = await this.#plan(document, documentHash, before);
        this.#tally.chunksSplit += file.chunks.length;
        planned.push(file);
      } catch (error) {
        this.#signal.throwIfAborted();
        const failure = this.#failureOf(error);
        this.#tally.filesDone++;
        this.#tally.fail({ path: uri, ...failure });
        onEnd({ uri, end: { failure } });
      }
    }
    if (planned.length > 0) await this.#commit(planned, onEnd);
  }

  /** Records its end; `failure` is what ended it early. */
  async close(failure?: unknown): Promise<void> {
    const { jobs, onFault } = this.#parts;
    await this.#held[Symbol.asyncDispose]();
    this.#tally.stage = "done";
    const progress = this.#tally.snapshot();
    const outcome =
      failure === undefined
        ? ({ status: "completed", message: "" } as const)
        : this.#signal.aborted
          ? ({ status: "cancelled", message: "the stream was ended early" } as const)
          : ({ status: "failed", message: "the stream has failed" } as const);
    await jobs
      .end(this.#job, this.#held.lease, { ...outcome, progress })
      .catch((error: unknown) => {
        onFault("the end of a stream was not recorded", error);
      });
  }

  async #prepare(): Promise<void> {
    const { passages, embedder, files } = this.#parts;
    const work = { tenant: this.#key.tenant, signal: this.#signal };
    this.#model = await this.#patiently(async () => {
      const ofCollection = await passages.model(work);
      return ofCollection === "" ? embedder.defaultModel(work) : ofCollection;
    });
    this.#recipe = recipeOf(this.#settings, this.#model);
    const expected = await this.#patiently(() => files.chunkTotal(this.#key, this.#signal));
    if (expected === 0) return;
    const stored = await this.#patiently(() => passages.count(work, this.#key.repoId));
    // Somebody else deleted: store anew what comes.
    this.#trusted = stored >= expected;
  }

  #current(known: KnownFile | undefined): KnownFile | undefined {
    return this.#trusted && known?.recipe === this.#recipe ? known : undefined;
  }

  async #plan(
    document: StreamedDocument,
    documentHash: string,
    before: KnownFile | undefined,
  ): Promise<PlannedFile> {
    const { clock } = this.#tally;
    const { uri, metadata } = document;
    const signal = this.#signal;
    const { text, language }: DocumentText = await clock.time("read", () =>
      textOfDocument(document, this.#parts.converter, signal),
    );
    const { chunkSize, chunkOverlap } = this.#settings;
    const how = { family: language.family, chunkSize, chunkOverlap };
    const chunks = await clock.time("split", () =>
      this.#parts.splitter.split({ key: this.#key, path: uri, text, ...how }, signal),
    );
    return {
      path: uri,
      hash: documentHash,
      stamp: undefined,
      language: language.name,
      skipped: undefined,
      metadata,
      renewed: before !== undefined && restOf(before.hash) !== restOf(documentHash),
      unknown: false,
      chunks,
    };
  }

  async #commit(planned: readonly PlannedFile[], onEnd: (end: DocumentEnd) => void): Promise<void> {
    const { embedder, passages, files, onStored, onDocumentFault } = this.#parts;
    const { patienceMs, embedBatch } = this.#options;
    const finish = (file: PlannedFile, end: FileEnd) => {
      this.#tally.finish(file, end);
      onEnd({ uri: file.path, end });
    };
    const commit = (some: readonly PlannedFile[], limitMs: number) =>
      commitBatch(
        {
          ...this.#key,
          ingestionId: this.#job.id,
          lease: this.#held,
          pushed: true,
          model: this.#model,
          recipe: this.#recipe,
          commit: undefined,
          embedBatch,
          embedder,
          passages,
          files,
          tally: this.#tally,
          clock: this.#tally.clock,
          trusted: this.#trusted,
          signal: this.#signal,
          patiently: (attempt) => this.#patiently(attempt, limitMs),
          onStored,
          onDone: finish,
        },
        some,
      );
    await isolating(planned, {
      commit,
      patienceMs,
      model: this.#model,
      peers: { embedder, passages },
      work: { tenant: this.#key.tenant, signal: this.#signal },
      isDone: (file) => this.#tally.isFinished(file),
      onPoison: (file, failure, error) => {
        onDocumentFault(error);
        finish(file, { failure });
      },
    });
  }

  #failureOf(error: unknown): ItemFailure {
    if (error instanceof DomainError) {
      const { kind, reason, message, violations } = error;
      return { kind, reason, message, field: violations[0]?.field };
    }
    this.#parts.onDocumentFault(error);
    return { kind: "internal", reason: "INTERNAL", message: "could not be split" };
  }

  #patiently<T>(attempt: () => Promise<T>, limitMs = this.#options.patienceMs): Promise<T> {
    const { onRetry } = this.#parts;
    return patiently({ limitMs, signal: this.#signal, onRetry }, attempt);
  }
}

/** Of its bytes, and of what else its chunks come from or are kept with. */
function hashOf({ content, mediaType, metadata }: StreamedDocument): string {
  const rest = hash("sha256", `${mediaType}\n${sortedJson(metadata)}`, "hex");
  return `${hash("sha256", content, "hex")}-${rest}`;
}

function restOf(documentHash: string): string {
  return documentHash.slice(documentHash.indexOf("-"));
}

function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
