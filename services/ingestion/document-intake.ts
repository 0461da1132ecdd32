import { DependencyUnavailableError, type DomainError } from "../../shared/errors.ts";
import type { DocumentEnd, DocumentStream, StreamedDocument } from "./document-stream.ts";
import type { FileEnd } from "./planned-file.ts";

/** Bytes of documents that wait to be worked on; beyond, the sender is held back. */
const maxWaitingBytes = 16 * 1024 * 1024;
const maxWaiting = 256;
/** Documents, and bytes of them, of one batch. */
const maxBatch = 64;
const maxBatchBytes = 4 * 1024 * 1024;

/** What a client sends: a document, or what is wrong with one. */
export type Incoming =
  | { readonly document: StreamedDocument }
  | { readonly uri: string; readonly error: DomainError };

export interface IntakeOptions {
  /** Batches that are worked on at the same time. */
  readonly parallelBatches: number;
  /** Aborts when the server begins to stop. */
  readonly stopping: AbortSignal;
}

type Event =
  | { readonly kind: "incoming"; readonly next: IteratorResult<Incoming> }
  | { readonly kind: "end"; readonly end: DocumentEnd }
  | { readonly kind: "worked" }
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "stopping" };

/**
 * Works on documents as they come and tells of each after its commit, in any order; two of one uri
 * are worked on one after the other, as they came. Batches are made of what is there: a client that
 * waits for each answer is not kept waiting for more. Documents are read only while few wait, and
 * answers are awaited before more is read. When the client has sent all, what was read is answered;
 * when the server stops, too, and then it ends with DependencyUnavailableError.
 */
export async function* takeIn(
  documents: AsyncIterable<Incoming>,
  stream: DocumentStream,
  { parallelBatches, stopping }: IntakeOptions,
): AsyncGenerator<DocumentEnd> {
  const intake = new Intake(stream);
  const input = documents[Symbol.asyncIterator]();
  const onStopping = () => intake.push({ kind: "stopping" });
  const onAbort = () => intake.push({ kind: "failed", error: stream.signal.reason });
  const over = new AbortController();
  stopping.addEventListener("abort", onStopping, { once: true, signal: over.signal });
  stream.signal.addEventListener("abort", onAbort, { once: true, signal: over.signal });
  if (stopping.aborted) onStopping();
  if (stream.signal.aborted) onAbort();
  let open = true;
  let reading = false;
  try {
    for (;;) {
      while (intake.working < parallelBatches && intake.begin());
      if (open && !reading && !intake.isFull) {
        reading = true;
        intake.follow(input.next().then((next) => ({ kind: "incoming", next })));
      }
      if (!open && intake.isEmpty) break;
      const event = await intake.next();
      switch (event.kind) {
        case "incoming":
          reading = false;
          if (event.next.done) open = false;
          else if ("document" in event.next.value) intake.add(event.next.value.document);
          else yield refused(event.next.value);
          break;
        case "end":
          yield event.end;
          break;
        case "worked":
          break;
        case "failed":
          throw stream.verdict ?? event.error;
        case "stopping":
          open = false;
          break;
      }
    }
    if (stopping.aborted) {
      const message = "this process is stopping: send what was not answered to another one";
      throw new DependencyUnavailableError("ingestion", message);
    }
  } finally {
    over.abort();
    await intake.settle();
  }
}

function refused({ uri, error }: { uri: string; error: DomainError }): DocumentEnd {
  const { kind, reason, message, violations } = error;
  const end: FileEnd = { failure: { kind, reason, message, field: violations[0]?.field } };
  return { uri, end };
}

/** What waits, what is worked on, and what happened. */
class Intake {
  readonly #stream: DocumentStream;
  readonly #events: Event[] = [];
  #wake: (() => void) | undefined;
  #waiting: StreamedDocument[] = [];
  #waitingBytes = 0;
  /** Uris of documents that are worked on. */
  readonly #busy = new Set<string>();
  readonly #working = new Set<Promise<void>>();

  constructor(stream: DocumentStream) {
    this.#stream = stream;
  }

  get working(): number {
    return this.#working.size;
  }

  get isFull(): boolean {
    return this.#waitingBytes >= maxWaitingBytes || this.#waiting.length >= maxWaiting;
  }

  /** Nothing waits, is worked on, or is to be told. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.working === 0 && this.#events.length === 0;
  }

  add(document: StreamedDocument): void {
    this.#waiting.push(document);
    this.#waitingBytes += document.content.length;
  }

  /** Begins to work on a batch of what waits; false where nothing can be begun. */
  begin(): boolean {
    const batch: StreamedDocument[] = [];
    const rest: StreamedDocument[] = [];
    const blocked = new Set(this.#busy);
    let bytes = 0;
    for (const document of this.#waiting) {
      const { uri, content } = document;
      const fits =
        batch.length < maxBatch && (batch.length === 0 || bytes + content.length <= maxBatchBytes);
      if (fits && !blocked.has(uri)) {
        batch.push(document);
        bytes += content.length;
      } else {
        rest.push(document);
      }
      // A later document of the same uri waits for this one.
      blocked.add(uri);
    }
    if (batch.length === 0) return false;
    this.#waiting = rest;
    this.#waitingBytes -= bytes;
    for (const { uri } of batch) this.#busy.add(uri);
    const work = this.#stream
      .take(batch, (end) => this.push({ kind: "end", end }))
      .finally(() => {
        this.#working.delete(work);
        for (const { uri } of batch) this.#busy.delete(uri);
      })
      .then(
        () => this.push({ kind: "worked" }),
        (error: unknown) => this.push({ kind: "failed", error }),
      );
    this.#working.add(work);
    return true;
  }

  push(event: Event): void {
    this.#events.push(event);
    this.#wake?.();
    this.#wake = undefined;
  }

  follow(event: Promise<Event>): void {
    event.then(
      (one) => this.push(one),
      (error: unknown) => this.push({ kind: "failed", error }),
    );
  }

  async next(): Promise<Event> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async settle(): Promise<void> {
    await Promise.all(this.#working);
  }
}
